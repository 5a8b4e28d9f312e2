"""Detokenizing: each token form by itself, quotes through whole stories, properties."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt import BLANK, Question, detokenize, read
from jaxsparse.cbt.detokenize import BRACKETS, QUOTES
from jaxsparse.types import InputError

SAMPLE = Path(__file__).parents[2].parent / "shared/data/cbt_sample"


def question(*context, query=f"The {BLANK} ran .", options=("hen",)):
    return Question(context, query, options, options[0], "CN", "test", "", "")


def story(*sentences):
    """The sentences as the models read them, joined by a space."""
    return " ".join(detokenize(question(*sentences), "ptb")[0])


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        # punctuation
        ("Well , well ; so : yes !", "Well, well; so: yes!"),
        ("Who ? He ?! Oh !!", "Who? He?! Oh!!"),
        ("Wait ... she said", "Wait... she said"),
        ("a hen -- a fine hen -- sat", "a hen -- a fine hen -- sat"),
        ("a groom , -- not a rider", "a groom, -- not a rider"),
        ("Mr. Dunn met St. Clair .", "Mr. Dunn met St. Clair."),
        ("a well-kept half-door", "a well-kept half-door"),
        # contractions and possessives
        ("He did n't , and she 'll see", "He didn't, and she'll see"),
        ("I 'm sure we 've said they 're", "I'm sure we've said they're"),
        ("he 'd go ; it 's Ann 's", "he'd go; it's Ann's"),
        ("I ca n't and wo n't", "I can't and won't"),
        ("she can not", "she can not"),
        ("DO N'T , IT 'S HERS", "DON'T, IT'S HERS"),
        ("'T is late , 't was later", "'Tis late, 'twas later"),
        ("'T IS LATE , Gim ME", "'TIS LATE, GimME"),
        ("I 'm gon na , gim me , d' ye hear", "I'm gonna, gimme, d'ye hear"),
        ("the boys ' kites", "the boys' kites"),
        ("he is goin ' home", "he is goin' home"),
        ("give 'em o'clock", "give 'em o'clock"),
        # brackets
        ("-LRB- 3 -RRB- The Mill", "(3) The Mill"),
        ("-LCB- Picture : a.jpg -RCB- The", "{Picture: a.jpg} The"),
        ("a -LSB- sic -RSB- , b", "a [sic], b"),
        # money, fractions, notes
        ("$ 5 or 10 % of $ all", "$5 or 10% of $ all"),
        (r"1\/2 a loaf \*", "1/2 a loaf *"),
        # double quotes
        ("`` Stay , '' she said .", '"Stay," she said.'),
        ('" Stay , " she said , " or go . "', '"Stay," she said, "or go."'),
        ("the `` show . ''", 'the "show."'),
        ("She read , '' 12 hens . ''", 'She read, "12 hens."'),
        ("`` Oh , '' he said , '' -- no ! ''", '"Oh," he said, "-- no!"'),
        ("`` 'T is n't ! ''", "\"'Tisn't!\""),
        ("`` But the -- ''", '"But the --"'),
        # single quotes
        ("` Stay , ' she said .", "'Stay,' she said."),
        ("She replied , ' I will , dear . '", "She replied, 'I will, dear.'"),
        ("` No , ' said Ann , ' I stay . '", "'No,' said Ann, 'I stay.'"),
        ("she asked : ' A hen ? '", "she asked: 'A hen?'"),
        ("` My cousins ' hens , ' she said .", "'My cousins' hens,' she said."),
        ("She knows ' a thing ' .", "She knows 'a thing'."),
        # quotes inside quotes
        ("`` He said ` come , ' and I came . ''", "\"He said 'come,' and I came.\""),
        ("` He said `` come , '' and so on . '", "'He said \"come,\" and so on.'"),
        ("`` Sing ` The Hen . ' ''", "\"Sing 'The Hen.'\""),
        ("` Say ' ` Yes , ' ' he said .", "'Say ''Yes,'' he said."),
    ],
)
def test_a_sentence(tokens, text):
    assert story(tokens) == text


@pytest.mark.parametrize(
    ("sentences", "text"),
    [
        # a quote runs over sentences
        (("` Come in .", "Sit down , ' he said ."), "'Come in. Sit down,' he said."),
        # each paragraph of a long speech opens anew
        (
            ("` First .", "` Second .", "` I end . '", "She left ."),
            "'First. 'Second. 'I end.' She left.",
        ),
        # the story begins within a quote
        (("So go now . '", "He went ."), "So go now.' He went."),
        (("So go now . ''", "`` Yes . ''"), 'So go now." "Yes."'),
        (("Go , ' I said .", "` No . '"), "Go,' I said. 'No.'"),
        (("Go now . '", "I went ."), "Go now.' I went."),
        (("Ah ! ' '", "I am here ."), "Ah!' 'I am here."),
        # a straight quote at a sentence's end closes, whatever came before it
        (
            ('" Oh . "', 'A 2 " nail .', 'So , " hi . "', "I ran ."),
            '"Oh." A 2 "nail. So," hi." I ran.',
        ),
        # one that ends a sentence after an s is no apostrophe
        (("` I see hens '", "He said , ' I do . '"), "'I see hens' He said, 'I do.'"),
        # an opening quote that the splitter left behind goes to its sentence
        (
            ("` Ah ! '", "said the fork . '", "I wait . '"),
            "'Ah!' said the fork. 'I wait.'",
        ),
        (("` I am fine ! ' '", "I am not . '"), "'I am fine!' 'I am not.'"),
        (("`` It is late . '' ''", "'T is n't . ''"), '"It is late." "\'Tisn\'t."'),
        # ... but never onto a quote that opens by itself
        (("` He left .", "Well . '", "` So ? '"), "'He left. Well.' 'So?'"),
        # a sentence of one quote keeps it
        (("` Go ! '", "'", "I went ."), "'Go!' ' I went."),
        # ... unless another was left to it
        (("I go ! `", "``", "5 ."), "I go! ' \"5."),
        # one that is left behind goes on by one sentence, even an empty one
        (("` I go ! ' '", "", "I went ."), "'I go!' ' I went."),
        # no token joins one of another sentence
        (("It is $", "5 . I lem", "me go ."), "It is $ 5. I lem me go."),
    ],
)
def test_quotes_from_sentence_to_sentence(sentences, text):
    assert story(*sentences) == text


@pytest.mark.parametrize("stray", ["`", "``", "'", "''", '"'])
def test_a_stray_quote_leaves_the_rest_of_the_story_alone(stray):
    rest = (
        "` Come , ' said Ann , ' I wait . '",
        "`` Why ? ''",
        '" Because , " she said .',
        "The girls ' hens ran .",
    )
    undone = (
        "'Come,' said Ann, 'I wait.'",
        '"Why?"',
        '"Because," she said.',
        "The girls' hens ran.",
    )
    context, _, _ = detokenize(question(f"It fell {stray} down .", *rest), "ptb")
    assert context[1:] == undone


@pytest.mark.parametrize(
    "space", ["\t", "\n", "\x1c", "\x85", "\u2028", "\u3000", "  "]
)
def test_any_white_space_parts_tokens(space):
    sentences = ("` Come , '", "he said -LRB- $ 5 -RRB- .", "` Go . '")
    odd = [f" {sentence.replace(' ', space)}{space}" for sentence in sentences]
    context, _, _ = detokenize(question(*odd), "ptb")
    assert context == ("'Come,'", "he said ($5).", "'Go.'")


def test_the_query_goes_on_where_the_context_stops():
    context, query, _ = detokenize(
        question("` Oh ! ' '", query=f"I {BLANK} n't go , ' said he ."), "ptb"
    )
    assert context == ("'Oh!'",)
    assert query == f"'I {BLANK}n't go,' said he."


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (f"The {BLANK} 's hat , and", f"The {BLANK}'s hat, and"),
        (f"-LCB- {BLANK} reading -RCB-", f"{{{BLANK} reading}}"),
        (f"`` {BLANK} ! ''", f'"{BLANK}!"'),
        (f"She paid $ {BLANK} .", f"She paid $ {BLANK}."),
        (f"the {BLANK} ' hats", f"the {BLANK}' hats"),
    ],
)
def test_the_blank_is_spaced_as_a_word(query, text):
    assert detokenize(question(query=query), "ptb")[1] == text


def test_each_option_is_a_text_of_its_own():
    options = ("hen", "p9.jpg", "n't", "'s", "-LRB-", "''", "'", "``", "!", "XXXXX")
    context, query, undone = detokenize(question("` Hi .", options=options), "ptb")
    assert undone == ("hen", "p9.jpg", "n't", "'s", "(", '"', "'", '"', "!", "XXXXX")
    assert (context, query) == detokenize(question("` Hi ."), "ptb")[:2]


def test_style_none_leaves_the_tokens():
    one = question(" `` Hi , '' he said . ", options=("-LRB-",))
    assert detokenize(one, "none") == (
        ("`` Hi , '' he said .",),
        one.query,
        ("-LRB-",),
    )


def test_an_unknown_style_is_refused():
    with pytest.raises(InputError, match="`detokenize=moses`: choose one of ptb, none"):
        detokenize(question(), "moses")


# Properties

FORMS = (
    "` `` ' '' \" , . ; : ! ? ... -- - n't 's 'LL 'T is -LRB- -RCB- -RSB- $ 5 % I ye"
)
TOKENS = st.one_of(
    st.sampled_from(FORMS.split()),
    st.sampled_from(["boys", "goin", "hen", "d'", "gim", "me", r"a\/b", "o"]),
    st.text(
        st.characters(exclude_categories=["Z", "Cc", "Cs"]), min_size=1, max_size=5
    ),
)
SENTENCES = st.lists(TOKENS.filter(lambda token: BLANK not in token)).map(" ".join)
BRACKET = re.compile("-[LR][RCS]B-")


def letters(text):
    """What detokenizing must keep: all but spaces, quotes, brackets and backslashes."""
    return re.sub(r"""[\s`'"()\[\]{}\\]""", "", BRACKET.sub("", text))


@given(st.lists(SENTENCES, max_size=6), SENTENCES, SENTENCES, SENTENCES)
def test_nothing_but_spacing_and_quotes_changes(context, before, after, option):
    query = f"{before} {BLANK} {after}".strip()
    one = question(*context, query=query, options=(option,))
    undone_context, undone_query, (undone_option,) = detokenize(one, "ptb")
    for tokens, text in (
        *zip(context, undone_context, strict=True),
        (query, undone_query),
        (option, undone_option),
    ):
        assert letters(text) == letters(tokens)
        assert text == " ".join(text.split())
    assert undone_query.count(BLANK) == 1
    other = question(*context, query=query, options=("hen",))
    assert detokenize(other, "ptb")[:2] == (undone_context, undone_query)


PAIRS = "'t is|'t was|'t were|'t will|'t would|gim me|lem me|gon na|wan na|got ta|d' ye"


def stand_together(left, right):
    """Whether no space is between two tokens, neither of them a quote."""
    return (
        re.fullmatch(r"-R[CRS]B-|[.,!?;:]+|(?i:n't|'(s|ll|re|ve|m|d))", right)
        or re.fullmatch("-L[CRS]B-", left)
        or (right == "%" and left[-1].isdigit())
        or (left == "$" and right[0].isdigit())
        or f"{left} {right}".lower() in PAIRS.split("|")
    )


WORDS = st.sampled_from([*FORMS.split(), *PAIRS.replace("|", " ").split(), "-LSB-"])


@given(st.lists(st.lists(WORDS.filter(lambda token: token not in QUOTES))))
def test_tokens_but_quotes_are_spaced_by_their_two_neighbours(sentences):
    expected = []
    for tokens in sentences:
        text = "".join(
            token if not left or stand_together(left, token) else f" {token}"
            for left, token in zip(["", *tokens], tokens, strict=False)
        )
        expected.append(BRACKET.sub(lambda found: BRACKETS[found[0]], text))
    context, _, _ = detokenize(question(*map(" ".join, sentences)), "ptb")
    assert context == tuple(expected)


@given(st.lists(SENTENCES, max_size=6))
def test_as_many_quotes_come_out_as_went_in(sentences):
    context, query, _ = detokenize(question(*sentences, query=BLANK), "ptb")
    straight = {"``": '"', "''": '"', "`": "'"}
    expected = "".join(straight.get(t, t) for t in " ".join(sentences).split())
    for quote in "'\"":
        assert "".join((*context, query)).count(quote) == expected.count(quote)


# The real thing, where it is


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not part of the project")
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_sample_holds_no_token_any_more(split):
    for one in read(str(SAMPLE), split, None).questions:
        context, query, _ = detokenize(one, "ptb")
        text = " ".join((*context, query))
        assert not re.search(
            r"`|''|-[LR][RCS]B-| [,.;:!?]| n't| '(s|ll|ve|m|d)\b", text
        )
        assert not re.search(r""" ['"] |\( | \)""", text)
        assert query.count(BLANK) == 1
