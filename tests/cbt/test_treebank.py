"""Sentences and tokens, one form at a time; and back again through the detokenizer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt import STYLES
from jaxsparse.cbt.treebank import sentences, straighten, tokens


def test_quotes_and_dashes_become_those_of_cbt():
    curly = "“Well—‘yes’,” said\u00a0he… „No‟ «no» –"
    assert straighten(curly) == '"Well--\'yes\'," said he... "No" "no" --'


@pytest.mark.parametrize(
    "parted",
    [
        "He ran. | She hid.",
        'He ran. | "Ho!" she said. | Why? | (Nobody knew.) | -- So it was.',
        '"Come in," he said. | "Go!" | She went.',
        '"Go!" she said, "or stay?" and left.',
        "'Go.' | 'Why?' | He went.",
        "\"He said 'no.'\" | Then all went.",
        "Wait... he said. | Wait... | He came. | What?! | No!!! | 12 hens came.",
        "he went. on without capitals",
        # titles and initials end no sentence
        "Mr. Dunn met Mrs. P. T. Moss of St. Bees. | He bowed.",
        "Seeds, nuts, etc. Ann ate all, i.e. Dr. Moss did not.",
        "The U.S. Mail came. | So did I. He stayed.",
        # ... unless they come with another mark, or are only like one
        "Was it Mr.? | It was. | Did I? | You did. | Amr. | He ran.",
        # what stands within a word is no end
        "It cost 3.50 a yard. | The a.m.Train left.",
        "",
    ],
)
def test_sentences(parted):
    expected = parted.split(" | ") if parted else []
    assert list(sentences(parted.replace(" | ", " "))) == expected


@pytest.mark.parametrize(
    ("text", "made"),
    [
        # punctuation
        ("Well, well; so: yes!", "Well , well ; so : yes !"),
        ("Who? What?! Oh...", "Who ? What ? ! Oh ..."),
        ("a hen -- a fine hen--sat", "a hen -- a fine hen -- sat"),
        ("a well-kept half-door ---- gone.", "a well-kept half-door -- gone ."),
        ("(So [there] {now}.)", "-LRB- So -LSB- there -RSB- -LCB- now -RCB- . -RRB-"),
        # full stops
        ("Mr. Dunn met P. T. Moss.", "Mr. Dunn met P. T. Moss ."),
        ('"It is Mr."', "`` It is Mr . ''"),
        ("We saw the U.S. Mail at 3.50.", "We saw the U.S. Mail at 3.50 ."),
        # contractions
        ("I can't, won't and DON'T.", "I ca n't , wo n't and DO N'T ."),
        ("He'd go; it's Ann's, I'm sure.", "He 'd go ; it 's Ann 's , I 'm sure ."),
        ("They're what we've said they'll be", "They 're what we 've said they 'll be"),
        ("o'clock, ma'am, O'Dare's", "o'clock , ma'am , O'Dare 's"),
        # words that begin or end with an apostrophe
        ("'Tis he, 'twas 'em.", "'Tis he , 'twas 'em ."),
        ("the boys' kites", "the boys ' kites"),
        ("Goin' home, goin'.", "Goin ' home , goin ' ."),
        # quotes
        ('"Stay," she said, "or go."', "`` Stay , '' she said , `` or go . ''"),
        ("'Stay,' she said.", "` Stay , ' she said ."),
        ("'Well', she said, 'stay.'", "` Well ' , she said , ` stay . '"),
        ("\"He said 'come,' so I did.\"", "`` He said ` come , ' so I did . ''"),
        ("'I saw the \"Hen.\"'", "` I saw the `` Hen . '' '"),
        ('"\'Yes,\'" ("no")', "`` ` Yes , ' '' -LRB- `` no '' -RRB-"),
        ('No,--"yes"--no', "No , -- `` yes '' -- no"),
        ('so I went. "', "so I went . ''"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_tokens(text, made):
    assert " ".join(tokens(text)) == made


# Properties

WORDS = [
    *("hen", "well-kept", "o'clock", "can't", "won't", "it's", "Ann", "Ann's", "he'd"),
    *("they've", "we'll", "I'm", "'em", "'tis", "boys' kites", "3.50", "a", "I"),
    *("Mr. Dunn", "St. Bees"),
]
LAST = ["hen", "home", "Ann", "can't", "it's", "he'd"]
FORMS = [
    "The {0}{end}",
    "The {0} -- {1}; {2}{end}",
    "The {0} (the {1}) {2}{end}",
    "{q}The {0},{q} said the {1}{end}",
    "{q}The {0}?{q} asked he.",
    "The {0}, {q}The {1}{end}{q}",
    "{q}The {0},{q} said he, {q}the {1}{end}{q}",
    "{q}The {0} said, {p}The {1},{p} and {2}{end}{q}",
    "{q}The {0} said: {p}The {1}{end}{p}{q}",
]


@st.composite
def clauses(draw):
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    words[0] += draw(st.sampled_from(["", ","]))
    return " ".join([*words, draw(st.sampled_from(LAST))])


@st.composite
def well_formed(draw):
    """A sentence as a book prints it: speech, brackets, dashes, quotes in quotes."""
    q, p = draw(st.sampled_from(["\"'", "'\""]))
    end = draw(st.sampled_from([".", "!", "?", "..."]))
    said = [draw(clauses()) for _ in range(3)]
    return draw(st.sampled_from(FORMS)).format(*said, q=q, p=p, end=end)


@given(st.lists(well_formed(), max_size=5))
def test_well_formed_text_comes_back_from_its_tokens(written):
    text = " ".join(written)
    found = list(sentences(text))
    assert found == written
    undone = STYLES["ptb"]([" ".join(tokens(sentence)) for sentence in found])
    assert " ".join(undone) == text


PIECES = [*"\"'()[]{}.,-? \nAa1", "Mr.", "n't", "'em"]
ANYTHING = st.text() | st.lists(st.sampled_from(PIECES)).map("".join)


@given(ANYTHING)
def test_a_paragraph_is_its_sentences(text):
    paragraph = " ".join(text.split())
    assert " ".join(sentences(paragraph)) == paragraph


@given(ANYTHING.filter(lambda text: "`" not in text))
def test_tokens_lose_nothing_but_spaces_and_dashes(text):
    made = tokens(text)
    assert not any(re.search(r"\s", token) or not token for token in made)
    back = "".join(straight(token) for token in made)
    assert re.sub("-+", "-", back) == re.sub("-+", "-", re.sub(r"\s", "", text))


BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]"}
BRACKETS |= {"-LCB-": "{", "-RCB-": "}"}


def straight(token):
    quotes = {"``": '"', "''": '"', "`": "'"}
    return {**BRACKETS, **quotes}.get(token, token)
