"""Questions from a book: the recipe on made-up books, with words tagged by a table."""

import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse import processes
from jaxsparse.cbt import WORD_CLASSES
from jaxsparse.cbt.books import Book
from jaxsparse.cbt.build import (
    CLASSLESS,
    FEW,
    MARKED,
    REASONS,
    SHORT,
    UNTOLD,
    Skipped,
    Words,
    build,
    find_names,
    hanta_tagger,
    text_of,
)
from jaxsparse.cbt.from_books import BookQuestion, from_books
from jaxsparse.types import InputError
from tests.told import Told

NOUNS = ["apple", "barn", "cart", "door", "egg", "fence", "gate", "hen", "inn", "jug"]
NOUNS += ["kite", "lamp", "mill", "nut"]
VERBS = ["asked", "begged", "came", "drove", "ended", "fell", "gave", "hid", "ironed"]
VERBS += ["jumped", "kept", "left"]
PREPOSITIONS = ["about", "by", "for", "from", "in", "into", "of", "on", "over", "to"]
PREPOSITIONS += ["under", "with"]
NAMES = ["Ann", "Ben", "Cora", "Dan", "Eva", "Fred", "Gus", "Hal", "Ida", "Jem"]
NAMES += ["Kit", "Macrae", "MacRae"]  # the last two are one name, up to case
TABLE = {"CN": NOUNS, "V": VERBS, "P": PREPOSITIONS, "NE": NAMES}
TAGS = {
    **dict.fromkeys(NOUNS, "NN1"),
    **dict.fromkeys(VERBS, "VVD"),
    **dict.fromkeys(PREPOSITIONS, "PRP"),
    **dict.fromkeys(NAMES, "NP0"),
}


def tag(tokens):
    return [TAGS.get(token, "AT0") for token in tokens]


def words_of(*sentences, name="hens"):
    """The words of a book with a paragraph for each sentence."""
    return Words.of(Book(name, tuple(sentences), 0), tag)


def built(words, word_class, per_book=0, seed=0):
    """The questions of one class, and what was skipped."""
    skipped = Skipped()
    return list(build(words, [word_class], per_book, seed, skipped)), skipped


def plain(number):
    """Sentence `number` of a book with ten nouns in any ten sentences in a row."""
    noun, verb = NOUNS[number % 14], VERBS[number % 12]
    return f"Then the {noun} of Ann {verb} again, said Ben."


BOOK = [plain(number) for number in range(30)]


# The recipe, on books of every kind


def made_up(random):
    """20 to 40 sentences whose words come from vocabularies of any size: some stories
    hold ten candidates, some need the book's, and some books have too few."""
    vocabulary = {
        word_class: words[: random.randint(9, len(words))]
        for word_class, words in TABLE.items()
    }
    sentences = []
    for _ in range(random.randint(20, 40)):
        clause, other = (
            "the {} {} again {} old {}".format(*map(random.choice, vocabulary.values()))
            for _ in range(2)
        )
        many = f"Now {clause}, and {other}."
        sentences.append(random.choice([many, many, f"Then {clause}.", "Why?"]))
    return sentences


BOOKS = st.randoms(use_true_random=True).map(made_up)


def of_class(words, word_class, begin, end):
    """A class's words in a range of sentences, found the naive way."""
    within = Counter(t for tokens in words.sentences for t in tokens[1:])
    return [
        token
        for tokens in words.sentences[begin:end]
        for token in tokens
        if token in TABLE[word_class] and (word_class != "NE" or within[token] > 1)
    ]


def lower(texts):
    return {text.lower() for text in texts}


@given(BOOKS, st.sampled_from(WORD_CLASSES), st.integers(0, 9))
def test_every_question_follows_the_recipe(book, word_class, seed):
    words = words_of(*book)
    for question in built(words, word_class, seed=seed)[0]:
        answer = words.sentences[question.sentence][question.token]
        options, at = question.options, question.sentence
        assert (question.book, question.word_class) == ("hens", word_class)
        assert len(options) == len(lower(options)) == 10
        assert options == tuple(sorted(options))
        assert answer in options
        assert set(options) <= set(of_class(words, word_class, 0, None))
        story = [token for tokens in words.sentences[at - 20 : at] for token in tokens]
        assert answer.lower() in lower(story)
        near = lower(of_class(words, word_class, at - 20, at)) | {answer.lower()}
        if len(near) >= 10:
            assert lower(options) <= near
        else:
            assert lower(options) >= near

        sentences = [*map(" ".join, words.sentences)]
        text = text_of(question, sentences)
        assert text.sentences == tuple(sentences[at - 20 : at])
        assert text.question.split().index("XXXXX") == question.token
        assert text.question.replace("XXXXX", answer) == sentences[at]
        assert (text.answer, text.options) == (answer, options)


@given(BOOKS, st.sampled_from(WORD_CLASSES))
def test_every_sentence_gives_a_question_or_is_counted(book, word_class):
    words = words_of(*book)
    questions, skipped = built(words, word_class)
    places = max(len(words.sentences) - 20, 0)
    assert len(questions) + skipped.sentences.total() == places
    assert {reason for *_, reason in skipped.sentences} <= set(REASONS)
    assert len({question.sentence for question in questions}) == len(questions)
    assert bool(skipped.short_books) == (places == 0)


@given(BOOKS, st.sampled_from(WORD_CLASSES), st.integers(1, 6), st.integers(0, 9))
def test_fewer_questions_are_the_first_ones(book, word_class, per_book, seed):
    words = words_of(*book)
    every, _ = built(words, word_class, seed=seed)
    assert built(words, word_class, per_book, seed)[0] == every[:per_book]


@pytest.mark.parametrize("order", [WORD_CLASSES, WORD_CLASSES[::-1]])
def test_a_class_does_not_depend_on_the_others(order):
    words = words_of(*made_up(Random(3)))
    alone = [built(words, word_class, seed=2**70)[0] for word_class in order]
    assert all(alone)
    together = list(build(words, order, 0, 2**70, Skipped()))
    assert together == [question for questions in alone for question in questions]


def test_seed_and_book_change_what_is_drawn():
    words, other = words_of(*BOOK), words_of(*BOOK, name="ducks")
    drawn = [built(words, "CN", seed=seed)[0] for seed in (0, 0, 1)]
    drawn.append(built(other, "CN")[0])
    orders = [[question.sentence for question in questions] for questions in drawn]
    options = [dict(sorted((q.sentence, q.options) for q in qs)) for qs in drawn]
    for first, again, *others in (orders, options):
        assert first == again
        assert all(first != one for one in others)
        assert others[0] != others[1]
    assert sorted(orders[0]) == list(range(20, 30))


@pytest.mark.parametrize("more", [1, 9])
def test_a_question_does_not_depend_on_what_comes_later(more):
    first, _ = built(words_of(*BOOK), "CN")
    longer, _ = built(words_of(*BOOK, *map(plain, range(30, 30 + more))), "CN")
    assert len(longer) == len(first) + more
    assert all(question in longer for question in first)


# What is blanked


def test_twenty_one_sentences_give_a_question_and_twenty_none():
    shortest = "Then a hen fell down."
    (question,), skipped = built(words_of(*BOOK[:20], shortest), "CN")
    assert (question.sentence, question.token, skipped) == (20, 2, Skipped())
    questions, skipped = built(words_of(*BOOK[:20]), "CN")
    assert (questions, skipped) == ([], Skipped(short_books={"hens": 20}))


def skipped_for(reason):
    return Skipped(sentences=Counter({("hens", "CN", reason): 1}))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("A hen fell down.", SHORT),  # five tokens
        ("So it was again and again.", CLASSLESS),
        ("Hens and HENS and Hen, so it was.", CLASSLESS),  # none in lower case
        ("It was a hen'ry, a 7hen and h2en.", CLASSLESS),  # no word
        ("XXXXX and the hen went by again.", MARKED),  # the blank's own mark
        ("The hen|duck and the hen went by.", MARKED),  # the mark between options
        ("Then the zither was out of tune.", UNTOLD),
        ("A zither | .", SHORT),  # the first reason that holds
    ],
)
def test_what_gives_no_question_is_counted_by_its_reason(query, reason, monkeypatch):
    monkeypatch.setitem(TAGS, "zither", "NN1")
    questions, skipped = built(words_of(*BOOK[:20], query), "CN")
    assert (questions, skipped) == ([], skipped_for(reason))


def test_marks_of_the_format_spoil_the_stories_they_stand_in():
    questions, skipped = built(words_of("It was a|b.", *BOOK[1:]), "CN")
    assert sorted(question.sentence for question in questions) == list(range(21, 30))
    assert skipped == skipped_for(MARKED)


def test_every_word_of_the_class_may_be_blanked():
    words = words_of(*BOOK[:20], "An egg, a jug, a hen and an egg.")
    blanked = {built(words, "CN", seed=seed)[0][0].token for seed in range(40)}
    assert blanked == {1, 4, 7, 10}


def test_only_what_the_story_holds_is_blanked_in_whatever_case(monkeypatch):
    monkeypatch.setitem(TAGS, "zither", "NN1")
    story = [line.replace("lamp", "mill").replace("kite", "Kite") for line in BOOK[:20]]
    words = words_of(*story, "A lamp, a zither, a kite and an egg.")
    blanked = {built(words, "CN", seed=seed)[0][0].answer for seed in range(40)}
    assert blanked == {"kite", "egg"}


@pytest.mark.parametrize(("nouns", "made"), [(9, 0), (10, 1)])
def test_a_class_needs_ten_words_in_the_book(nouns, made):
    stories = [f"Then the {noun} came by again." for noun in NOUNS[:nouns]]
    book = [*stories, *["It was late."] * (20 - nouns), "So the egg came by again."]
    questions, skipped = built(words_of(*book), "CN")
    assert len(questions) == made
    assert skipped == (Skipped() if made else skipped_for(FEW))


@pytest.mark.parametrize(("others", "made"), [(8, 0), (9, 1)])
def test_two_spellings_of_a_word_are_one_option(others, made):
    names = [*NAMES[:others], "Macrae", "MacRae"]
    line = f"So {' and '.join(names)} ran off."
    questions, _ = built(words_of(*[line] * 21), "NE")
    assert [len(lower(question.options)) for question in questions] == [10] * made


def test_what_the_story_lacks_comes_from_the_book():
    far = [f"Then the {noun} came by again." for noun in NOUNS[4:]]
    near = ["A cart, a barn, an apple and a door came by."] * 20
    words = words_of(*near, "So the apple came by again.", *far)
    first = next(q for q in built(words, "CN")[0] if q.sentence == 20)
    assert {"apple", "barn", "cart", "door"} < set(first.options) < set(NOUNS)


# Words and their classes


def test_tags_and_capitals_decide_the_class_of_a_word():
    line = """The/AT0 hens/NN2 of/PRF Ann/NP0 and/CJC Red/AJ0 Ann/NP0 can/VM0 do/VDB
        as/CJS that/CJT folk/NN0 Red/AJ0 is/VBZ ,/PUN a/AT0 hen/NN1 wo/VVB n't/XX0
        go/VVI to/TO0 'em/NN1 ,/PUN has/VHZ half-inns/NN2 in/PRP HEN/NN1 x/NN1 ./PUN"""
    tokens, tags = zip(*(word.split("/") for word in line.split()), strict=True)
    book = Book("hens", (" ".join(tokens),), 0)
    found = Words.of(book, lambda _: tags).by_class
    assert found["NE"] == ({3: "Ann", 6: "Ann"},)
    assert {name: " ".join(found[name][0].values()) for name in WORD_CLASSES} == {
        "CN": "hens folk hen half-inns",
        "NE": "Ann Ann",
        "V": "do is go has",
        "P": "of as that to in",
    }


def test_names_are_capitals_within_sentences_that_are_hardly_ever_lower():
    sentences = [
        *["Then Ann met Rose and Will ."] * 4,
        *["`` Yes , '' said Ben , `` Never ; but -- Often : Not . ''"] * 2,
        *["Dan and Mr. King and I saw Father , and CORA saw Eva ."] * 2,
        "Once I saw a rose by Fay .",
        "Then he will and they will .",
        *["Dan -LRB- Later -RRB- Soon ran to Jo-Ann by X ."] * 2,
        *["`` Why ! Never ? '' Thus Mr. Moss , of St. Bees ; Hence P. Finn ."] * 2,
    ]
    names = find_names(sentence.split() for sentence in sentences)
    assert names == {"Ann", "Rose", "Ben", "Eva", "Jo-Ann", "Moss", "Bees"}


def test_without_hanta_the_command_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "HanTa", None)
    with pytest.raises(InputError, match=r"HanTa, .* not installed; .* pip install"):
        hanta_tagger()


def test_hanta_knows_the_four_classes():
    pytest.importorskip("HanTa")
    book = Book("hens", ("The old hen ran into the barn with Ann, and Ann slept.",), 0)
    found = Words.of(book, hanta_tagger()).by_class
    assert {name: set(found[name][0].values()) for name in WORD_CLASSES} == {
        "CN": {"hen", "barn"},
        "NE": {"Ann"},
        "V": {"ran", "slept"},
        "P": {"into", "with"},
    }


def test_tags_are_what_hanta_says_whatever_was_tagged_before():
    hanta = pytest.importorskip("HanTa.HanoverTagger")
    tagger, tag = hanta.HanoverTagger("morphmodel_en.pgz"), hanta_tagger()
    line = "Zorbles the unblinkable Zorbles snorkled , '' said zorbles `` MOPSILY . ''"
    sentences = [line.split(), line.lower().split(), ["unblinkable"], [], line.split()]
    expected = [[word[2] for word in tagger.tag_sent(words)] for words in sentences]
    assert [tag(words) for words in sentences] == expected


# In full


def tagger():
    """As a process of its own makes it."""
    return tag


@pytest.mark.parametrize("cores", [1, 2])
def test_questions_of_many_books_do_not_depend_on_who_makes_them(cores, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: cores)
    lengths = {"short": 12, "hens": 30, "ducks": 40, "geese": 25}
    books = [
        Book(name, tuple(map(plain, range(length))), 0)
        for name, length in lengths.items()
    ]
    progress = Told()
    by_book, skipped = from_books(books, ["V", "CN"], 7, 3, progress, tagger)
    assert progress.told == [1] * 4
    expected = Skipped()
    for book, questions in zip(books, by_book, strict=True):
        words = Words.of(book, tag)
        assert questions == [
            BookQuestion(place, text_of(place, [*map(" ".join, words.sentences)]))
            for place in build(words, ["V", "CN"], 7, 3, expected)
        ]
    assert skipped == expected
    assert skipped.short_books == {"short": 12}
    assert [len(questions) for questions in by_book] == [0, 14, 14, 10]
    sentences = [line for q in by_book[1] for line in q.text.sentences]
    assert len({*map(id, sentences)}) == len({*sentences})  # shared, not copied


def test_a_book_that_is_not_what_it_was_is_refused():
    words = words_of(*BOOK)
    question = built(words, "CN")[0][0]
    at, sentences = question.sentence, [*map(" ".join, words.sentences)]
    with pytest.raises(InputError, match=f"hens has no sentence {at}"):
        text_of(question, sentences[:at])
    for changed in ("So it was", f"Ah {sentences[at]}"):
        other = [*sentences[:at], changed, *sentences[at + 1 :]]
        with pytest.raises(InputError, match=f"hens, sentence {at}: token .* not what"):
            text_of(question, other)
