"""Questions into rows of tokens, on the host, in the way that a model reads."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsparse.cbt import Question
from jaxsparse.scoring import causal, masked, seq2seq
from jaxsparse.scoring.encoded import (
    OPTION,
    Encoded,
    QuestionRows,
    Sizes,
    TokenRows,
)
from jaxsparse.scoring.passage import Passage
from jaxsparse.scoring.placing import (
    AROUND_BLANK,
    AROUND_SPACED_BLANK,
    BEHIND_QUERY,
    IN_BLANK,
    WITH_SENTINEL,
    Placing,
)
from jaxsparse.scoring.splitting import splits_at_spaces
from jaxsparse.scoring.tokens import SENTINEL, added_around, refuse_empty
from jaxsparse.scoring.words import OddWord, Words
from jaxsparse.types import LONGEST, InputError, Presentation
from jaxsparse.weights.tokenizer import called, first_token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Raised with every change of what questions become, in detokenizing too: what was read
# before is told from what is read now by it.
REVISION = 1

AT_ONCE = 256  # questions whose words a tokenizer is asked for in one call

Layout = Callable[[TokenRows, Mapping[str, int]], QuestionRows]


@dataclass(frozen=True)
class _RowMaker:
    """How rows are made for one way of reading, and what that asks of a tokenizer."""

    protocols: Mapping[str, tuple[Placing, Layout]]
    special_tokens: tuple[str, ...] = ()
    around: tuple[str, str] = ("", "")  # what must stand in front of a text and behind


ROWS = {  # by `config.reading`
    "causal": _RowMaker(
        {
            "cloze": (IN_BLANK, causal.packed),
            "append": (BEHIND_QUERY, causal.packed),
        },
    ),
    "masked": _RowMaker(
        {
            "cloze": (AROUND_BLANK, masked.word_by_word),
            "append": (BEHIND_QUERY, masked.unmasked),
        },
        ("[CLS]", "[SEP]", masked.MASK),
        ("[CLS]", "[SEP]"),
    ),
    "replaced": _RowMaker(
        {
            "cloze": (IN_BLANK, masked.unmasked),
            "append": (BEHIND_QUERY, masked.unmasked),
        },
        ("[CLS]", "[SEP]"),
        ("[CLS]", "[SEP]"),
    ),
    "seq2seq": _RowMaker(
        {
            "cloze": (WITH_SENTINEL, seq2seq.span),
            "append": (BEHIND_QUERY, seq2seq.repeated),
        },
        (seq2seq.PAD, "</s>", SENTINEL, seq2seq.NEXT_SENTINEL),
        ("", "</s>"),
    ),
}

# Of models whose tokens begin with their spaces: `config.mask_takes_space`.
_SPACED = {"cloze": (AROUND_SPACED_BLANK, masked.word_by_word)}


def check_tokenizer(tokenizer: "PreTrainedTokenizerFast", config: Any) -> None:
    """Raises InputError for a special token that the tokenizer lacks or does not put
    where the model expects it, and for tokens that the model has no embedding of;
    tokens added later may be more than it has (`check_tokens`)."""
    vocabulary = tokenizer.get_vocab()
    rows = ROWS[config.reading]
    if config.reading == "causal":
        _check_first(tokenizer, config)
    for token in (called(name, vocabulary) for name in rows.special_tokens):
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
    names = [called(name, vocabulary) for name in rows.around]
    for token, added in zip(names, added_around(tokenizer), strict=True):
        if token and vocabulary[token] not in added:
            raise InputError(
                f"the tokenizer does not put {' and '.join(filter(None, names))} "
                "around a text; put the model's own tokenizer files there"
            )


def _check_first(tokenizer: "PreTrainedTokenizerFast", config: Any) -> None:
    """Raises InputError where nothing can stand in front of a row that needs it."""
    first, name = first_token(tokenizer, config), config.first
    puts_one = name is None and len(added_around(tokenizer)[0])
    if not puts_one and (first is None or first >= config.vocab):
        raise InputError(
            f"the tokenizer has no {name or 'bos_token or eos_token'} for the model's "
            f"{config.vocab} tokens; put the model's own tokenizer files there"
        )


def longest_row(config: Any, presentation: Presentation) -> int:
    """The limit of a row, in tokens with its special tokens: what the model takes, but
    at most the presentation's `context_tokens`, or `LONGEST`."""
    return min(config.positions, presentation.context_tokens or LONGEST)


class Reader:
    """Reads questions for one model under one presentation."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        config: Any,
        presentation: Presentation,
    ):
        rows = ROWS[config.reading]
        self.tokenizer, self.config = tokenizer, config
        self.presentation = presentation
        self._limit = longest_row(config, presentation)
        self._spaced = config.mask_takes_space
        protocols = {**rows.protocols, **(_SPACED if self._spaced else {})}
        self._placing, self._layout = protocols[presentation.protocol]
        vocabulary = tokenizer.get_vocab()
        self._special = {
            name: vocabulary[called(name, vocabulary)] for name in rows.special_tokens
        }
        first = first_token(tokenizer, config)
        if config.reading == "causal" and first is not None:
            self._special[causal.START] = first

    def all(self, questions: Iterable[Question]) -> Iterator[Encoded]:
        """Reads many: word by word where the tokenizer does so itself, which gives the
        same tokens; see `encode`, also for what it raises at the question that is next.
        """
        words = Words(self.tokenizer) if splits_at_spaces(self.tokenizer) else None
        waiting = iter(questions)
        while some := list(itertools.islice(waiting, AT_ONCE)):
            passages = [Passage.of(question, self.presentation) for question in some]
            read = map(self._whole, passages)
            if words is not None:
                read = self._by_words(words, passages)
            for question, passage in zip(some, passages, strict=True):
                yield self._checked(question, self._laid_out(passage, next(read)))

    @property
    def conditions(self) -> dict[str, Any]:
        """All that decides what a question becomes, but for the question; JSON."""
        import tokenizers

        backend = self.tokenizer.backend_tokenizer
        own: dict[str, Any] = {"mask_takes_space": True} if self._spaced else {}
        if self.config.reading == "causal" and not hasattr(self.config, "first"):
            own["first"] = first_token(self.tokenizer, self.config)
        return {
            **self.presentation.identity,
            **own,
            "tokenizer": hashlib.sha256(backend.to_str().encode()).hexdigest(),
            "tokenizers": tokenizers.__version__,
            "reading": self.config.reading,
            "limit": self._limit,
            "revision": REVISION,
        }

    def recall(self, question: Question, content: bytes) -> Encoded:
        """What a question became once, from `Encoded.to_bytes`."""
        return self._checked(question, Encoded.from_bytes(content, self._lay_out))

    def one(self, question: Question) -> Encoded:
        """Reads one, as whole texts."""
        return self._checked(question, self.unchecked(question))

    def unchecked(self, question: Question) -> Encoded:
        """The same, with tokens that the model may not have."""
        passage = Passage.of(question, self.presentation)
        return self._laid_out(passage, self._whole(passage))

    def _by_words(
        self, words: Words, passages: Sequence[Passage]
    ) -> Iterator[TokenRows]:
        gaps = [self._placing.gap(passage) for passage in passages]
        try:
            words.learn(gaps)
        except OddWord:
            yield from map(self._whole, passages)
            return
        for passage, gap in zip(passages, gaps, strict=True):
            try:
                found = self._placing.by_words(words, passage, gap, self._limit)
            except OddWord:
                found = None
            yield self._whole(passage) if found is None else found

    def _whole(self, passage: Passage) -> TokenRows:
        predicted = self.config.reading == "causal"
        return self._placing.as_a_whole(self.tokenizer, passage, self._limit, predicted)

    def _lay_out(self, tokens: TokenRows) -> QuestionRows:
        return self._layout(tokens, self._special)

    def _laid_out(self, passage: Passage, tokens: TokenRows) -> Encoded:
        made = self._lay_out(tokens)
        terms = np.bincount(made.terms[:, OPTION], minlength=len(passage.options))
        refuse_empty(map(range, terms), passage.options)
        return Encoded(tokens, self._lay_out, Sizes.of(made))

    def _checked(self, question: Question, encoded: Encoded) -> Encoded:
        """Raises InputError for a token, fed or read, that the model has no embedding
        of: on a device it would be another one, silently."""
        if (largest := encoded.sizes.largest) >= self.config.vocab:
            token = self.tokenizer.convert_ids_to_tokens(largest)
            raise InputError(
                f"question {question.id} holds {token!r}, the tokenizer's token "
                f"{largest}, but the model's vocabulary has {self.config.vocab}; take "
                "it out of the tokenizer"
            )
        return encoded


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
    return Reader(tokenizer, config, presentation).one(question)


def encode_all(
    questions: Iterable[Question],
    tokenizer: "PreTrainedTokenizerFast",
    config: Any,
    presentation: Presentation,
) -> Iterator[Encoded]:
    """The same for many questions, much faster; in their order."""
    return Reader(tokenizer, config, presentation).all(questions)


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
    reading = [
        encode_all(questions, tokenizer, config, presentation)
        for presentation in presentations
    ]
    for _ in zip(*reading, strict=True):
        pass


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
    if not (ascii_only and plain and short <= longest_row(config, presentation)):
        alone = replace(presentation, context="query")
        Reader(tokenizer, config, alone).unchecked(question)
