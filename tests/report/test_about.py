"""What the head of a page says was run."""

from jaxsparse.report.about import about, calibrated_on, title
from tests.report.made import QUESTIONS, curve, results_of

FACTS = {
    "settings": {"data": "bundled", "num_examples": 8, "seed": 3},
    "started": "2026-11-28T21:46:01+00:00",
    "versions": {"jaxsparse": "0.1.0", "jax": "0.10.2"},
    "git_commit": "639cbf112506ae01551b7f09b0d241a8d8c96618",
    "git_changes": False,
    "devices": ["cuda:0", "cuda:1", "TpuDevice(id=0)"],
}


def results(*models):
    return [point for model in models for point in results_of(model)]


def test_a_title_names_as_many_models_as_a_line_holds():
    assert title(results("one", "two")) == "one, two: how much can be cut away?"
    names = [f"a-model-with-a-long-name-{number}" for number in range(4)]
    named = f"{names[0]}, {names[1]} and 2 more: how much can be cut away?"
    assert title(results(*names)) == named
    assert title(results("x" * 200)).startswith("x" * 200 + ":")


def test_everything_of_a_run_is_said():
    said = dict(about([*curve({0.0: 3, 0.5: 6, 0.9: 1})], [FACTS]))
    assert said == {
        "models": "one (gpt2)",
        "questions": "8: 2 each of CN, NE, V, P, split test, data bundled, the first "
        "of each class",
        "asked": "protocol cloze; context full; detokenize ptb; bfloat16",
        "pruned": "magnitude; scope matrix; prunable blocks; pattern unstructured",
        "sparsities": "0.5, 0.9",
        "started": "2026-11-28 21:46:01 UTC",
        "version": "jaxsparse 0.1.0 (639cbf1), jax 0.10.2",
        "device": "2 × cuda, TpuDevice",
    }


def test_execution_is_said_unless_all_is_dense():
    both = [*curve({0.0: 3, 0.5: 6}), *curve({0.0: 3, 0.5: 6}, execution="sparse")]
    for points, expected in ((both, "dense, sparse"), (both[2:], "sparse")):
        assert dict(about(points, []))["asked"].endswith(f"; execution {expected}")


def test_the_most_tokens_of_a_row_are_said_where_they_are_given():
    longer = [*curve({0.0: 3}, context_tokens=8192)]
    asked = dict(about(longer, []))["asked"]
    assert "; rows of at most 8,192 tokens; " in asked
    asked = dict(about([*curve({0.0: 3}), *longer], []))["asked"]
    assert "; rows of the usual limit, at most 8,192 tokens; " in asked


def chosen(**settings):
    facts = {"settings": {"data": "cbt", "seed": 3, **settings}}
    return dict(about(results("one"), [facts]))["questions"].split("split test, ")[1]


def test_how_questions_were_chosen_is_said():
    assert chosen(num_examples=0) == "data cbt, all of them"
    assert chosen(num_examples=8) == "data cbt, the first of each class"
    random = chosen(num_examples=8, sample="random")
    assert random == "data cbt, drawn at random, seed 3"
    assert chosen(num_examples=99) == "data cbt"  # there were not so many


def test_classes_of_other_sizes_are_counted_by_themselves():
    few = [*curve({0.0: 1}, questions=QUESTIONS[:3])]
    assert dict(about(few, []))["questions"] == "3: 1 each of CN, NE, V, split test"
    few = [*curve({0.0: 1}, questions=QUESTIONS[:5])]
    assert dict(about(few, []))["questions"] == "5: 2 CN, 1 NE, 1 V, 1 P, split test"


def test_several_runs_say_what_each_has_once():
    other = {
        **FACTS, "started": "2026-11-30T08:00:00+00:00", "git_changes": True,
        "devices": ["cpu:0"],
    }  # fmt: skip
    said = dict(about(results("one", "two"), [FACTS, other]))
    assert said["models"] == "one (gpt2), two (gpt2)"
    assert said["started"] == "2026-11-28 21:46:01 UTC; 2026-11-30 08:00:00 UTC"
    assert said["version"] == (
        "jaxsparse 0.1.0 (639cbf1), jax 0.10.2; "
        "jaxsparse 0.1.0 (639cbf1, changed), jax 0.10.2"
    )
    assert said["device"] == "2 × cuda, TpuDevice; cpu"
    assert said["questions"].count("bundled") == 1


def test_older_runs_lack_what_they_lack():
    bare = dict(about(results("one"), [{}]))
    assert list(bare) == ["models", "questions", "asked", "pruned", "sparsities"]
    odd = {"settings": [], "versions": "1", "devices": "cpu", "started": 3}
    assert dict(about(results("one"), [odd])) == bare


def test_what_models_were_calibrated_on_is_said_once_where_it_is_the_same():
    rows = {"source": "bundled", "rows": 128, "tokens": 512, "seed": 3}
    whole = {**rows, "overlapping": True, "text_tokens": 9000, "digest": "0123456789"}
    other = {**whole, "overlapping": False, "tokens": 64, "digest": "abcdefghij"}
    facts = {"calibration": {"one": whole, "two": whole, "three": other}}
    said = [
        "bundled: 128 windows of 512 tokens, seed 3, which overlap: the text has 9000 "
        "tokens (one 01234567, two 01234567)",
        "bundled: 128 windows of 64 tokens, seed 3 (three abcdefgh)",
    ]
    assert list(calibrated_on(facts)) == said
    assert dict(about(results("one"), [facts]))["calibrated on"] == "; ".join(said)
    for odd in ({}, {"calibration": 3}, {"calibration": {"one": 3}}):
        assert all(isinstance(text, str) for text in calibrated_on(odd))
