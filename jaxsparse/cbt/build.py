"""Questions from any book, by the recipe of the Children's Book Test.

21 consecutive sentences; in the 21st one word is blanked that the twenty before it, the
story, hold too; ten options of its class, the answer among them, the others from the
story, or from the rest of the book where it holds too few. What is drawn depends on the
seed, the book, the sentence and the class alone.

That the story holds the answer is how the published questions are (all options of the
sixteen at hand stand in their stories), and it matters: where it need not, the option
that the story lacks is right more often than not, and nobody has to read.

Differences from Hill et al. (2016), who used Stanford CoreNLP: words are tagged by
HanTa, names are found by how a book writes them, and only lower-case words are blanked
in the other classes, since a capital gives the beginning of a sentence away.

Source: Hill et al. (2016), section 2.1, https://arxiv.org/abs/1511.02301.
"""

import functools
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxsparse.cbt.books import Book
from jaxsparse.cbt.questions import BLANK, OPTIONS, SENTENCES, WORD_CLASSES
from jaxsparse.types import InputError

Tagger = Callable[[Sequence[str]], Sequence[str]]  # tokens -> their C5 tags

# Of the C5 tagset; the Penn tags behind CBT's classes are NN NNS, VB*, IN TO.
CLASSES = {
    "CN": re.compile(r"NN\d"),
    "V": re.compile(r"V[BDHV]."),
    "P": re.compile(r"PRP|PRF|CJS|CJT|TO0"),
}
ADJECTIVE = "AJ0"
WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*")
PARTS = frozenset({
    "ca", "wo", "sha", "ai", "na", "ta", "gon", "wan", "got", "lem", "gim",
})  # fmt: skip  # of ca n't, …
TITLES = frozenset({
    "I", "O", "Oh", "Ah", "Mr", "Mrs", "Miss", "Master", "Mistress", "Madam", "Sir",
    "Lord", "Lady", "Dame", "King", "Queen", "Prince", "Princess", "Duke",
    "Duchess", "Captain", "Doctor", "Judge", "Uncle", "Aunt", "Aunty", "Auntie",
    "Father", "Mother", "Papa", "Mamma", "Mama", "Grandfather", "Grandmother",
    "Grandma", "Grandpa", "Granny", "Brother", "Sister", "Cousin", "Majesty",
    "Highness", "Heaven", "God", "Good", "Old", "Little", "St", "Saint",
    "Professor", "Parson", "Squire", "Farmer", "General", "Major", "Colonel",
    "Sergeant", "Marshal", "Mayor", "Constable", "Madame", "Monsieur", "Herr",
    "Frau", "Emperor", "Empress", "Count", "Countess", "Baron", "Bishop", "Nurse",
})  # fmt: skip
SHORTEST_QUERY = 6  # tokens
NAME_SEEN = 2  # capitalised within a sentence, at least so often
WORDS_KEPT = 2**14  # a few kB each


@dataclass(frozen=True)
class QuestionPlace:
    """A question by where it stands: `sentence` is the query, and the twenty before it
    the story; `token` is the blank."""

    book: str
    word_class: str
    sentence: int  # index into the book's sentences
    token: int  # index into the sentence's tokens
    answer: str
    options: tuple[str, ...]  # sorted


SHORT = f"fewer than {SHORTEST_QUERY} tokens"
MARKED = f"{BLANK} or | in the story or the sentence"
CLASSLESS = "no word of the class"
UNTOLD = "none of them in the story"
FEW = "fewer than ten candidates in the book"
REASONS = (SHORT, MARKED, CLASSLESS, UNTOLD, FEW)


@dataclass
class Skipped:
    """Why there are not more questions."""

    short_books: dict[str, int] = field(default_factory=dict)  # name -> sentences
    # (book, class, reason) -> sentences; of several reasons the first
    sentences: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Words:
    """The sentences of a book, and the words of each class in each, by position."""

    book: str
    sentences: tuple[tuple[str, ...], ...]
    by_class: dict[str, tuple[dict[int, str], ...]]  # class -> sentence -> position

    @classmethod
    def of(cls, book: Book, tag: Tagger) -> "Words":
        sentences = tuple(tuple(sentence.split()) for sentence in book.sentences())
        names = find_names(sentences)
        found = [_classify(tokens, tag(tokens), names) for tokens in sentences]
        return cls(
            book.name,
            sentences,
            {name: tuple(classes[name] for classes in found) for name in WORD_CLASSES},
        )

    def distinct(self, word_class: str, begin: int, end: int) -> list[str]:
        """The words of a class in a range of sentences, first spelling, up to case."""
        found: dict[str, str] = {}
        for sentence in self.by_class[word_class][begin:end]:
            for word in sentence.values():
                found.setdefault(word.lower(), word)
        return list(found.values())


def hanta_tagger() -> Tagger:
    """HanTa's English model, which comes with the package.

    Raises:
        InputError: HanTa is not installed.
    """
    try:
        from HanTa import HanoverTagger
    except ImportError:
        raise InputError(
            "HanTa, which tags words, is not installed; "
            "run .venv/bin/python -m pip install 'hanta>=1.2'"
        ) from None
    tagger = HanoverTagger.HanoverTagger("morphmodel_en.pgz")
    # What a word that the model has not seen may be depends on its letters alone.
    tagger.analyze_forward = functools.lru_cache(WORDS_KEPT)(tagger.analyze_forward)

    def tag(tokens: Sequence[str]) -> list[str]:
        return [*map(str, tagger.tag_sent(list(tokens), taglevel=0))]  # no lemmas

    return tag


def find_names(sentences: Iterable[Sequence[str]]) -> frozenset[str]:
    """What a book writes with a capital within sentences, and hardly ever without."""
    capital, lower = Counter(), Counter()
    for tokens in sentences:
        for before, token in itertools.pairwise(tokens):
            if not WORD.fullmatch(token):
                continue
            if token[0].islower():
                lower[token] += 1
            elif _is_within(before) and not token.isupper():
                capital[token] += 1
    return frozenset(
        word
        for word, count in capital.items()
        if count >= NAME_SEEN
        and 4 * lower[word.lower()] <= count
        and word not in TITLES
    )


def _is_within(before: str) -> bool:
    """Whether a capital behind this token cannot be that of a sentence's beginning."""
    title = before.endswith(".") and len(before) > 2
    return before == "," or before[-1].isalnum() or title


def _classify(
    tokens: Sequence[str], tags: Sequence[str], names: frozenset[str]
) -> dict[str, dict[int, str]]:
    """The words of each class in a sentence, by position."""
    found: dict[str, dict[int, str]] = {name: {} for name in WORD_CLASSES}
    for position, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
        if token in names and tag != ADJECTIVE:
            found["NE"][position] = token
        elif WORD.fullmatch(token) and token.islower() and token not in PARTS:
            for word_class, pattern in CLASSES.items():
                if pattern.fullmatch(tag):
                    found[word_class][position] = token
    return found


def build(
    words: Words,
    word_classes: Sequence[str],
    per_book: int,
    seed: int,
    skipped: Skipped,
) -> Iterator[QuestionPlace]:
    """The questions of one book, class by class, those of a class in random order.

    Args:
        per_book: of each class at most so many; 0: every sentence that gives one.
    """
    if len(words.sentences) <= SENTENCES:
        skipped.short_books[words.book] = len(words.sentences)
        return
    for word_class in word_classes:
        places = np.arange(SENTENCES, len(words.sentences))
        order = _generator(seed, words.book, word_class).permutation(places)
        made = 0
        for sentence in order.tolist():
            if per_book and made == per_book:
                break
            question = _question(words, word_class, sentence, seed)
            if isinstance(question, QuestionPlace):
                made += 1
                yield question
            else:
                skipped.sentences[words.book, word_class, question] += 1


def _question(
    words: Words, word_class: str, sentence: int, seed: int
) -> QuestionPlace | str:
    """The question, or why there is none: one of REASONS."""
    query = words.sentences[sentence]
    story = words.sentences[sentence - SENTENCES : sentence]
    told = {token.lower() for tokens in story for token in tokens}
    of_class = words.by_class[word_class][sentence]
    places = {token: word for token, word in of_class.items() if word.lower() in told}
    if len(query) < SHORTEST_QUERY:
        return SHORT
    if any(_unwritable(token) for tokens in (*story, query) for token in tokens):
        return MARKED
    if not places:
        return UNTOLD if of_class else CLASSLESS
    generator = _generator(seed, words.book, word_class, sentence)
    token = int(generator.choice(sorted(places)))
    answer = places[token]
    near = words.distinct(word_class, sentence - SENTENCES, sentence)
    others = _draw(near, [answer], generator)
    if len(others) < OPTIONS - 1:
        far = words.distinct(word_class, 0, len(words.sentences))
        others += _draw(far, [answer, *others], generator)
    if len(others) < OPTIONS - 1:
        return FEW
    options = tuple(sorted([answer, *others[: OPTIONS - 1]]))
    return QuestionPlace(words.book, word_class, sentence, token, answer, options)


def _draw(
    pool: Sequence[str], taken: Sequence[str], generator: np.random.Generator
) -> list[str]:
    """The words of a pool in random order, but for those that are taken, up to case."""
    gone = {word.lower() for word in taken}
    free = [word for word in pool if word.lower() not in gone]
    return [free[index] for index in generator.permutation(len(free))]


def _unwritable(token: str) -> bool:
    """CBTest's format could not tell these from its own marks."""
    return BLANK in token or "|" in token


def _generator(seed: int, *place: str | int) -> np.random.Generator:
    numbers = [
        part if isinstance(part, int) else zlib.crc32(part.encode()) for part in place
    ]
    return np.random.default_rng([seed, *numbers])


@dataclass(frozen=True)
class QuestionText:
    """A built question with its words, as CBTest's files and the hub have it."""

    sentences: tuple[str, ...]
    question: str
    answer: str
    options: tuple[str, ...]


def text_of(built: QuestionPlace, sentences: Sequence[str]) -> QuestionText:
    """A built question in full, from its book's sentences, tokens between spaces. The
    questions share the sentences of their stories, in memory and on the way to another
    process.

    Raises:
        InputError: the book is not the one that the question was built from.
    """
    if not SENTENCES <= built.sentence < len(sentences):
        raise InputError(f"{built.book} has no sentence {built.sentence}")
    query = sentences[built.sentence].split()
    if not 0 <= built.token < len(query) or query[built.token] != built.answer:
        raise InputError(
            f"{built.book}, sentence {built.sentence}: token {built.token} is not "
            f"{built.answer!r}; the book is not what it was"
        )
    query[built.token] = BLANK
    story = sentences[built.sentence - SENTENCES : built.sentence]
    return QuestionText(tuple(story), " ".join(query), built.answer, built.options)
