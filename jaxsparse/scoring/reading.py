"""A question into rows of tokens, on the host, in the way that a model reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jaxsparse.cbt import Question
from jaxsparse.scoring import causal, masked, seq2seq
from jaxsparse.scoring.encoded import Encoded
from jaxsparse.scoring.passage import Passage, added_around
from jaxsparse.types import InputError, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class _RowMaker:
    """How rows are made for one way of reading, and what that asks of a tokenizer."""

    encode: Mapping[str, Callable[[Passage, Any, Any], Encoded]]  # by protocol
    special_tokens: tuple[str, ...]
    around: tuple[str, str] = ("", "")  # what must stand in front of a text and behind


ROWS = {  # by `config.reading`
    "causal": _RowMaker(
        {"cloze": causal.cloze, "append": causal.append},
        ("<|endoftext|>",),
    ),
    "masked": _RowMaker(
        {"cloze": masked.cloze, "append": masked.append},
        ("[CLS]", "[SEP]", "[MASK]"),
        ("[CLS]", "[SEP]"),
    ),
    "replaced": _RowMaker(
        {"cloze": masked.replaced_cloze, "append": masked.append},
        ("[CLS]", "[SEP]"),
        ("[CLS]", "[SEP]"),
    ),
    "seq2seq": _RowMaker(
        {"cloze": seq2seq.cloze, "append": seq2seq.append},
        ("<pad>", "</s>", "<extra_id_0>", "<extra_id_1>"),
        ("", "</s>"),
    ),
}


def check_tokenizer(tokenizer: "PreTrainedTokenizerFast", config: Any) -> None:
    """Raises InputError for a special token that the tokenizer lacks or does not put
    where the model expects it, and for tokens that the model has no embedding of;
    tokens added later may be more than it has (`check_tokens`)."""
    vocabulary = tokenizer.get_vocab()
    rows = ROWS[config.reading]
    for token in rows.special_tokens:
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
    for token, added in zip(rows.around, added_around(tokenizer), strict=True):
        if token and vocabulary[token] not in added:
            raise InputError(
                f"the tokenizer does not put {' and '.join(filter(None, rows.around))} "
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
    make_rows = ROWS[config.reading].encode[presentation.protocol]
    encoded = make_rows(passage, tokenizer, config)
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
        ROWS[config.reading].encode[presentation.protocol](passage, tokenizer, config)
