"""Which flags each job takes, and how they are explained."""

import importlib
import re

import pytest
from absl import flags as absl_flags

from experiments import jobs, usage
from experiments.jobs import JOBS
from jaxsparse import cbt, model, models, pretraining, pruning, report, scoring
from jaxsparse.models.shapes import SHAPES
from jaxsparse.weights import hub
from tests.experiments import binary


def test_what_the_library_knows_is_repeated_as_it_is():
    def choices(name):
        return jobs.SHARED[name].kind.values

    assert choices("split") == cbt.SPLITS
    assert choices("context") == scoring.CONTEXTS
    assert choices("detokenize") == tuple(sorted(cbt.STYLES))
    assert choices("allocation") == pruning.ALLOCATIONS
    assert choices("statistics") == pruning.ORDERS
    assert choices("prunable") == models.PRUNABLE
    assert choices("dtype") == model.DTYPES
    assert jobs.BUNDLED == hub.BUNDLED == tuple(pretraining.RECIPES)
    assert tuple(SHAPES) == jobs.SHAPES
    assert JOBS["report"]["explorer_questions"].default == report.MOST_QUESTIONS
    assert JOBS["build_cbt"]["word_classes"].default == list(cbt.WORD_CLASSES)
    for job in "sweep", "build_cbt":
        said = JOBS[job]["word_classes"].help
        assert ", ".join(f"{name} {of}" for name, of in cbt.CLASS_NAMES.items()) in said
    for words, flag in (
        (pruning.METHODS, jobs.SHARED["method"]),
        (pruning.UPDATES, jobs.SHARED["method"]),
        (scoring.PROTOCOLS, jobs.SHARED["protocol"]),
        (cbt.WORD_CLASSES, jobs.SHARED["word_classes"]),
    ):
        assert all(re.search(rf"\b{word}\b", flag.help) for word in words)
    scopes = {scope for method in pruning.METHODS.values() for scope in method.scopes}
    assert all(scope in jobs.SHARED["scope"].help for scope in scopes)


def test_peers_are_the_benchmarks():
    from experiments.benchmark import table

    assert tuple(table.TITLES) == jobs.PEERS


@pytest.mark.parametrize("job", JOBS)
def test_help_explains_each_flag_of_the_job_and_no_other(job):
    text = usage.explained(job)
    assert max(map(len, text.splitlines())) <= 88
    named = re.findall(r"^  --(\w+): ", text, re.MULTILINE)
    assert sorted(named) == sorted([*JOBS[job], "version"])
    module = importlib.import_module(f"experiments.{job}")
    assert text.startswith(module.__doc__.strip().splitlines()[0])
    for flag in JOBS[job].values():
        assert f"\n\n{flag.group}\n" in text
    assert "--pdb" not in text


@pytest.mark.parametrize("job", JOBS)
def test_help_says_a_default_once(job):
    for name, flag in JOBS[job].items():
        assert usage._line(name, flag).count("(default:") <= 1, name


@pytest.mark.parametrize("job", JOBS)
def test_defaults_are_values_of_their_kinds(job):
    values = usage.parse(job, [])
    for name, flag in JOBS[job].items():
        assert values[name].value == flag.default
        if isinstance(flag.default, str | int):
            assert flag.kind.parse(str(flag.default)) == flag.default


def refused(job, *argv):
    with pytest.raises(absl_flags.Error) as error:
        usage.parse(job, argv)
    return str(error.value)


def test_a_flag_of_another_job_is_refused_with_what_this_one_takes():
    for name in ("split=train", "text=a", "out=o", "levels_at_once=2"):
        said = refused("prune", f"--{name}")
        assert said.startswith(f"--{name.split('=')[0]} is not a flag of prune, which ")
        assert "takes --model, --method, --sparsities" in said
    assert refused("prune", "--notext_details").startswith("--text_details is not")
    assert refused("pretrain", "--modle=m") == "unknown flag --modle; is it --model?"


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", ["flagfile", "undefok"])
def test_what_absl_knows_by_itself_is_unknown(job, name):
    for argv in ([f"--{name}=x"], [f"-{name}=x"], [f"--{name}", "x"], [f"--{name}"]):
        said = refused(job, *argv)
        assert said.startswith(f"unknown flag --{name}; "), said


def test_a_job_has_defaults_of_its_own_and_forgets_what_was_parsed_before():
    usage.parse("pretrain", ["--split=train", "--num_examples=7"])
    assert usage.parse("sweep", []).split is None
    assert usage.parse("pretrain", []).split == "validation"
    assert usage.parse("pretrain", []).num_examples == 100


OLD = {
    "random_checkpoint": [("to", "export")],
    "benchmark": [
        ("models", "model"), ("tokenizers", "tokenizer"), ("questions", "num_examples")
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("job", "old", "new"), [(job, *pair) for job in OLD for pair in OLD[job]]
)
def test_old_spellings_still_work(job, old, new):
    kind = JOBS[job][new].kind
    for argv in ([f"--{old}=7"], [f"--{old}", "7"], [f"--{old}=7", f"--{new}=7"]):
        values = usage.parse(job, argv)
        assert values[new].value == kind.parse("7")
        assert values[new].present
    said = refused(job, f"--{new}=8", f"--{old}=7")
    assert said.startswith(f"--{old} is the old spelling of --{new}, and they differ")
    assert f"(also --{old})" in " ".join(usage.explained(job).split())


@pytest.mark.parametrize(
    ("job", "message", "expected"),
    [
        ("sweep", "`dtype=f8`: try `dtype`", "--dtype=f8: try --dtype"),
        ("prune", "`sparsity=2`; (`sparsity`)", "--sparsities=2; (--sparsities)"),
        ("prune", "m: `directory` is there", "m: --export is there"),
        ("finetune", "`at_once=1` would fit", "--trained_at_once=1 would fit"),
        ("report", "the same `data`, `split`.", "the same --data, --split."),
        ("sweep", "`model=a`b`: a file", "--model=a`b: a file"),
        ("sweep", "`model=o'b`, or `data`", "--model=o'b, or --data"),
        ("sweep", "the model's `data`, 's`", "the model's --data, 's`"),
        # What is no flag of the job, or somebody's own text.
        ("sweep", "no `books`, `work=w`", "no `books`, `work=w`"),
        ("sweep", "f:3: 'one `data` two'", "f:3: 'one `data` two'"),
        ("sweep", 'f:3: "a `data`" b', 'f:3: "a `data`" b'),
        ("sweep", "/tmp/`out`: no such", "/tmp/`out`: no such"),
        ("sweep", "x`out`y, `out`y", "x`out`y, `out`y"),
    ],
)
def test_arguments_of_the_library_are_flags_of_a_job(job, message, expected):
    assert usage.in_flags(job, message) == expected


def test_versions_are_told():
    assert re.fullmatch(
        r"jaxsparse \d\S+, jax \d\S+, Python \d\S+", usage.versions()
    )  # fmt: skip


def test_help_and_versions_need_no_jax(tmp_path):
    script = "import sys; from experiments import command; command.run('sweep'); "
    script += "assert not {'jax', 'numpy', 'jaxsparse'} & set(sys.modules)"
    for flag in ("--help", "--version"):
        ended = binary.start("-c", script, flag, cwd=tmp_path)
        assert (ended.status, ended.stderr) == (0, ""), ended
