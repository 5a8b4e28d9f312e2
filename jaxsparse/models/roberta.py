"""RoBERTa (Liu et al. 2019): BERT with other positions, names and head."""

from jaxsparse.models import bert, encoder
from jaxsparse.models.bert import BertConfig
from jaxsparse.models.config import Reader
from jaxsparse.models.family import Family, Tensors
from jaxsparse.weights.rules import Table

WORDS = "roberta.embeddings.word_embeddings.weight"


def read_config(reader: Reader, tensors: Tensors) -> BertConfig:
    """Reads config.json; what changes the maths and is not implemented raises.

    transformers has the head's activation fixed, whatever hidden_act says.
    """
    head = "lm_head.decoder.weight", WORDS
    padding = reader.natural("pad_token_id")
    return BertConfig.read(reader, tensors, head, "gelu", padding)


TABLE = Table(
    rules=(
        *encoder.rules("roberta"),
        *bert.masked_head("lm_head", "dense", "layer_norm"),
    ),
    tied=bert.repeats("lm_head", "roberta"),
    buffers=(
        encoder.buffers("roberta"),
        # For whole texts, which a masked language model does not classify.
        r"roberta\.pooler\.dense\.(weight|bias)",
    ),
    renames=encoder.RENAMES,
)

FAMILY = Family(
    name="roberta",
    table=TABLE,
    read_config=read_config,
    module=bert.Bert,
    prunable=bert.PRUNABLE,
    head=bert.HEAD,
    head_bias=bert.BIAS,
    operations=bert.operations,
    stacks=encoder.stacks,
    structure=lambda config: encoder.STRUCTURE,
)
