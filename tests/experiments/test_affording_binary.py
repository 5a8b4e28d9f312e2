"""`prune --margin`, from flags to a directory with its card."""

import json
import re

import pytest

import jaxsparse
from experiments import calibrating, prune
from jaxsparse import calibration
from jaxsparse.journal import Journal
from tests.experiments import binary
from tests.slices import slow

# Verbs without a story: a second a question, and most are right.
VERBS = (
    "--model=tiny-gpt2", "--word_classes=V", "--context=query", "--num_examples=12",
    "--margin=25",
)  # fmt: skip


@pytest.fixture
def recorded(monkeypatch):
    """How many answers each call of the journal was given, over all runs."""
    numbers, record = [], Journal.record

    def counted(self, answers):
        numbers.append(len(answers := list(answers)))
        record(self, answers)

    monkeypatch.setattr(Journal, "record", counted)
    return numbers


def pruned(out, *argv):
    return binary.run(prune, *VERBS, f"--export={out}", *argv)


def test_the_largest_that_holds_is_written_with_a_card_that_says_why(tmp_path):
    out = tmp_path / "out"
    ended = pruned(out, "--sparsities=0.99,0.3", "--format=bitmask")
    assert ended.status == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert said[0] == "on 12 validation questions:"
    assert [line.split(":")[0] for line in said[1:3]] == [
        f"  sparsity {at}" for at in (0.3, 0.99)
    ]
    assert [line.endswith("not of more than 25") for line in said[1:3]] == [False, True]
    assert re.match(
        r"largest sparsity within 25 points: 0\.3; 12 test questions (confirm|do NOT)",
        said[3],
    )
    assert "magnitude, sparsity 0.3 requested" in said[4]
    card = (out / "README.md").read_text()
    assert f"\nL{said[3][1:]}.\n" in card
    assert "which ended the search" in card
    rows = re.findall(r"^\| (validation|test) \| (\S+) \| 12 \| (.*) \|$", card, re.M)
    assert [row[:2] for row in rows] == [
        *(("validation", at) for at in ("0.3", "0.99")),
        ("test", "0.3"),
    ]
    assert "| cloze | query | test | V | 12 |" in card  # the scores of the chosen one
    expected = jaxsparse.prune(jaxsparse.load_model("tiny-gpt2"), "magnitude", 0.3)
    jaxsparse.save(expected, tmp_path / "expected")
    digests = [
        jaxsparse.load_model(str(tmp_path / at)).digest for at in ("out", "expected")
    ]
    assert digests[0] == digests[1]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "expected"}


def test_where_none_holds_nothing_is_written(tmp_path):
    ended = pruned(tmp_path / "out", "--sparsities=0.99,1")
    assert (ended.status, ended.stdout) == (2, "")
    *_, line = ended.stderr.splitlines()
    assert line.startswith(
        "error: --margin=25: nothing was written, since not even the"
    )
    assert re.search(
        r"on 12 validation questions sparsity 0\.99: \S+ % right, dense \S+ %; "
        r"a loss of more than \d+\.\d\d points is excluded; ask for smaller ones",
        line,
    )
    assert not list(tmp_path.iterdir())


def test_test_questions_that_do_not_confirm_it_are_told_and_it_is_written(tmp_path):
    """The test split's answers are wrong, so that dense is hardly ever right."""
    path = tmp_path / "verbs.jsonl"
    with path.open("w") as file:
        for split in "validation", "test":
            for question in jaxsparse.read("bundled", split, "V", 12):
                wrong = [o for o in question.options if o != question.answer]
                answer = wrong[0] if split == "test" else question.answer
                row = {
                    "task": "verb", "split": split, "context": [],
                    "query": question.query, "options": [question.answer, wrong[0]],
                    "answer": answer,
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    ended = binary.run(
        prune, "--model=tiny-gpt2", f"--data={path}", "--margin=25",
        "--sparsities=0.3", f"--export={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert "do NOT confirm it" in ended.stdout
    assert "do NOT confirm it" in (tmp_path / "out/README.md").read_text()


METHODS = ("magnitude", "magnitude+pcg")


@pytest.mark.parametrize("method", slow(METHODS, METHODS[1:]))
def test_a_killed_search_goes_on_from_its_journal(
    tmp_path, monkeypatch, recorded, method
):
    """A calibrated method keeps its blocks beside it."""

    def few(model, texts, rows, tokens, *args, **kwargs):
        return calibration.calibrate(model, texts, 3, 24, *args, **kwargs)

    monkeypatch.setattr(calibrating, "calibrate", few)
    flags = f"--method={method}", "--sparsities=0.2,0.3"
    whole, out = tmp_path / "whole", tmp_path / "deep" / "out"
    assert pruned(whole, *flags).status == 0
    number = sum(recorded)
    assert number == 12 * 3 + 12 * 2

    class Killed(BaseException):
        pass

    recorded.clear()
    with monkeypatch.context() as patch:
        record = Journal.record

        def killed(self, answers):
            if sum(recorded) >= 24:
                raise Killed
            record(self, answers)

        patch.setattr(Journal, "record", killed)
        with pytest.raises(Killed):
            pruned(out, *flags)
    kept = sum(recorded)
    assert 24 <= kept < number
    assert [path.name for path in out.parent.iterdir()] == [".out.work"]
    assert pruned(out, *flags).status == 0
    assert sum(recorded) == number
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    files = {path.name for path in whole.iterdir()}
    assert {path.name for path in out.iterdir()} == files
    for name in files:
        expected = (whole / name).read_bytes().replace(bytes(whole), bytes(out))
        assert (out / name).read_bytes() == expected, name


def task(path, *splits):
    """A question of each split, no two the same; None: of none."""
    with path.open("w") as file:
        for number, split in enumerate(splits):
            row = {
                "task": "hats", "context": [], "query": f"Ann had {number} XXXXX .",
                "options": ["hats", "hens"], "answer": "hats",
            }  # fmt: skip
            file.write(json.dumps(row | ({"split": split} if split else {})) + "\n")
    return path


@pytest.mark.parametrize(
    ("splits", "problem"),
    [
        (["validation"] * 80, "=test; its splits: validation"),
        (["test"] * 80, "=validation; its splits: test"),
        (["validation"] * 60 + ["test"] * 20, "with 20 test questions a loss of more"),
        ([None] * 80, "names no split, so it would be both a validation and a test"),
    ],
)
def test_data_without_enough_of_both_splits(tmp_path, saved, splits, problem):
    path = task(tmp_path / "hats.jsonl", *splits)
    ended = binary.run(
        prune, f"--model={saved('gpt2')}", f"--data={path}", "--margin=5",
        "--sparsities=0.5", f"--export={tmp_path / 'out'}",
    )  # fmt: skip
    assert (ended.status, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert problem in line
    assert {path.name for path in tmp_path.iterdir()} == {"hats.jsonl"}


def test_a_question_of_both_splits_is_told(tmp_path, saved):
    path = task(tmp_path / "hats.jsonl", *["validation"] * 60)
    lines = path.read_text()
    path.write_text(lines + lines.replace('"validation"', '"test"'))
    ended = binary.run(
        prune, f"--model={saved('gpt2')}", f"--data={path}", "--margin=5",
        "--sparsities=0.5", f"--export={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.status == 2
    assert "60 test questions are validation questions as well, such as" in ended.stderr
