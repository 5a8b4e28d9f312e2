"""The protocols of DESIGN section 5 the naive way, in torch: the oracle of all scores.

One row per option, the whole text through the Hugging Face model, one forward per row
(per masked step for the ELECTRA generator), float32, no batch, no padding. Written
from DESIGN and BUILD alone, without a look at jaxsparse; it must stay short enough to
be checked by eye. Sources: Radford et al. (2019), section 3.2; Kauf & Ivanova (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import (
    BertForMaskedLM,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    GPT2LMHeadModel,
    RobertaForMaskedLM,
    T5ForConditionalGeneration,
)

from tests.oracle import torch


@dataclass(frozen=True)
class Reference:
    scores: list[float]  # nats for cloze, probabilities for append
    dropped_sentences: int
    option_tokens: list[int]  # the option's own tokens


@dataclass(frozen=True)
class Row:
    tokens: list[int]  # what the limit counts
    scored: list[int]  # positions in tokens, or in the target where there is one
    own: int  # how many tokens are the option's
    target: tuple[int, ...] = ()  # T5's decoder target


def score(
    model: Any,
    tokenizer: Any,
    protocol: str,
    sentences: Sequence[str],
    query: str,
    options: Sequence[str],
    context: str = "full",
    limit: int | None = None,
) -> Reference:
    """Scores every option of one question; the text is taken as it stands.

    Args:
      model: a torch model of one of the four classes, in float32 (or float64).
      protocol: cloze or append.
      context: full, last or query.
      limit: tokens a row may have, instead of what the model's config says.

    Raises:
      ValueError: a half-precision model, or a query too long by itself.
    """
    if model.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the oracle is float32, the model {model.dtype}; .float() it")
    model.eval()
    dropped, rows = shortened(
        model, tokenizer, protocol, sentences, query, options, context, limit
    )
    _, score_of = _ways(model, protocol)
    with torch.no_grad():
        scores = [float(score_of(model, tokenizer, row)) for row in rows]
    return Reference(scores, dropped, [row.own for row in rows])


def shortened(
    model: Any,
    tokenizer: Any,
    protocol: str,
    sentences: Sequence[str],
    query: str,
    options: Sequence[str],
    context: str = "full",
    limit: int | None = None,
) -> tuple[int, list[Row]]:
    """How many sentences are dropped, and each option's row; arguments as of `score`.

    Raises:
      ValueError: a query too long by itself.
    """
    rows_of, _ = _ways(model, protocol)
    kept = {"full": sentences, "last": sentences[-1:], "query": []}[context]
    kept = [sentence.strip() for sentence in kept]
    before, after = query.split("XXXXX")
    for dropped in range(len(kept) + 1):
        story = " ".join(kept[dropped:])
        story = story + " " if kept[dropped:] else ""
        rows = rows_of(tokenizer, story + before, after, options)
        if max(len(row.tokens) for row in rows) <= (limit or _limit(model)):
            return dropped, rows
    raise ValueError(f"too long without its story: {query!r}")


def _limit(model: Any) -> int:
    if isinstance(model, GPT2LMHeadModel):
        return model.config.n_positions
    if isinstance(model, T5ForConditionalGeneration):
        return getattr(model.config, "n_positions", 512)
    longest = model.config.max_position_embeddings
    if isinstance(model, RobertaForMaskedLM):
        return longest - 2
    return min(longest, 4096)


def _ways(model: Any, protocol: str) -> tuple[Any, Any]:
    """Any other model is a causal one."""
    ways = {
        (GPT2LMHeadModel, "cloze"): (_gpt2_cloze_rows, _gpt2_cloze),
        (ElectraForMaskedLM, "cloze"): (_generator_cloze_rows, _generator_cloze),
        (BertForMaskedLM, "cloze"): (_generator_cloze_rows, _generator_cloze),
        (RobertaForMaskedLM, "cloze"): (_roberta_cloze_rows, _generator_cloze),
        (ElectraForPreTraining, "cloze"): (
            _discriminator_cloze_rows,
            _discriminator_cloze,
        ),
        (T5ForConditionalGeneration, "cloze"): (_t5_cloze_rows, _t5_cloze),
        (ElectraForMaskedLM, "append"): (_append_rows, _generator_append),
        (BertForMaskedLM, "append"): (_append_rows, _generator_append),
        (RobertaForMaskedLM, "append"): (_append_rows, _generator_append),
        (ElectraForPreTraining, "append"): (_append_rows, _discriminator_append),
        (T5ForConditionalGeneration, "append"): (_append_rows, _t5_append),
    }
    causal = {
        "cloze": (_causal_cloze_rows, _gpt2_cloze),
        "append": (_append_rows, _gpt2_append),
    }
    return ways.get((type(model), protocol)) or causal[protocol]


def _encode(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens with the usual special ones ((0, 0) is their span), and their spans."""
    encoding = tokenizer(
        text,
        return_offsets_mapping=True,
        truncation=False,
        padding=False,
        verbose=False,
    )
    return encoding["input_ids"], encoding["offset_mapping"]


# Rows: (tokenizer, text before the blank, text after it, options) -> one row each.


def _gpt2_cloze_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    return _causal_cloze_rows(tokenizer, before, after, options, "<|endoftext|>")


def _causal_cloze_rows(
    tokenizer: Any,
    before: str,
    after: str,
    options: Sequence[str],
    first: str | None = None,
) -> list[Row]:
    rows = []
    for option in options:
        start, end = len(before), len(before) + len(option)
        tokens, spans = _encode(tokenizer, before + option + after)
        scored = [i for i, span in enumerate(spans) if span[1] > start]
        own = sum(spans[i][0] < end for i in scored)
        rows.append(Row(tokens, scored, own))
    if any(row.scored[0] == 0 for row in rows):
        first = first or tokenizer.bos_token or tokenizer.eos_token
        front = tokenizer.convert_tokens_to_ids(first)
        rows = [
            Row([front, *row.tokens], [i + 1 for i in row.scored], row.own)
            for row in rows
        ]
    return rows


def _generator_cloze_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    """The query with k masks, which are then filled with the option's k pieces."""
    rows = []
    for option in options:
        pieces = tokenizer(option, add_special_tokens=False)["input_ids"]
        rows.append(_masked(tokenizer, before, pieces, after, "[MASK]"))
    return rows


def _roberta_cloze_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    """The space before the blank is the option's, and goes with the masks; they take
    all that are there."""
    rows = []
    space = before[len(before.rstrip()) :][-1:]
    for option in options:
        pieces = tokenizer(space + option, add_special_tokens=False)["input_ids"]
        rows.append(_masked(tokenizer, before.rstrip(), pieces, after, "<mask>"))
    return rows


def _masked(
    tokenizer: Any, before: str, pieces: Sequence[int], after: str, mask: str
) -> Row:
    masks = mask * len(pieces)
    start, end = len(before), len(before) + len(masks)
    tokens, spans = _encode(tokenizer, before + masks + after)
    scored = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
    for i, piece in zip(scored, pieces, strict=True):
        tokens[i] = piece
    return Row(tokens, scored, len(pieces))


def _discriminator_cloze_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    """The pieces are those that the option has in place, inside the whole text."""
    rows = []
    for option in options:
        start, end = len(before), len(before) + len(option)
        tokens, spans = _encode(tokenizer, before + option + after)
        pieces = [i for i, (a, b) in enumerate(spans) if a < end and b > start]
        rows.append(Row(tokens, pieces, len(pieces)))
    return rows


def _t5_cloze_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    rows = []
    first, second = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"])
    tokens, _ = _encode(tokenizer, before + "<extra_id_0>" + after)
    for option in options:
        pieces = tokenizer(option, add_special_tokens=False)["input_ids"]
        target = (first, *pieces, second)
        rows.append(Row(tokens, list(range(1, len(target))), len(pieces), target))
    return rows


def _append_rows(
    tokenizer: Any, before: str, after: str, options: Sequence[str]
) -> list[Row]:
    rows = []
    query_end = len(before + "XXXXX" + after)
    for option in options:
        tokens, spans = _encode(tokenizer, before + "XXXXX" + after + " " + option)
        scored = [i for i, span in enumerate(spans) if span[1] > query_end]
        rows.append(Row(tokens, scored, len(scored), tuple(tokens)))
    return rows


# Scores: (model, tokenizer, row) -> scalar.


def _logits(model: Any, tokens: Sequence[int]) -> Any:
    return model(input_ids=torch.tensor([list(tokens)])).logits[0]


def _t5_logits(model: Any, tokenizer: Any, row: Row) -> Any:
    """Position i of the decoder predicts target i."""
    shifted = [tokenizer.convert_tokens_to_ids("<pad>"), *row.target[:-1]]
    output = model(
        input_ids=torch.tensor([row.tokens]), decoder_input_ids=torch.tensor([shifted])
    )
    return output.logits[0]


def _gpt2_cloze(model: Any, tokenizer: Any, row: Row) -> Any:
    logits = _logits(model, row.tokens)
    return sum(logits[i - 1].log_softmax(-1)[row.tokens[i]] for i in row.scored)


def _generator_cloze(model: Any, tokenizer: Any, row: Row) -> Any:
    steps = []
    for j, position in enumerate(row.scored):
        tokens = list(row.tokens)
        for masked in row.scored[j:]:
            tokens[masked] = tokenizer.mask_token_id
        logps = _logits(model, tokens)[position].log_softmax(-1)
        steps.append(logps[row.tokens[position]])
    return sum(steps)


def _discriminator_cloze(model: Any, tokenizer: Any, row: Row) -> Any:
    """log(1 - sigmoid(x)) = logsigmoid(-x), x the logit of `replaced`."""
    logits = _logits(model, row.tokens)
    return sum(torch.nn.functional.logsigmoid(-logits[i]) for i in row.scored)


def _t5_cloze(model: Any, tokenizer: Any, row: Row) -> Any:
    logps = _t5_logits(model, tokenizer, row).log_softmax(-1)
    return sum(logps[i, row.target[i]] for i in row.scored)


def _gpt2_append(model: Any, tokenizer: Any, row: Row) -> Any:
    logits = _logits(model, row.tokens)
    total = sum(logits[i - 1].softmax(-1)[row.tokens[i]] for i in row.scored)
    return total / row.own


def _generator_append(model: Any, tokenizer: Any, row: Row) -> Any:
    logits = _logits(model, row.tokens)
    return sum(logits[i].softmax(-1)[row.tokens[i]] for i in row.scored) / row.own


def _discriminator_append(model: Any, tokenizer: Any, row: Row) -> Any:
    unreplaced = (-_logits(model, row.tokens)).sigmoid()  # 1 - p(replaced)
    return sum(unreplaced[i] for i in row.scored) / row.own


def _t5_append(model: Any, tokenizer: Any, row: Row) -> Any:
    probabilities = _t5_logits(model, tokenizer, row).softmax(-1)
    return sum(probabilities[i, row.target[i]] for i in row.scored) / row.own
