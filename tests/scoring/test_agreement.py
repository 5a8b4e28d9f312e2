"""Every option's score against the naive torch reference, on generated questions."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import tokenizers

from jaxsparse import scoring
from tests import asking, tiny
from tests.asking import (
    COMBINATIONS,
    FAMILIES,
    LATER,
    Asked,
    generated,
    question,
)
from tests.slices import slow

OTHERS = ("gpt2-untied", "electra-generator-projected", "t5-gated-untied")
OPTIONS = (  # one piece and many, capitals, accents, quotes, unknown and special ones
    *("fox", "FOX", "Zoë", "weathercock", "Queen-Anne", "will o ' the wisp", "“fox”"),
    *("né", "🦊", "中文", "ﬁsh", "½ hen", "...", "'", "a" * 9, "fox\u0301", "👩‍👩‍👧"),
    *("[MASK]", "</s>", "<|endoftext|>", "<extra_id_0>", "<unk>"),
)
STRANGE_STORY = (
    *("Ned [MASK] ran to [SEP] .", "the <|endoftext|> </s> fox", "[CLS] é🦊 中文"),
    *("<extra_id_0> <pad> naïve \u200b hen !",),
)
GLUED = (
    *("Ned saw XXXXX's hat .", "So (XXXXX) ran .", "the un-XXXXX came", "two XXXXXs"),
    *("she XXXXXn't go", "“XXXXX” he said", "$XXXXX.50", "reXXXXXop -- XXXX"),
    *("caféXXXXXé , said Ned", "🦊XXXXX🦊 ran", "saw XXXXX\u0301s", "中XXXXX国"),
    *("a\u00a0XXXXX\u2003b", "XXXXX", "ßXXXXX"),
)
SPECIAL = (
    *("a [SEP] XXXXX [MASK] b", "[MASK]XXXXX[MASK]", "<|endoftext|>XXXXX"),
    *("</s> XXXXX <pad>", "<extra_id_0>XXXXX<extra_id_1>", "<extra_id_1> XXXXX"),
)


def ten(start: int) -> tuple[str, ...]:
    return tuple(itertools.islice(itertools.cycle(OPTIONS), start, start + 10))


def odd(queries):
    contexts = itertools.cycle(("query", "full"))
    return tuple(
        Asked(question(query, ten(3 * number), STRANGE_STORY), next(contexts))
        for number, query in enumerate(queries)
    )


CASES = {
    "whole story": tuple(Asked(generated(seed)) for seed in range(2)),
    "query": tuple(Asked(generated(seed), "query") for seed in range(9)),
    "last sentence": tuple(Asked(generated(seed), "last") for seed in range(6)),
    "shortened": tuple(
        Asked(generated(seed), "full", limit)
        for seed, limit in enumerate((90, 120, 126, 61, 100))
    ),
    "glued blank": odd(GLUED),
    "special tokens": odd(SPECIAL),
}
PLAIN_CASES = {"whole story": CASES["whole story"]}


@dataclass(frozen=True)
class Answers:
    encoded: list[scoring.Encoded]
    scores: np.ndarray
    references: list


@pytest.fixture(scope="module")
def ask(load):
    """(variant, protocol) -> the answers to each group of cases; scored in one plan."""

    @functools.cache
    def answer(variant: str, protocol: str) -> dict[str, Answers]:
        pair = load(variant)
        groups = PLAIN_CASES if variant in OTHERS else CASES
        cases = [case for group in groups.values() for case in group]
        encoded = [case.encode(pair.model, protocol) for case in cases]
        scores = asking.option_scores(pair.model, encoded, protocol)
        answers, begin = {}, 0
        for name, group in groups.items():
            here = slice(begin, begin + len(group))
            references = [case.reference(pair, protocol) for case in group]
            answers[name] = Answers(encoded[here], scores[here], references)
            begin += len(group)
        return answers

    return answer


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
@pytest.mark.parametrize("variant", slow((*FAMILIES, *LATER, *OTHERS), OTHERS))
def test_every_option_scores_as_the_naive_way_does(ask, variant, protocol):
    for name, answers in ask(variant, protocol).items():
        expected = np.array([one.scores for one in answers.references])
        error = np.abs(answers.scores - expected) / asking.tolerance(protocol, expected)
        case, option = np.unravel_index(np.argmax(error), error.shape)
        asked = CASES[name][case]
        assert error.max() <= 1, (name, asked, asked.question.options[option])


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_dropped_sentences_and_option_tokens_are_the_references(ask, variant, protocol):
    for answers in ask(variant, protocol).values():
        for encoded, expected in zip(answers.encoded, answers.references, strict=True):
            assert encoded.dropped == expected.dropped_sentences
            assert list(encoded.option_tokens) == expected.option_tokens
    dropped = [one.dropped for one in ask(variant, protocol)["shortened"].encoded]
    assert all(dropped)
    assert len(set(dropped)) > 2


ADDED = {  # in front of every text, and behind it
    "gpt2": (["<|endoftext|>"], ["<|endoftext|>"] * 2),
    "electra": (["[CLS]", "[MASK]"], ["[SEP]", "[SEP]"]),
    "t5": (["<pad>"], ["</s>", "<unk>"]),
}


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    """(family, both) -> the directory of a tokenizer that adds tokens behind every
    text, and in front of it."""

    @functools.cache
    def make(family, both=True):
        directory = tmp_path_factory.mktemp(family)
        tiny.tokenizer(family, directory)
        path = directory / "tokenizer.json"
        made = tokenizers.Tokenizer.from_file(str(path))
        front, behind = ADDED[family]
        front = front if both else front[: family == "electra"]  # [CLS]
        tokens = {token: made.token_to_id(token) for token in (*front, *behind)}
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=[*front, "$A", *behind], special_tokens=list(tokens.items())
        )
        made.save(str(path))
        return directory

    return make


@pytest.mark.parametrize(("variant", "protocol"), COMBINATIONS)
def test_what_a_tokenizer_adds_is_fed_and_never_scored(load, adding, variant, protocol):
    family = tiny.VARIANTS[variant].family
    pair = load(variant, None, adding(family))
    cases = [Asked(generated(0), "query"), Asked(generated(2), "full", 100)]
    cases += [Asked(question("XXXXX", ten(0)), "query")]
    encoded = [case.encode(pair.model, protocol) for case in cases]
    references = [case.reference(pair, protocol) for case in cases]
    scores = asking.option_scores(pair.model, encoded, protocol)
    expected = np.array([one.scores for one in references])
    error = np.abs(scores - expected) / asking.tolerance(protocol, expected)
    assert error.max() <= 1
    for one, reference in zip(encoded, references, strict=True):
        assert one.dropped == reference.dropped_sentences
        assert list(one.option_tokens) == reference.option_tokens


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
def test_tokens_behind_a_text_change_no_score_of_gpt2(load, adding, protocol):
    pair, plain = load("gpt2", None, adding("gpt2", both=False)), load("gpt2")
    got, expected = (
        Asked(generated(0), "last").encode(one.model, protocol) for one in (pair, plain)
    )
    assert asking.option_terms(got) == asking.option_terms(expected)
    for name, values in expected.rows[0].items():
        np.testing.assert_array_equal(got.rows[0][name], values)


def encode(load, variant, protocol, *asked):
    return Asked(*asked).encode(load(variant).model, protocol)


def test_gpt2_reads_endoftext_where_nothing_precedes_the_option(load):
    end = load("gpt2").tokenizer.eos_token_id
    first, inside = generated(0), generated(1)  # where their blank stands
    for asked, expected in (
        (("gpt2", "cloze", first, "query"), True),
        (("gpt2", "cloze", first, "last"), False),
        (("gpt2", "cloze", inside, "query"), False),
        (("gpt2", "append", first, "query"), False),
    ):
        [row] = encode(load, *asked).rows
        assert (row["tokens"][0] == end) is np.bool(expected), asked


@pytest.mark.parametrize("context", ["query", "full"])
def test_endoftext_counts_towards_the_limit(load, context):
    pair, first = load("gpt2"), generated(0)
    rows = [first.query.replace("XXXXX", option) for option in first.options]
    longest = max(map(len, pair.tokenizer(rows)["input_ids"]))
    fits = encode(load, "gpt2", "cloze", first, context, longest + 1)
    assert fits.dropped == (20 if context == "full" else 0)
    with pytest.raises(scoring.Unusable, match="at most"):
        encode(load, "gpt2", "cloze", first, context, longest)


def test_one_option_that_needs_endoftext_gives_it_to_all_ten(load):
    """A token may cover the end of what precedes the blank and the option's start."""
    pair, end = load("gpt2"), load("gpt2").tokenizer.eos_token_id
    assert pair.tokenizer.tokenize("in") == ["in"]
    asked = Asked(question("iXXXXX .", ("n", *"123456789")), "query")
    encoded = asked.encode(pair.model, "cloze")
    assert encoded.rows[0]["tokens"][0] == end
    expected = asked.reference(pair, "cloze")
    scores = asking.option_scores(pair.model, [encoded], "cloze")
    np.testing.assert_allclose(scores[0], expected.scores, atol=1e-3)
    without = Asked(question("iXXXXX .", ("0", *"123456789")), "query")
    assert without.encode(pair.model, "cloze").rows[0]["tokens"][0] != end


@pytest.mark.parametrize(
    ("variant", "protocol"), [case for case in COMBINATIONS if "electra" in case[0]]
)
def test_a_limit_that_is_no_bucket_length(load, variant, protocol):
    """Batches are padded beyond the model's last position; its rows are not."""
    pair = load(variant, positions=100)
    asked = Asked(generated(0))
    encoded = asked.encode(pair.model, protocol)
    expected = asked.reference(pair, protocol)
    assert 0 < encoded.dropped == expected.dropped_sentences
    scores = asking.option_scores(pair.model, [encoded], protocol)
    error = np.abs(scores[0] - expected.scores)
    assert (error <= asking.tolerance(protocol, np.array(expected.scores))).all()
