"""From a question to the scores of its options.

`encode` turns a question into rows of tokens on the host, `plan` and `stack` turn
questions into batches of few shapes, `option_scores` runs on the device. One file for
each way of reading a question: causal (GPT-2), masked and replaced (ELECTRA's generator
and discriminator), seq2seq (T5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsparse.cbt import Question
from jaxsparse.device import CPU, Form
from jaxsparse.models.attention import log_sum_exp
from jaxsparse.models.electra import DISCRIMINATOR, ElectraConfig
from jaxsparse.models.gpt2 import GPT2Config
from jaxsparse.models.inputs import CausalInputs, MaskedInputs, Seq2SeqInputs
from jaxsparse.models.t5 import T5Config
from jaxsparse.scoring import causal, masked, replaced, seq2seq
from jaxsparse.scoring.batching import Planned, Shape, Terms, padding, plan, stack
from jaxsparse.scoring.encoded import Encoded
from jaxsparse.scoring.passage import Passage, Unusable, added_around
from jaxsparse.types import CONTEXTS, PROTOCOLS, InputError, Params, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Raised with every change of what scores mean, beyond rounding: a journal tells old
# ones from new ones by it.
REVISION = 1


@dataclass(frozen=True)
class Way:
    """One way of reading a question: a family's inputs, and how its rows are made."""

    inputs: Callable[..., Any]
    encode: dict[str, Callable[[Passage, Any, Any], Encoded]]  # by protocol
    special_tokens: tuple[str, ...]
    around: tuple[str, str] = ("", "")  # what must stand in front of a text and behind
    discriminates: bool = False  # outputs tell replaced from original, not tokens


WAYS = {
    "causal": Way(
        CausalInputs,
        {"cloze": causal.cloze, "append": causal.append},
        ("<|endoftext|>",),
    ),
    "masked": Way(
        MaskedInputs,
        {"cloze": masked.cloze, "append": masked.append},
        ("[CLS]", "[SEP]", "[MASK]"),
        ("[CLS]", "[SEP]"),
    ),
    "replaced": Way(
        MaskedInputs,
        {"cloze": replaced.cloze, "append": replaced.append},
        ("[CLS]", "[SEP]"),
        ("[CLS]", "[SEP]"),
        discriminates=True,
    ),
    "seq2seq": Way(
        Seq2SeqInputs,
        {"cloze": seq2seq.cloze, "append": seq2seq.append},
        ("<pad>", "</s>", "<extra_id_0>", "<extra_id_1>"),
        ("", "</s>"),
    ),
}


def way_of(config: Any) -> Way:
    """How a model of this configuration reads a question."""
    match config:
        case GPT2Config():
            return WAYS["causal"]
        case T5Config():
            return WAYS["seq2seq"]
        case ElectraConfig(role=role) if role == DISCRIMINATOR:
            return WAYS["replaced"]
        case ElectraConfig():
            return WAYS["masked"]
    raise TypeError(f"no way of reading for {type(config).__name__}")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """Rows for the model, and where in its outputs the scores are read."""

    inputs: Any  # of the family
    terms: Terms
    protocol: str = field(metadata={"static": True})
    discriminates: bool = field(metadata={"static": True})


def check_tokenizer(tokenizer: "PreTrainedTokenizerFast", config: Any) -> None:
    """Raises InputError for a special token that the tokenizer lacks or does not put
    where the model expects it, and for tokens that the model has no embedding of;
    tokens added later may be more than it has (`check_tokens`)."""
    vocabulary = tokenizer.get_vocab()
    way = way_of(config)
    for token in way.special_tokens:
        if vocabulary.get(token, config.vocab) >= config.vocab:
            raise InputError(
                f"the tokenizer has no {token} for the model's {config.vocab} tokens; "
                "put the model's own tokenizer files there"
            )
    own = vocabulary.keys() - tokenizer.get_added_vocab()
    if not own:
        raise InputError(
            "the tokenizer has no vocabulary; put the model's own tokenizer files there"
        )
    largest = max(vocabulary[token] for token in own)
    if largest >= config.vocab:
        raise InputError(
            f"the tokenizer's tokens go up to {largest}, the model's vocabulary has "
            f"{config.vocab}; put the model's own tokenizer files there"
        )
    for token, added in zip(way.around, added_around(tokenizer), strict=True):
        if token and vocabulary[token] not in added:
            raise InputError(
                f"the tokenizer does not put {' and '.join(filter(None, way.around))} "
                "around a text; put the model's own tokenizer files there"
            )


def encode(
    question: Question,
    tokenizer: "PreTrainedTokenizerFast",
    config: Any,
    presentation: Presentation,
) -> Encoded:
    """Makes the rows of one question, on the host.

    Raises:
        Unusable: the query alone is too long for the model, or an option has no tokens.
        InputError: the tokenizer makes tokens that the model does not have.
    """
    passage = Passage.of(question, presentation)
    encode_passage = way_of(config).encode[presentation.protocol]
    encoded = encode_passage(passage, tokenizer, config)
    _check_vocabulary(encoded, question, tokenizer, config)
    return encoded


def _check_vocabulary(
    encoded: Encoded, question: Question, tokenizer: Any, config: Any
) -> None:
    """Raises InputError for a token, fed or read, that the model has no embedding of:
    on a device it would be another one, silently."""
    read = [token for option in encoded.terms for _, _, token in option]
    fed = [
        int(row[name].max())
        for row in encoded.rows
        for name in ("tokens", "encoder_tokens")
        if name in row and row[name].size
    ]
    if (largest := max(*read, *fed)) >= config.vocab:
        raise InputError(
            f"question {question.id} holds "
            f"{tokenizer.convert_ids_to_tokens(largest)!r}, the tokenizer's token "
            f"{largest}, but the model's vocabulary has {config.vocab}; take it out of "
            "the tokenizer"
        )


def check_tokens(
    questions: Sequence[Question],
    tokenizer: "PreTrainedTokenizerFast",
    config: Any,
    presentations: Sequence[Presentation],
) -> None:
    """Raises InputError, as `encode` would, for the first question whose text holds a
    token that the model has no embedding of; only a tokenizer that has been added to
    can make one, and only then are texts looked at."""
    if max(tokenizer.get_added_vocab().values(), default=0) < config.vocab:
        return
    for question in questions:
        for presentation in presentations:
            encode(question, tokenizer, config, presentation)


def check_usable(
    question: Question,
    tokenizer: "PreTrainedTokenizerFast",
    config: Any,
    presentation: Presentation,
) -> None:
    """Raises Unusable where `encode` would, whatever the context, and mostly faster.

    No tokenizer makes more tokens of ASCII than it has characters, give or take a
    space, a quote that detokenizing brings in, and the special tokens; so few queries
    need to be looked at. (Others can grow: to T5, one U+FDFA is 18 characters.)
    """
    texts = (question.query, *question.options)
    ascii_only = all(text.isascii() for text in texts)
    short = len(question.query) + max(map(len, question.options)) + 16
    plain = all(any(map(str.isalnum, option)) for option in question.options)
    if not (ascii_only and plain and short <= config.positions):
        passage = Passage.of(question, replace(presentation, context="query"))
        way_of(config).encode[presentation.protocol](passage, tokenizer, config)


def batch(
    encoded: Sequence[Encoded], planned: Planned, config: Any, protocol: str
) -> Batch:
    """The arrays of a planned batch, on the host."""
    way = way_of(config)
    fields, terms = stack(encoded, planned)
    return Batch(way.inputs(**fields), terms, protocol, way.discriminates)


def option_scores(
    apply: Callable[[Params, Any], jax.Array],
    params: Params,
    batch: Batch,
    form: Form = CPU,
) -> Float[Array, "question option"]:
    """Scores each option by what the model says of its tokens.

    cloze: the sum of log-probabilities, in nats. append: the mean of probabilities.
    The discriminator's probability is that of the token being the original one.
    An option that pads its question, or a question its batch, has no terms: −inf, for a
    sum of none would be 0, the best there is.
    """
    outputs = apply(params, batch.inputs)
    terms = batch.terms
    if batch.discriminates:
        read = _log_original(outputs, terms)
    else:
        read = _log_probability(outputs, terms, form)
    log_probability = read.reshape(-1)[terms.places]
    if batch.protocol == "cloze":
        scores = jnp.sum(log_probability, axis=-1, where=terms.valid)
    else:
        total = jnp.sum(jnp.exp(log_probability), axis=-1, where=terms.valid)
        scores = total / jnp.maximum(jnp.sum(terms.valid, axis=-1), 1)
    return jnp.where(terms.valid.any(axis=-1), scores, -jnp.inf)


def _log_probability(
    logits: Float[Array, "row scored vocab"], terms: Terms, form: Form
) -> Float[Array, "row read"]:
    def of_row(logits, slots, tokens):
        return logits[slots, tokens] - log_sum_exp(logits, form)[slots]

    return jax.vmap(of_row)(logits, terms.slots, terms.tokens)


def _log_original(
    logits: Float[Array, "row scored"], terms: Terms
) -> Float[Array, "row read"]:
    """log(1 - p(replaced)), where sigmoid(logit) = p(replaced)."""
    return jax.nn.log_sigmoid(-jnp.take_along_axis(logits, terms.slots, axis=1))


__all__ = [
    "CONTEXTS",
    "PROTOCOLS",
    "REVISION",
    "Batch",
    "Encoded",
    "Planned",
    "Shape",
    "Unusable",
    "batch",
    "check_tokenizer",
    "check_tokens",
    "check_usable",
    "encode",
    "option_scores",
    "padding",
    "plan",
]
