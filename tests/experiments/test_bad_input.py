"""Bad input: one line that names the flag, file or line and what to do; status 2; and
nothing is written. Flags are looked at first, then models, then questions."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file, save_file

from experiments import prune, sweep
from jaxsparse.pruning import METHODS
from tests import tiny
from tests.experiments import binary


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty directory to run in, but for a file of one good question."""
    monkeypatch.chdir(tmp_path)
    binary.write_items(tmp_path / "cbtest_CN_test.txt", [binary.item(2)])
    return tmp_path


def run(saved, *argv, program=sweep):
    """A good command line, and what comes after it."""
    good = [f"--model={saved('gpt2')}", "--sparsities=0"]
    if program is sweep:
        good += ["--data=cbtest_CN_test.txt", "--out=out", "--context=query"]
    return binary.run(program, *good, *argv)


def assert_refused(ended, *patterns):
    lines = ended.stderr.splitlines()
    assert (ended.status, len(lines), ended.stdout) == (2, 1, ""), ended
    assert lines[0].startswith("error: ")
    for pattern in patterns:
        assert re.search(pattern, lines[0]), lines[0]


@pytest.fixture
def untouched(place):
    """Holds that nothing is there afterwards but what tests put there themselves."""
    yield
    names = {path.relative_to(place).parts[0] for path in place.rglob("*")}
    assert not {name for name in names if not name.startswith(("cbtest_", "input"))}


# Flags

BAD_FLAGS = {
    "unknown flag": (["--sparsity=0.5"], ["--sparsity; is it --sparsities?"]),
    "flag like none": (["--zzz"], ["--zzz; sweep takes --model, --data, --split"]),
    "flag of another job": (["--export=x"], ["--export is not a flag of sweep, which"]),
    "no value": (["--data"], ["^error: --data needs a value"]),
    "value of a negation": (["--noskip_malformed=3"], ["--noskip_malformed=3"]),
    "leftover": (["cloze"], ["'cloze'", "--name=value"]),
    "leftover after a boolean": (["--skip_malformed", "yes"], ["'yes'"]),
    "split": (
        ["--split=dev"],
        ["^error: --split=dev: choose from train, validation, test"],
    ),
    "class": (["--word_classes=CN,N"], ["--word_classes", "'N'", "CN, NE, V, P"]),
    "no class": (["--word_classes="], ["--word_classes", "empty", "CN, NE, V, P"]),
    "protocol": (["--protocol=clozed"], ["--protocol", "'clozed'", "cloze, append"]),
    "context": (["--context=all"], ["--context=all", "full", "query", "last"]),
    "detokenize": (["--detokenize=moses"], ["--detokenize", "ptb", "none"]),
    "method": (["--method=wander"], ["--method", "'wander'", "magnitude, random"]),
    "method twice": (["--method=random,random"], ["--method", "random", "twice"]),
    "update": (["--method=wanda+obs"], ["--method=wanda.obs", "'obs'", "bias"]),
    "no method": (["--method="], ["--method is empty"]),
    "own file": (["--method=a.py:f"], ["--method=a.py:f", "a.py cannot be read"]),
    "pattern": (["--pattern=4:2"], ["--pattern=4:2", "unstructured", "N below M"]),
    "pattern twice": (["--pattern=2:4,2:4"], ["--pattern: 2:4 is given twice"]),
    "sparsity of a pattern": (
        ["--pattern=2:4,1:4", "--sparsities=0.5"],
        ["--sparsities: --pattern=2:4,1:4 has one of its own"],
    ),
    "neurons of a solver": (
        ["--pattern=neurons", "--method=sparsegpt"],
        ["--method=sparsegpt: it has no scores, which --pattern=neurons adds up"],
    ),
    "neurons and an update of weights": (
        ["--pattern=neurons", "--method=wanda+pcg"],
        ["--method=wanda.pcg: its update is of single weights", "bias, or none"],
    ),
    "neurons of heads": (
        ["--pattern=neurons", "--prunable=linear"],
        ["--prunable=linear: --pattern=neurons removes parts of blocks"],
    ),
    "scope of neurons": (
        ["--pattern=neurons,layers", "--scope=global"],
        ["--scope=global: --pattern=neurons,layers has its own; leave --scope out"],
    ),
    "order of layers": (
        ["--pattern=layers", "--statistics=dense"],
        ["--statistics=dense: --pattern=layers has its own"],
    ),
    "influence": (
        ["--method=influence"],
        ["--method=influence: it goes with --pattern=layers alone"],
    ),
    "allocation": (["--allocation=er"], ["--allocation", "uniform, erk, owl"]),
    "allocation by scores": (
        ["--allocation=erk", "--scope=global"],
        ["--allocation=erk: with --scope=global the scores allocate"],
    ),
    "allocation of a pattern": (
        ["--allocation=erk", "--pattern=2:4"],
        ["--allocation=erk: --pattern=2:4 takes the same of every matrix"],
    ),
    "statistics": (["--statistics=both"], ["--statistics", "sequential, dense"]),
    "statistics of nothing": (
        ["--method=magnitude,random", "--statistics=dense"],
        ["--statistics=dense: --method needs none"],
    ),
    "order of the loss": (
        ["--method=gradient", "--statistics=sequential"],
        ["--statistics=sequential: gradient .* choose dense"],
    ),
    "scope": (["--scope=layer"], ["--scope=layer", "matrix, output, global"]),
    "prunable": (["--prunable=heads"], ["--prunable", "blocks", "linear", "all"]),
    "dtype": (["--dtype=float16"], ["--dtype", "float32", "bfloat16"]),
    "model type": (["--model_type=e-e"], ["--model_type", "d-o", "e-o", "e-d"]),
    "model and type": (["--model_type=d-o"], ["--model ", "--model_type"]),
    "large alone": (["--large"], ["--large", "--model_type"]),
    "number": (["--seed=1.5"], ["--seed=1.5: a whole number is wanted, from 0 to 9"]),
    "boolean": (["--skip_malformed=maybe"], ["--skip_malformed", "true nor false"]),
    "sparsity above 1": (["--sparsities=0,1.5"], ["--sparsities", "1.5", "0 to 1"]),
    "sparsity below 0": (["--sparsities=-0.1"], ["--sparsities", "-0.1", "0 to 1"]),
    "sparsity nan": (["--sparsities=nan"], ["--sparsities", "nan", "0 to 1"]),
    "sparsity word": (["--sparsities=0.5,abc"], ["--sparsities", "'abc'", "number"]),
    "no sparsity": (["--sparsities="], ["--sparsities", "empty", "0,0.5"]),
    "empty sparsity": (["--sparsities=0.5,,0.9"], ["--sparsities", "empty"]),
    "sparsity twice": (["--sparsities=0.5,0.9,.50"], ["--sparsities", "twice"]),
    "many sparsities": (
        [f"--sparsities={','.join(f'{n / 300}' for n in range(1, 257))}"],
        ["--sparsities", "256", "at most 255"],
    ),
    "examples": (["--num_examples=-1"], ["--num_examples=-1", "from 0 on"]),
    "examples word": (["--num_examples=ten"], ["--num_examples=ten: a whole number"]),
    "levels": (["--levels_at_once=-1"], ["--levels_at_once=-1", "from 0 on"]),
    "batch": (["--batch_tokens=-5"], ["--batch_tokens=-5", "from 0 to 2147483647"]),
    "seed": (["--seed=99999999999999999999"], ["--seed"]),
    "mesh": (["--mesh=data:8"], ["--mesh=data:8", "asks for 8 devices of 1;"]),
    "mesh of nothing": (["--mesh=data:0"], ["--mesh=data:0", "from 1 on", "model:2"]),
    "mesh without a size": (["--mesh=model"], ["--mesh=model", "data:4,model:2"]),
    "mesh axis": (["--mesh=rows:2"], ["--mesh=rows:2", "'rows:2'", "data:4,model:2"]),
    "mesh axis twice": (["--mesh=data:1,data:2"], ["--mesh", "'data:2'", "data:4"]),
    "no cluster": (["--distributed"], ["--distributed: no cluster", "--coordinator"]),
    "coordinator alone": (
        ["--coordinator=localhost:1234"],
        ["--num_processes and --process_id missing", "go together"],
    ),
    "coordinator": (
        ["--coordinator=localhost", "--num_processes=2", "--process_id=0"],
        ["--coordinator=localhost: not an address; host:port"],
    ),
    "process": (
        ["--coordinator=a:1", "--num_processes=2", "--process_id=2"],
        ["--process_id=2", "the last is 1"],
    ),
    "coordinator and cluster": (
        ["--coordinator=a:1", "--num_processes=2", "--process_id=0", "--distributed"],
        ["--distributed and --coordinator exclude"],
    ),
    "no model": (["--model="], ["--model is empty", "leave the flag out"]),
    "model twice": (["--model=a,b,a"], ["--model", "a is given twice"]),
    "no data": (["--data="], ["--data is empty", "directory"]),
    "no out": (["--out="], ["--out is empty", "directory"]),
    "out is a file": (
        ["--out=cbtest_CN_test.txt"],
        ["--out=cbtest_CN_test.txt", "is a file; name a directory"],
    ),
    "out in a file": (
        ["--out=cbtest_CN_test.txt/deep/out"],
        ["--out=cbtest_CN_test.txt/deep/out", "is a file; name a directory"],
    ),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("argv", "patterns"), BAD_FLAGS.values(), ids=BAD_FLAGS)
def test_bad_flag(saved, argv, patterns):
    assert_refused(run(saved, *argv), *patterns)


@pytest.mark.usefixtures("untouched")
def test_scope_that_one_of_the_methods_does_not_define(saved, monkeypatch):
    narrow = replace(METHODS["random"], scopes=("matrix",))
    monkeypatch.setitem(METHODS, "random", narrow)
    ended = run(saved, "--method=magnitude,random", "--scope=global")
    assert_refused(ended, "--scope=global", "random", "defines matrix")


def test_out_that_is_a_link_to_nowhere(saved, place):
    (place / "input-link").symlink_to("nowhere")
    assert_refused(run(saved, "--out=input-link"), "--out=input-link", "directory")
    assert not (place / "nowhere").exists()


@pytest.mark.usefixtures("untouched")
def test_prune_takes_one_of_each_and_a_new_directory(saved, place):
    one = ("--sparsities=0.5", "--export=new")
    many = {
        "--model": f"--model={saved('gpt2')},{saved('t5')}",
        "--method": "--method=magnitude,random",
        "--sparsities": "--sparsities=0.5,0.9",
    }
    for flag, value in many.items():
        ended = run(saved, *one, value, program=prune)
        assert_refused(ended, f"{flag}: prune takes one, got 2")
    for export, pattern in {
        "": "--export is missing; name",
        place: "exists already; name a new directory",
        "cbtest_CN_test.txt": "exists already",
        "cbtest_CN_test.txt/new": "is a file; name a directory",
    }.items():
        ended = run(saved, *one, f"--export={export}", program=prune)
        assert_refused(ended, "--export", pattern)


@pytest.mark.usefixtures("untouched")
def test_verbosity_1_shows_the_traceback_too(saved):
    quiet = run(saved, "--data=nowhere")
    assert_refused(quiet, "--data=nowhere")
    ended = run(saved, "--verbosity=1", "--data=nowhere")
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Traceback")
    assert "InputError" in ended.stderr
    assert ended.stderr.splitlines()[-1:] == quiet.stderr.splitlines()
    assert_refused(run(saved, "--data=nowhere"), "--data=nowhere")  # it does not stay


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("program", [sweep, prune])
def test_more_than_a_model_can_lose(saved, program):
    """Known by its configuration, before its weights are read."""
    new = ["--export=new"] if program is prune else []
    for variant, flags, pattern in (
        ("gpt2", ["--pattern=heads"], "--pattern=heads: .* wide as hidden / heads"),
        ("electra-generator", ["--pattern=heads"], "a head of electra is as wide"),
        ("gpt2-inverse-layer", ["--pattern=layers"], "scale_attn_by_inverse_layer_idx"),
        (
            "gpt2",
            ["--pattern=layers", "--sparsities=0.9"],
            "gpt2: --sparsities=0.9: --pattern=layers would leave none of the 3 layers",
        ),
        (
            "t5",
            ["--pattern=heads", "--sparsities=0.9"],
            "t5: --sparsities=0.9: --pattern=heads would leave none of the 4 heads",
        ),
        (
            "t5",
            ["--pattern=neurons", "--method=magnitude+bias"],
            "t5: --method=magnitude.bias: .* has no bias; choose another update",
        ),
    ):
        of_variant = [f"--model={saved(variant)}", "--sparsities=0.5", *flags, *new]
        ended = run(saved, *of_variant, program=program)
        assert_refused(ended, f"{variant}: ", pattern)


# Models


def truncate(directory):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage(directory, change):
    """Writes the weights again with one tensor changed."""
    tensors = load_file(directory / "model.safetensors")
    name = "transformer.h.1.mlp.c_fc.weight"
    tensors[name] = change(tensors[name])
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def with_nan(tensor):
    changed = tensor.copy()
    changed[3, 5] = np.nan
    return changed


def configure(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


C_FC = r"transformer\.h\.1\.mlp\.c_fc\.weight"
BAD_MODELS = {
    "missing directory": (shutil.rmtree, ["--model=.*input-model", "director"]),
    "empty directory": (
        lambda directory: [path.unlink() for path in directory.iterdir()],
        ["input-model/config.json: missing", "Hugging Face"],
    ),
    "no weights": (
        lambda directory: (directory / "model.safetensors").unlink(),
        ["input-model: no weights", r"model\.safetensors"],
    ),
    "truncated weights": (
        truncate,
        [r"input-model/model\.safetensors: not a whole", "download or copy it again"],
    ),
    "empty weights": (
        lambda directory: (directory / "model.safetensors").write_bytes(b""),
        [r"input-model/model\.safetensors: not a whole", "download or copy it again"],
    ),
    "wrong shape": (
        lambda directory: damage(directory, lambda tensor: tensor[:, :-1].copy()),
        ["input-model: ", C_FC, r"\(?32, 127"],
    ),
    "NaN": (
        lambda directory: damage(directory, with_nan),
        ["input-model: ", C_FC, "1 value", "NaN", "damaged"],
    ),
    "unknown architecture": (
        lambda directory: configure(directory, model_type="bloom"),
        [r"input-model: config\.json", "'bloom'", "gpt2, electra, t5"],
    ),
    "unknown activation": (
        lambda directory: configure(directory, activation_function="snake"),
        [r"input-model: config\.json", "snake", "gelu_new"],
    ),
    "half a config": (
        lambda directory: (directory / "config.json").write_text('{"model_type": '),
        [r"input-model/config\.json: not readable as JSON"],
    ),
    "no tokenizer": (
        lambda directory: [path.unlink() for path in directory.glob("tokenizer*")],
        ["input-model: no tokenizer; copy the model's"],
    ),
    "half a tokenizer": (
        lambda directory: (directory / "tokenizer.json").write_text("{"),
        ["input-model: no tokenizer", "copy the model's tokenizer"],
    ),
}


@pytest.fixture
def damaged(saved, place):
    """Gives a copy of the tiny GPT-2 with something done to it."""

    def damaged(how):
        directory = place / "input-model"
        shutil.copytree(saved("gpt2"), directory)
        how(directory)
        return directory

    return damaged


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("how", "patterns"), BAD_MODELS.values(), ids=BAD_MODELS)
@pytest.mark.parametrize("second", [False, True], ids=["alone", "second of two"])
def test_bad_model(saved, damaged, how, patterns, second):
    """The second is found out before the first is scored, which would say so."""
    models = f"{saved('gpt2')}," * second + str(damaged(how))
    assert_refused(run(saved, f"--model={models}"), *patterns)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("how", ["NaN", "truncated weights", "unknown architecture"])
def test_bad_model_to_prune(saved, damaged, how):
    change, patterns = BAD_MODELS[how]
    flags = (f"--model={damaged(change)}", "--sparsities=0.5", "--export=new")
    assert_refused(run(saved, *flags, program=prune), *patterns)


@pytest.mark.usefixtures("untouched")
def test_a_tokenizer_of_another_family(saved, damaged):
    def swap(directory):
        for path in saved("electra-discriminator").glob("tokenizer*"):
            shutil.copyfile(path, directory / path.name)

    ended = run(saved, f"--model={damaged(swap)}")
    assert_refused(ended, "input-model", r"tokenizer has no <\|endoftext\|>")


@pytest.mark.usefixtures("untouched")
def test_a_tokenizer_with_more_tokens_than_the_second_model(saved, place):
    directory = place / "input-model"
    tiny.save("gpt2", directory, vocab=500)  # the tokenizer has 512
    ended = run(saved, f"--model={saved('gpt2')},{directory}")
    assert_refused(ended, "input-model: the tokenizer", "500", "tokenizer files")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", ["gpt2-small", "someone/something"])
def test_a_model_that_is_not_here(saved, name):
    ended = run(saved, f"--model={name}")
    assert_refused(ended, f"--model={name}", r"pass (the path of )?a .*directory")


# Questions

NINE = tiny.question_text(2)[2][:9]
BAD_ITEMS = {
    "nine options": (
        binary.item(2, options=NINE, answer=NINE[0]),
        [":43: 9 options, not 10"],
    ),
    "no blank": (
        binary.item(2, query="The hen sat on the gate ."),
        [":43: 0 blanks", "not one"],
    ),
    "two blanks": (binary.item(2, query="XXXXX saw XXXXX ."), [":43: 2 blanks"]),
    "another answer": (
        binary.item(2, answer="teapot"),
        [":43: ", "'teapot' is not among the options"],
    ),
    "truncated": (binary.item(2)[:15], [":37: the item ends after line 15 of 21"]),
}
REMEDY = "mend the data, or leave them out with --skip_malformed"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("item", "patterns"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_bad_item(saved, place, item, patterns):
    binary.write_items(place / "cbtest_V_test.txt", [binary.item(5), item])
    ended = run(saved, "--data=cbtest_V_test.txt")
    assert_refused(ended, r"1 malformed item: cbtest_V_test\.txt:", REMEDY, *patterns)


@pytest.mark.usefixtures("untouched")
def test_the_number_of_bad_items_and_the_first_three(saved, place):
    bad = [item for item, _ in BAD_ITEMS.values()]
    binary.write_items(place / "cbtest_V_test.txt", [binary.item(5), *bad])
    ended = run(saved, "--data=cbtest_V_test.txt")
    assert_refused(ended, "5 malformed items: ", "; …; mend", REMEDY)
    assert ended.stderr.count("cbtest_V_test.txt:") == 3


@pytest.mark.usefixtures("untouched")
def test_nothing_but_bad_items_to_skip(saved, place):
    bad = [item for item, _ in BAD_ITEMS.values()]
    binary.write_items(place / "cbtest_V_test.txt", bad)
    ended = run(saved, "--data=cbtest_V_test.txt", "--skip_malformed")
    assert_refused(ended, "--data=cbtest_V_test.txt", "malformed", "mend the data")


@pytest.mark.usefixtures("untouched")
def test_bad_data(saved, place):
    (place / "cbtest_P_test.txt").write_text("")
    (place / "input.txt").write_text("no class in the name\n")
    (place / "input.csv").write_text("a,b\n")
    binary.write_items(place / "inputs" / "cbtest_CN_test.txt", [binary.item(2)])
    for data, patterns in {
        "cbtest_P_test.txt": [r"cbtest_P_test\.txt holds no questions"],
        "input.txt": [r"input\.txt", "--word_classes"],
        "input.csv": [r"--data=input\.csv", "json", "parquet"],
        "nowhere": ["--data=nowhere", "no such file", "a directory of CBTest"],
        "inputs": [r"inputs has no cbtest_NE_test\*\.txt", "--word_classes"],
        "cbt": ["--data=cbt", "offline", "--data=DIR"],
    }.items():
        assert_refused(run(saved, f"--data={data}"), *patterns)
    ended = run(saved, "--split=train")
    assert_refused(ended, r"cbtest_CN_test\.txt", "--split=train")


def task(**changes):
    row = {"task": "t", "context": [], "query": "The XXXXX ran ."}
    return {**row, "options": ["hen", "fox"], "answer": "hen", **changes}


CBT_ROW = {
    "sentences": ["One ."] * 20, "question": "A XXXXX .", "word_class": "V",
    "options": list("abcdefghij"), "answer": "a", "group": "g",
}  # fmt: skip
BAD_TASKS = {
    "one option": (task(options=["hen"]), ": 1 option, not 2 to 64: 'hen'"),
    "65 options": (task(options=[*"abc" * 21, "d", "hen"]), ": 65 options, not 2 to"),
    "no answer": (task(answer=None), ": answer is None, not a string"),
    "task in some rows": (task(task=None), ": it has no task, which other rows"),
    "an id again": (task(id="t-1"), ": its id 't-1' is that of line 1 already"),
    "group all": (task(group="all"), ": its group is 'all', which means all of them"),
    "groups in CBT": (CBT_ROW, ": it has a group but no task; CBT's questions have a"),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("row", "reason"), BAD_TASKS.values(), ids=BAD_TASKS)
def test_bad_task(saved, place, row, reason):
    good = {**CBT_ROW, "group": None} if row is CBT_ROW else task()
    lines = "".join(f"{json.dumps(row)}\n" for row in (good, row))
    (place / "input.jsonl").write_text(lines)
    ended = run(saved, "--data=input.jsonl")
    assert_refused(ended, "1 malformed item: input.jsonl:2" + reason, REMEDY)


@pytest.mark.usefixtures("untouched")
def test_a_group_that_is_not_there(saved, place):
    (place / "input.jsonl").write_text(json.dumps(task(group="g")))
    ended = run(saved, "--data=input.jsonl", "--word_classes=g,h")
    assert_refused(ended, "word_classes", r"input\.jsonl has no group 'h'; it has g")


@pytest.fixture
def short(place):
    """A GPT-2 that reads 64 tokens, and a query that is longer."""
    tiny.save("gpt2", place / "input-short", positions=64)
    long = "Then " + "Mira and Ned and Oona and Tobin came along , and " * 4
    item = binary.item(2, query=f"{long} there sat the XXXXX")
    binary.write_items(place / "cbtest_V_test.txt", [binary.item(5), item])
    return place / "input-short"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("protocol", ["cloze", "append"])
def test_a_query_too_long_for_one_of_two_models(saved, short, protocol):
    models = f"--model={saved('gpt2')},{short}"
    ended = run(saved, models, "--data=cbtest_V_test.txt", f"--protocol={protocol}")
    assert_refused(
        ended,
        r"1 malformed item: cbtest_V_test\.txt:43: ",
        rf"input-short, {protocol}: the query alone is \d+ tokens, of at most 64",
        REMEDY,
    )


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("order", [1, -1])
def test_a_word_added_to_one_of_two_tokenizers(saved, place, order):
    """It stands in the last story alone; nothing is scored before it is found."""
    directory = place / "input-taught"
    shutil.copytree(saved("gpt2"), directory)
    path = str(directory / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.add_tokens(["dragonfly"])
    tokenizer.save(path)
    last = binary.item(8)
    last[3] = "4 A dragonfly sat on a reed ."
    items = [binary.item(2), binary.item(5), last]
    binary.write_items(place / "cbtest_V_test.txt", items)
    models = ",".join([str(saved("gpt2")), str(directory)][::order])
    given = (f"--model={models}", "--data=cbtest_V_test.txt", "--context=full")
    assert_refused(
        run(saved, *given), "input-taught: question V-test-3 holds 'dragonfly'", "512"
    )
    ended = run(saved, *given, "--num_examples=2")
    assert ended.status == 0, ended.stderr
    shutil.rmtree(place / "out")


def test_it_is_left_out_for_both_and_counted(saved, short, place):
    models = f"--model={saved('gpt2')},{short}"
    ended = run(saved, models, "--data=cbtest_V_test.txt", "--skip_malformed")
    assert ended.status == 0
    left_out = "1 malformed item left out: cbtest_V_test.txt:43"
    assert left_out in ended.stdout
    assert left_out in (place / "out/report.md").read_text()
    facts = json.loads((place / "out/run.json").read_text())
    (reason,) = facts["malformed"]
    assert re.match(r"cbtest_V_test\.txt:43: input-short, cloze: the query", reason)
    assert facts["questions"] == 1
    with (place / "out/results.csv").open() as file:
        questions = {(row["model"], row["questions"]) for row in csv.DictReader(file)}
    assert questions == {("gpt2", "1"), ("input-short", "1")}


# The order, and what is no input's fault


@pytest.mark.usefixtures("untouched")
def test_flags_are_looked_at_before_models_and_models_before_questions(saved):
    bad = ("--model=./nowhere", "--data=nothing", "--sparsities=2")
    assert_refused(run(saved, *bad), "--sparsities")
    assert_refused(run(saved, *bad[:2]), "--model=./nowhere")
    assert_refused(run(saved, bad[1]), "--data=nothing")


@pytest.mark.usefixtures("untouched")
def test_a_fault_of_our_own_keeps_its_traceback(saved, monkeypatch):
    def fail(settings, progress):
        raise RuntimeError("ours")

    monkeypatch.setattr(sweep.inputs, "read_inputs", fail)
    with pytest.raises(RuntimeError, match="ours"):
        run(saved)
