"""Training from the command line: what it writes and says, a kill, and bad input."""

import json
import math
import re
import shutil
import signal
from dataclasses import dataclass

import pytest

from jaxsparse import load_model
from jaxsparse.pretraining import RECIPES
from tests.experiments import binary
from tests.pretraining import little

STEPS = 12  # of tiny-gpt2 in pretrain_lines, saved and measured at 4, 8 and 12
KILLED_AT = 9

# Of a good command line, what is replaced; what the one line of its error says.
BAD = {
    "model": (["--model=tiny-bert"], ["--model", "tiny-gpt2, tiny-electra, tiny-t5"]),
    "no books": (["--books="], ["--books is missing", "name text files"]),
    "books elsewhere": (["--books=nowhere"], ["--books=nowhere: no such file"]),
    "no validation": (["--validation_books="], ["--validation_books is missing"]),
    "no work": (["--work="], ["--work is missing", "directory of the run"]),
    "work is a file": (["--work=file.txt"], ["--work=", "file.txt is a file; name"]),
    "no export": (["--export="], ["--export is missing"]),
    "export exists": (["--export=file.txt"], ["--export=file.txt: exists already"]),
    "steps": (["--steps=-1"], ["--steps=-1", "from 0 on"]),
    "learning rate": (["--learning_rate=-1"], ["--learning_rate", "0"]),
    "checkpoints": (["--checkpoint_every=0"], ["--checkpoint_every=0", "from 1 on"]),
    "evaluations": (["--evaluate_every=0"], ["--evaluate_every=0", "from 1 on"]),
    "seed": (["--seed=4294967296"], ["--seed", "4294967295"]),
    "questions": (["--data=nowhere"], ["nowhere"]),
    "no prose": (["--books=file.txt"], ["file.txt holds no paragraph of prose"]),
    "short books": (["--books=short.txt"], ["too few for a vocabulary of 440 tokens"]),
    "short validation": (
        ["--validation_books=short.txt"],
        ["the validation books: ", "less than two rows of 24; name more books"],
    ),
    "another seed": (
        ["--work=killed/work", "--seed=1"],
        ["killed/work holds another run: seed is 0 there and 1 here; repeat that"],
    ),
    "another schedule": (
        ["--work=killed/work", "--steps=13"],
        ["run: steps is 12 there and 13 here, warmup is 3 there and 2 here; repeat"],
    ),
    "other books": (
        ["--work=killed/work", "--books=books/validation"],
        ["killed/work holds another run: the books differ; repeat"],
    ),
    "damaged checkpoint": (
        ["--work=damaged/work"],
        ["damaged/work/checkpoints: checkpoint 8 cannot be read", "remove it"],
    ),
}


@dataclass(frozen=True)
class Ended(binary.Ended):
    asked: list[int]  # steps whose batches were made


def command(place, *argv):
    """A good command line that writes to `place`, and what comes after it."""
    return [
        "--model=tiny-gpt2",
        "--books=books/train",
        "--validation_books=books/validation",
        f"--work={place}/work",
        f"--export={place}/export",
        "--data=",
        "--checkpoint_every=4",
        "--evaluate_every=4",
        *argv,
    ]


def run(place, lines):
    """What became of the lines, or the process that did not live to tell."""
    (place / "lines.json").write_text(json.dumps(lines))
    files = ("lines.json", "ended.json")
    process = binary.start(
        "-m", "tests.experiments.pretrain_lines", *files, cwd=place, cache=place / "xla"
    )
    if process.status:
        return process
    return [Ended(**ended) for ended in json.loads((place / "ended.json").read_text())]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Books, a question, and files that are none; here all command lines run."""
    place = tmp_path_factory.mktemp("place")
    for name, seed in ("train/0", 0), ("train/1", 1), ("validation/2", 2):
        little.write_book(place / f"books/{name}.txt", seed)
    options = ("kettle", "jug", "plum", "hen", "fox", "oak", "ale", "tin", "rug", "ham")
    changes = {"query": "The XXXXX sang .", "options": options, "answer": "jug"}
    items = [binary.item(seed, **changes) for seed in range(3)]
    binary.write_items(place / "cbtest_CN_valid_2000ex.txt", items)
    (place / "file.txt").write_text("CHAPTER I\n")
    (place / "short.txt").write_text("So Pim went home -- slowly.\n")
    return place


@pytest.fixture(scope="module")
def killed(place):
    """The process that was killed, and what it had written by then."""
    ended = run(place, [{"argv": command("killed"), "kill": KILLED_AT}])
    shutil.copytree(place / "killed", place / "as killed")
    shutil.copytree(place / "killed", place / "damaged")
    (place / "damaged/work/checkpoints/8/state/_METADATA").write_text("{")
    return ended


@pytest.fixture(scope="module")
def ended(place, killed):
    """Name of a command line -> how it ended; all of them in one process."""
    asking = ["--data=cbtest_CN_valid_2000ex.txt", "--num_examples=2"]
    shorter = ["--steps=2", "--learning_rate=0.5"]
    diverging = ["--learning_rate=1e30", "--checkpoint_every=12"]
    argv = {name: command("bad", *argv) for name, (argv, _) in BAD.items()}
    argv |= {
        "no model": command("bad")[1:],
        "straight": command("straight"),
        "resumed": command("killed"),
        "again": command("straight", "--export=again/export"),
        "asking": command("asking", *asking, *shorter),
        "diverging": command("diverging", *diverging),
        "help": ["--help"],
    }
    lines = [{"argv": argv[name], "terminal": name == "resumed"} for name in argv]
    return dict(zip(argv, run(place, lines), strict=True))


def log_of(directory):
    lines = (directory / "work/log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def weights_of(directory):
    return (directory / "export/model.safetensors").read_bytes()


def test_it_writes_a_model_that_loads_and_says_where(place, ended):
    straight = ended["straight"]
    assert straight.status == 0, straight.stderr
    assert straight.stdout == f"tiny-gpt2: written to {place}/straight/export\n"
    assert straight.asked == list(range(STEPS))
    model = load_model(str(place / "straight/export"))
    assert model.config == little.recipe("gpt2").model[1]
    names = {path.name for path in (place / "straight").iterdir()}
    assert names == {"export", "work"}


def test_losses_are_written_down_and_shown(place, ended):
    log = log_of(place / "straight")
    assert [line["step"] for line in log] == [4, 8, 12]
    shown = ended["straight"].stderr.splitlines()
    assert len(shown) == 3  # and no bar, where stderr is no terminal
    for line, text in zip(log, shown, strict=True):
        values = (line.pop(name) for name in ("step", "loss", "validation_loss"))
        said = "step {}, loss {:.5g}, validation_loss {:.5g}, tok".format(*values)
        assert text.startswith(said)
        assert line.keys() == {"tokens_per_second"}
        assert line["tokens_per_second"] > 0


def test_losses_begin_near_guessing_and_fall(place, ended):
    log = log_of(place / "straight")
    for name in "loss", "validation_loss":
        losses = [line[name] for line in log]
        assert losses == sorted(losses, reverse=True)
        assert losses[0] < math.log(little.SIZES["gpt2"]) + 0.7


def test_killed_it_goes_on_where_it_was_to_the_same_weights(place, killed, ended):
    assert killed.status == -signal.SIGKILL, killed.stderr
    assert not (place / "as killed/export").exists()
    assert [line["step"] for line in log_of(place / "as killed")] == [4, 8]

    resumed = ended["resumed"]
    assert resumed.status == 0, resumed.stderr
    assert resumed.asked == list(range(8, STEPS))
    assert weights_of(place / "killed") == weights_of(place / "straight")
    losses = [
        [(line["step"], line["validation_loss"]) for line in log_of(place / name)]
        for name in ("killed", "straight")
    ]
    assert losses[0] == losses[1]
    kept = log_of(place / "killed")[:2]
    assert kept == log_of(place / "as killed")  # not measured again


def test_on_a_terminal_a_bar_goes_on_where_the_run_does(ended):
    shown = ended["resumed"].stderr
    assert "resuming at step 8 of 12\n" in shown
    bar = r"tiny-gpt2 · training[^%\r]* (\d+)% [^\r]* (\d+)/12, [^\r]* left"
    bars = re.findall(bar, shown)
    assert bars[0] == ("67", "8")
    assert bars[-1] == ("100", "12")
    assert re.search(r"training · loss [\d.]+", shown)


def test_a_finished_run_is_exported_again_and_not_trained(place, ended):
    again = ended["again"]
    said = "all 12 steps are done; nothing to train\n"
    assert (again.status, again.stderr, again.asked) == (0, said, [])
    assert weights_of(place / "again") == weights_of(place / "straight")
    assert [line["step"] for line in log_of(place / "straight")] == [4, 8, 12]


def test_questions_are_asked_on_the_way(place, ended):
    assert ended["asking"].status == 0, ended["asking"].stderr
    (line,) = log_of(place / "asking")
    assert line["cbt_accuracy"] in (0, 0.5, 1)
    assert f", cbt_accuracy {line['cbt_accuracy']:.5g}" in ended["asking"].stderr


def test_steps_and_learning_rate_replace_the_recipes(place, ended):
    assert ended["asking"].asked == [0, 1]
    record = json.loads((place / "asking/work/run.json").read_text())
    schedule = record["recipe"]["schedule"]
    own = RECIPES["tiny-gpt2"].schedule
    assert (schedule["steps"], schedule["warmup"]) == (2, 1)  # a tenth of the steps
    assert schedule["learning_rate"] == 0.5
    assert schedule["weight_decay"] == own.weight_decay


def test_a_loss_that_is_not_finite_ends_it(place, ended):
    *shown, last = ended["diverging"].stderr.splitlines()
    assert ended["diverging"].status == 2
    assert all(line.startswith("step ") for line in shown)
    assert re.fullmatch(
        r"error: after 12 steps the loss, (nan|inf), or the weights are not finite; "
        r"lower the learning rate, in another directory",
        last,
    )
    assert not (place / "diverging/export").exists()


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_writes_nothing(name, place, ended):
    bad = ended[name]
    lines = bad.stderr.splitlines()
    assert (bad.status, len(lines), bad.stdout) == (2, 1, ""), bad
    assert lines[0].startswith("error: ")
    for said in BAD[name][1]:
        assert said in lines[0]
    assert bad.asked == []
    assert not (place / "bad").exists()


def test_the_model_has_to_be_named(ended):
    assert ended["no model"].status == 2
    assert re.fullmatch(r"error: .*--model.*\n", ended["no model"].stderr)


def test_help_names_every_flag(ended):
    assert (ended["help"].status, ended["help"].stderr) == (0, "")
    for flag in ("model", "books", "work", "export", "checkpoint_every", "seed"):
        assert f"  --{flag}: " in ended["help"].stdout
