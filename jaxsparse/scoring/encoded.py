"""One question, ready for the device: rows of tokens, and where scores come from."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from jaxtyping import Int, Int32

from jaxsparse.scoring.tokens import Ids

EncodedRow = dict[
    str, np.ndarray
]  # field of the family's inputs -> one-dimensional values

# A term of a score: the option, the row of the question, the slot among the row's
# scored positions, and the token whose probability is read there.
Terms = Int32[np.ndarray, "_ 4"]
OPTION, ROW, SLOT, TOKEN = range(4)
_TWO_BYTES = np.iinfo(np.uint16)
TOKEN_FIELDS = ("encoder_tokens", "tokens")


@dataclass(frozen=True)
class TokenRows:
    """What a tokenizer made of a question: rows that differ in one place.

    row of option n    head … tails[n] … rest …
    """

    head: Ids
    tails: tuple[Ids, ...]  # of each option
    rest: Ids
    first: tuple[int, ...]  # in each tail, the first token that covers the option
    own: tuple[Int[np.ndarray, " _"], ...]  # and all that do
    ends: tuple[int, ...]  # of the text, in tail and rest: what follows was added to it
    dropped: int  # sentences left out from the left
    by_words: bool = False  # and not as whole texts

    @classmethod
    def of_pieces(
        cls, head: Ids, pieces: Sequence[Ids], rest: Ids, dropped: int, by_words: bool
    ) -> "TokenRows":
        """Of options that are read by themselves."""
        sizes = tuple(map(len, pieces))
        own = tuple(map(np.arange, sizes))
        first = (0,) * len(pieces)
        return cls(head, tuple(pieces), rest, first, own, sizes, dropped, by_words)

    def numbers(self) -> list[Int[np.ndarray, " _"]]:
        """All of it as whole numbers, for `of_numbers`."""
        lengths = [*map(len, self.tails), *map(len, self.own)]
        counts = [len(self.tails), len(self.head), len(self.rest)]
        about = [*counts, self.dropped, self.by_words, *self.first, *self.ends]
        parts = (self.head, self.rest, *self.tails, *self.own)
        return [np.array([*about, *lengths]), *parts]

    @classmethod
    def of_numbers(cls, numbers: Int[np.ndarray, " _"]) -> "TokenRows":
        """What was made of `numbers`, as one array."""
        options, head, rest, dropped, by_words = numbers[:5].tolist()
        per_option = numbers[5 : 5 + 4 * options].reshape(4, options)
        first, ends, *lengths = per_option.tolist()
        sizes = np.cumsum([head, rest, *lengths[0], *lengths[1]])
        head, rest, *parts = np.split(numbers[5 + 4 * options :], sizes[:-1])
        return cls(
            head=head,
            tails=tuple(parts[:options]),
            rest=rest,
            first=tuple(first),
            own=tuple(parts[options:]),
            ends=tuple(ends),
            dropped=dropped,
            by_words=bool(by_words),
        )

    def texts(self) -> list[Ids]:
        """What follows the head in each row, without what was added to its text."""
        return [
            np.concatenate([tail, self.rest])[:end]
            for tail, end in zip(self.tails, self.ends, strict=True)
        ]


@dataclass(frozen=True)
class QuestionRows:
    """All rows of a question, and all terms of its options' scores, in order."""

    rows: tuple[EncodedRow, ...]
    terms: Terms


@dataclass(frozen=True)
class Sizes:
    """What a batch must have room for."""

    rows: int
    encoder: int  # tokens of the longest row; 0 without an encoder
    tokens: int
    scored: int
    all_tokens: int  # of all rows
    reads: int  # terms of all options
    terms: int  # of the option that has most
    largest: int  # token, fed or read

    @classmethod
    def of(cls, made: QuestionRows) -> "Sizes":
        encoder = [len(row.get("encoder_tokens", ())) for row in made.rows]
        tokens = [len(row["tokens"]) for row in made.rows]
        fed = [row[name] for row in made.rows for name in TOKEN_FIELDS if name in row]
        return cls(
            rows=len(made.rows),
            encoder=max(encoder),
            tokens=max(tokens),
            scored=max(len(row["scored"]) for row in made.rows),
            all_tokens=sum(encoder) + sum(tokens),
            reads=len(made.terms),
            terms=int(np.bincount(made.terms[:, OPTION]).max()),
            largest=int(np.concatenate([made.terms[:, TOKEN], *fed]).max()),
        )


@dataclass(frozen=True)
class Encoded:
    """A question in tokens. Its rows are laid out when they are asked for: together
    they are many times what they are made of."""

    tokens: TokenRows
    lay_out: Callable[[TokenRows], QuestionRows]  # of the family and protocol
    sizes: Sizes

    def to_bytes(self) -> bytes:
        """All but `lay_out`, as whole numbers: two bytes each where that is enough."""
        numbers = np.concatenate(
            [*astuple(self.sizes), *self.tokens.numbers()], axis=None
        )
        kind = "<u2" if numbers.max() <= _TWO_BYTES.max else "<i4"
        return kind.encode() + numbers.astype(kind).tobytes()

    @classmethod
    def from_bytes(
        cls, content: bytes, lay_out: Callable[[TokenRows], QuestionRows]
    ) -> "Encoded":
        kind, values = content[:3].decode(), content[3:]
        numbers = np.frombuffer(values, kind).astype(np.int32)
        sizes = len(fields(Sizes))
        tokens = TokenRows.of_numbers(numbers[sizes:])
        return cls(tokens, lay_out, Sizes(*numbers[:sizes].tolist()))

    @property
    def option_tokens(self) -> tuple[int, ...]:
        """The option's own tokens, for each option."""
        return tuple(map(len, self.tokens.own))

    @property
    def options(self) -> int:
        return len(self.tokens.own)

    @property
    def dropped(self) -> int:
        return self.tokens.dropped

    @property
    def laid_out(self) -> QuestionRows:
        return self.lay_out(self.tokens)

    @property
    def rows(self) -> tuple[EncodedRow, ...]:
        return self.laid_out.rows


def terms_of(option: int, row: int, slots: np.ndarray, tokens: np.ndarray) -> Terms:
    terms = np.empty((len(tokens), 4), np.int32)
    terms[:, OPTION], terms[:, ROW] = option, row
    terms[:, SLOT], terms[:, TOKEN] = slots, tokens
    return terms


def distinct(keys: Iterable[Hashable]) -> tuple[list[int], list[int]]:
    """The first option of each key, and which of them stands for each option.

    Options that are the same to the tokenizer share a row, and so tie exactly.
    """
    numbers: dict[Hashable, int] = {}
    found = [numbers.setdefault(key, len(numbers)) for key in keys]
    return [found.index(number) for number in range(len(numbers))], found


def pack(
    head: Ids, tails: Sequence[Ids], first: Sequence[int]
) -> tuple[EncodedRow, Terms]:
    """Packs rows that begin alike into one: the shared prefix, then their branches.

    rows     p0 p1 p2 a0 a1 a2          prefix   p0 p1 p2
             p0 p1 p2 b0 b1             branches          a0 a1 b0
    positions                            0  1  2  3  4  3

    A token is predicted one position before its own, so the last of each row is never
    read, and the first of each branch is predicted at the prefix's end. Equal rows
    share a branch, and so tie exactly.

    Args:
        head: the first tokens of all rows, int32.
        tails: those that follow, of each row.
        first: the first scored token of each row, counted in its tail, and the second
            of the row at least; all after it are scored.

    Returns:
        the packed row, and the terms of the rows, all of packed row 0.
    """
    common = min(common_prefix(tails), *first)
    shared = len(head) + common
    branches: list[Ids] = []
    begins: dict[bytes, int] = {}  # a tail -> where its branch begins
    end = shared
    terms = []
    for option, (tail, start) in enumerate(zip(tails, first, strict=True)):
        begin = begins.setdefault(tail.tobytes(), end)
        if begin == end and len(begins) > len(branches):
            branches.append(tail[common:-1])
            end += len(branches[-1])
        at = np.arange(start, len(tail)) + (begin - common - 1)
        if start == common:
            at[:1] = shared - 1
        terms.append(terms_of(option, 0, at, tail[start:]))
    made = np.concatenate(terms)
    made[:, SLOT], scored = _numbered(made[:, SLOT])
    sizes = [len(branch) for branch in branches]
    return {
        "tokens": np.concatenate([head, tails[0][:common], *branches]),
        "positions": np.concatenate(
            [np.arange(shared, dtype=np.int32)]
            + [np.arange(shared, shared + size, dtype=np.int32) for size in sizes]
        ),
        "branches": np.repeat(
            np.arange(1 + len(sizes), dtype=np.int32), [shared, *sizes]
        ),
        "scored": scored,
    }, made


def _numbered(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each place its number, in the order in which they appear; and the places."""
    found, begins, numbers = np.unique(places, return_index=True, return_inverse=True)
    order = np.argsort(begins)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks[numbers], found[order].astype(np.int32)


def common_prefix(rows: Sequence[Ids]) -> int:
    """How many tokens all rows begin with."""
    shortest = min(len(row) for row in rows)
    heads = np.stack([row[:shortest] for row in rows])
    same = (heads == heads[0]).all(axis=0)
    return shortest if same.all() else int(np.argmin(same))
