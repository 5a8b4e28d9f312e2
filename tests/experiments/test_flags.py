"""What command lines mean, the original experiments' among them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags as absl_flags

from experiments import flags, inputs, prune_settings, results, usage
from experiments import sweep as sweep_binary
from jaxsparse.parallel import Axes
from jaxsparse.sweep import Recipe
from jaxsparse.types import InputError, Presentation
from jaxsparse.weights.hub import BUNDLED
from tests.experiments import binary


def test_without_a_model_the_bundled_ones_are_asked_both_ways():
    settings = binary.settings()
    assert settings.models == BUNDLED
    assert settings.data == "bundled"
    assert settings.protocols == ("cloze", "append")
    assert settings.num_examples == flags.NEWCOMERS_QUESTIONS


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--model=tiny-gpt2"], ("bundled", ("cloze",), 0)),
        (["--model=tiny-gpt2,m"], ("cbt", ("cloze",), 0)),
        (["--data=d"], ("d", ("cloze", "append"), 0)),
        (["--num_examples=0"], ("bundled", ("cloze", "append"), 0)),
        (["--protocol=append", "--num_examples=4"], ("bundled", ("append",), 4)),
        (["--data=bundled", "--model=m"], ("bundled", ("cloze",), 0)),
    ],
)
def test_what_is_given_is_taken(argv, expected):
    settings = binary.settings(*argv)
    assert (settings.data, settings.protocols, settings.num_examples) == expected


def test_defaults_are_designs():
    settings = binary.settings("--model=m")
    assert settings.models == ("m",)
    assert settings.data == "cbt"
    assert (settings.split, settings.word_classes) == (None, None)
    assert settings.num_examples == 0
    assert settings.protocols == ("cloze",)
    assert (settings.context, settings.detokenize) == ("full", "ptb")
    assert settings.recipes == (Recipe("magnitude", "matrix", "blocks"),)
    assert settings.sparsities == (0, 0.1, 0.5, 0.9, 0.99)
    assert (settings.dtype, settings.levels_at_once) == ("float32", 0)
    assert (settings.seed, settings.skip_malformed) == (0, False)
    assert settings.mesh is None
    assert (settings.sample, settings.margin) == ("first", None)


@pytest.mark.parametrize("margin", ["-1", "100.5", "nan", "inf"])
def test_a_margin_is_points_of_accuracy(margin):
    with pytest.raises(absl_flags.Error, match=f"--margin={margin}: .* 0 to 100"):
        binary.settings(f"--margin={margin}")


@pytest.mark.parametrize("margin", ["0", "100"])
def test_a_margin_may_be_nothing_or_all(margin):
    assert binary.settings(f"--margin={margin}").margin == float(margin) / 100


def test_a_model_whose_directory_has_a_comma_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a,b").mkdir()
    assert binary.settings("--model=a,b,c").models == ("a,b", "c")
    assert binary.settings('--model="a,b"').models == ("a,b",)


def test_every_flag_arrives():
    settings = binary.settings(
        "--model=a,b/c", "--data=d", "--split=train", "--word_classes=P,V",
        "--num_examples=7", "--protocol=append,cloze", "--context=last",
        "--detokenize=none", "--context_tokens=600", "--method=random,wanda",
        "--scope=matrix", "--pattern=unstructured,1:4", "--statistics=dense",
        "--prunable=all", "--sparsities=1,0.25", "--levels_at_once=3",
        "--dtype=bfloat16", "--batch_tokens=99", "--mesh=model:2,data:4", "--seed=5",
        "--skip_malformed", "--out=o", "--sample=random", "--margin=2.5",
        f"--text={__file__}", "--text_tokens=64", "--text_details",
        "--calibration=train", "--calibration_rows=9", "--calibration_tokens=32",
        "--allow_overlap", "--execution=auto",
    )  # fmt: skip
    assert settings == flags.Settings(
        models=("a", "b/c"),
        data="d",
        split="train",
        word_classes=("P", "V"),
        num_examples=7,
        sample="random",
        texts=(__file__,),
        text_tokens=64,
        text_details=True,
        calibration="train",
        calibration_rows=9,
        calibration_tokens=32,
        allow_overlap=True,
        protocols=("append", "cloze"),
        context="last",
        detokenize="none",
        context_tokens=600,
        recipes=tuple(
            Recipe(method, "matrix", "all", pattern, 5, statistics=order)
            for method, order in (("random", ""), ("wanda", "dense"))
            for pattern in ("unstructured", "1:4")
        ),
        sparsities=(0.25, 1),
        levels_at_once=3,
        dtype="bfloat16",
        batch_tokens=99,
        mesh=Axes(data=4, model=2),
        execution="auto",
        seed=5,
        seeds=(5,),
        skip_malformed=True,
        margin=0.025,
        out=Path("o"),
    )


# The original command line

SMALL, LARGE = "--large False", "--large True"
ORIGINAL = {
    ("d-o", LARGE): ("gpt2-xl",),
    ("d-o", SMALL): ("gpt2-small",),
    ("e-o", LARGE): ("electra-large", "electra-large-discriminator"),
    ("e-o", SMALL): ("electra-small", "electra-small-discriminator"),
    ("e-d", LARGE): ("t5-3b",),
    ("e-d", SMALL): ("t5-small",),
}


@pytest.mark.parametrize(("kind", "size"), ORIGINAL)
def test_the_original_models_under_both_protocols(kind, size):
    settings = binary.settings("--model_type", kind, *size.split())
    assert settings.models == ORIGINAL[kind, size]
    assert settings.protocols == ("cloze", "append")
    assert (settings.context, settings.data) == ("full", "cbt")
    assert settings.skip_malformed  # the data set it was run on has some


def test_the_original_command_opens_its_models_as_it_was_written(monkeypatch):
    opened = []

    def open_model(name):
        opened.append(name)
        if len(opened) == 2:
            raise InputError("far enough")
        return SimpleNamespace(name=name, tokenizer=None, config=None)

    monkeypatch.setattr(inputs, "open_model", open_model)
    monkeypatch.setattr(inputs.scoring, "check_tokenizer", lambda *args: None)
    monkeypatch.setattr(inputs, "replace", lambda model, **changes: model)
    line = "--first_and_sec True --large True --model_type e-o --num_examples 10000"
    ended = binary.run(sweep_binary, *line.split())
    assert (ended.status, ended.stderr) == (2, "error: far enough\n")
    assert opened == ["electra-large", "electra-large-discriminator"]

    settings = binary.settings(*line.split())
    assert settings.models == tuple(opened)
    assert (settings.context, settings.num_examples) == ("full", 10000)
    assert settings.protocols == ("cloze", "append")


def test_first_and_sec_false_reads_the_query_alone():
    original = ("--model_type", "d-o", "--first_and_sec")
    assert binary.settings(*original, "False").context == "query"
    assert binary.settings(*original, "True").context == "full"
    assert binary.settings(*original[:2]).context == "full"


@pytest.mark.parametrize("flag", ["--protocol=cloze", "--context=full"])
def test_what_the_original_spelling_decides_cannot_be_given_too(flag):
    with pytest.raises(InputError, match=r"--(protocol|context) and --model_type"):
        binary.settings("--model_type=d-o", flag)


@pytest.mark.parametrize("value", ["True", "true", "False", "false"])
def test_booleans_take_their_value_after_a_space(value):
    truth = value.lower() == "true"
    for line in ([f"--skip_malformed={value}"], ["--skip_malformed", value]):
        assert binary.settings("--model=m", *line).skip_malformed is truth
    both = ["--skip_malformed", value, "--model", "True"]
    settings = binary.settings(*both)
    assert (settings.skip_malformed, settings.models) == (truth, ("True",))


def test_a_boolean_word_that_follows_no_boolean_is_left_over():
    for line in (["True"], ["--model=m", "True"], ["--noskip_malformed", "True"]):
        with pytest.raises(absl_flags.Error, match="unexpected argument 'True'"):
            usage.parse("sweep", line)


# The directory of the results


def out(*argv):
    return binary.settings("--model=dir/m,gpt2-xl", *argv).out


def test_the_default_directory_is_named_for_the_models_and_stays_the_same():
    assert out().parent == Path("results")
    name, digest = out().name.rsplit("-", 1)
    assert name == "dir-m+gpt2-xl"
    assert len(bytes.fromhex(digest)) == 4
    for same in (
        ["--sparsities=0,0.3"],
        ["--method=random"],
        ["--levels_at_once=4"],
        ["--batch_tokens=512"],
        ["--verbosity=0"],
        ["--protocol=cloze"],
        ["--method=wanda"],
        ["--calibration=bundled", "--calibration_rows=128", "--allow_overlap"],
    ):
        assert out(*same) == out(), same


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ((), "tiny-gpt2+tiny-electra+tiny-t5-c6882e29"),
        (("--model=dir/m,gpt2-xl",), "dir-m+gpt2-xl-76687dd3"),
        (("--model=gpt2-small", "--num_examples=5"), "gpt2-small-a1803cc0"),
    ],
)
def test_a_new_flag_at_its_default_moves_no_results(argv, name):
    """Directories are found again that were made before there was --sample."""
    assert binary.settings(*argv).out == Path("results", name)


def test_whatever_changes_scores_changes_the_default_directory():
    others = [
        out(*other)
        for other in (
            ["--data=d"],
            ["--split=train"],
            ["--word_classes=CN"],
            ["--num_examples=5"],
            ["--sample=random"],
            ["--protocol=append"],
            ["--context=last"],
            ["--detokenize=none"],
            ["--context_tokens=600"],
            ["--scope=global"],
            ["--pattern=2:4"],
            ["--pattern=unstructured,2:4"],
            ["--allocation=erk"],
            ["--method=wanda", "--statistics=dense"],
            ["--calibration=train"],
            ["--method=wanda", "--calibration_rows=64"],
            ["--method=wanda", "--calibration_tokens=64"],
            ["--prunable=all"],
            ["--dtype=bfloat16"],
            ["--seed=1"],
            ["--skip_malformed"],
            ["--model=dir/m"],
        )
    ]
    assert len({out(), *others}) == 1 + len(others)


def test_a_model_elsewhere_does_not_lead_the_results_out_of_their_directory():
    for model in ("../m", "/abs/m/", "~/m", "./m", "x" * 500):
        path = binary.settings(f"--model={model}").out
        assert path.parent == Path("results")
        assert not path.name.startswith(".")
        assert len(path.name) < 150


# Help


@pytest.mark.parametrize("spelling", ["--help", "-help", "-h"])
def test_help_names_every_flag_and_exits_0(spelling):
    ended = binary.run(sweep_binary, "--model=nowhere", spelling, "--sparsities=7")
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith(sweep_binary.__doc__.strip())
    for flag in (*results.SCORE_FLAGS, "method", "sparsities", "out", "levels_at_once"):
        assert f"  --{flag}: " in ended.stdout
    assert "(default: 0,0.1,0.5,0.9,0.99)" in ended.stdout


def test_versions_are_told_and_nothing_else_is_done():
    ended = binary.run(sweep_binary, "--model=nowhere", "--version")
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith("jaxsparse ")
    assert ended.stdout.count("\n") == 1


# Pruning


def test_patterns_with_a_sparsity_of_their_own_are_asked_for_no_other(tmp_path):
    alone = binary.settings("--pattern=2:4,1:4")
    assert alone.sparsities == ()
    assert [recipe.own_sparsity for recipe in alone.recipes] == [0.5, 0.75]
    usage.parse("prune", ["--model=m", "--pattern=1:4", f"--export={tmp_path}/new"])
    assert prune_settings.pruning_from_flags().sparsities == (0.75,)
    for wrong, message in (
        (["--sparsities=0.75"], "--sparsities: --pattern=1:4 has one of its own"),
        (["--pattern=1:4,2:4"], "--pattern: prune takes one, got 2"),
    ):
        argv = ["--model=m", "--pattern=1:4", f"--export={tmp_path}/new", *wrong]
        usage.parse("prune", argv)
        with pytest.raises(InputError, match=message):
            prune_settings.pruning_from_flags()


def test_scope_and_order_are_of_patterns_whose_weights_go_one_by_one():
    settings = binary.settings(
        "--pattern=unstructured,neurons,layers", "--method=magnitude,wanda",
        "--scope=matrix", "--statistics=dense",
    )  # fmt: skip
    found = [
        (recipe.title, recipe.scope, recipe.statistics) for recipe in settings.recipes
    ]
    assert found == [
        ("magnitude", "matrix", ""),
        ("magnitude neurons", "layer", ""),
        ("influence (layers)", "stack", "dense"),  # of either method
        ("wanda", "matrix", "dense"),
        ("wanda neurons", "layer", "dense"),
    ]
    assert settings.calibration == "bundled"
    assert binary.settings("--pattern=layers").calibration == "bundled"
    assert binary.settings("--pattern=neurons,heads").calibration is None


def test_pruning_takes_one_of_each(tmp_path):
    argv = ("--model=m", "--method=random", "--sparsities=0.5", "--seed=3")
    usage.parse("prune", [*argv, f"--export={tmp_path}/new", "--mesh=model:2"])
    assert prune_settings.pruning_from_flags() == prune_settings.Pruning(
        model="m",
        recipe=Recipe("random", "matrix", "blocks", "unstructured", 3),
        sparsities=(0.5,),
        asking=None,
        calibration=None,
        calibration_rows=128,
        calibration_tokens=0,
        allow_overlap=False,
        seed=3,
        dtype="float32",
        mesh=Axes(model=2),
        directory=tmp_path / "new",
        format="dense",
        results=None,
    )


def pruning(tmp_path, *argv):
    usage.parse("prune", ["--model=tiny-t5", f"--export={tmp_path}/new", *argv])
    return prune_settings.pruning_from_flags()


def test_with_a_margin_it_takes_sparsities_to_go_up_through(tmp_path):
    asked = "--num_examples=9", "--protocol=append", "--word_classes=V", "--seed=3"
    found = pruning(tmp_path, "--margin=2.5", "--sparsities=0.5,0,0.3", *asked)
    assert found.sparsities == (0.3, 0.5)
    assert found.asking == prune_settings.Asking(
        margin=0.025,
        data="bundled",
        word_classes=("V",),
        num_examples=9,
        sample="first",
        skip_malformed=False,
        presentation=Presentation("append"),
        batch_tokens=0,
        seed=3,
    )
    own = pruning(tmp_path, "--margin=5", "--pattern=2:4")
    assert (own.sparsities, own.asking.num_examples) == ((0.5,), 0)


@pytest.mark.parametrize("name", prune_settings.ASKING)
def test_what_goes_with_a_margin_is_refused_without(tmp_path, name):
    value = dict.fromkeys(("num_examples", "batch_tokens", "context_tokens"), "3")
    value["skip_malformed"] = "true"
    default = {"sample": "first", "context": "full", "detokenize": "none"}
    given = (value | default).get(name, "x")
    with pytest.raises(InputError, match=f"--{name} goes with --margin"):
        pruning(tmp_path, "--sparsities=0.5", f"--{name}={given}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--sparsities=0", "--sparsities: name some above 0"),
        ("--sparsities=", "--sparsities is empty"),
        ("--sparsities=0.5 --results=x", "--results and --margin exclude each other"),
        ("--sparsities=0.5 --protocol=cloze,append", "--protocol: prune takes one"),
        ("--sparsities=0.5 --protocol=x", "--protocol: unknown value 'x'"),
        ("--sparsities=0.5 --word_classes=X", "--word_classes: unknown value 'X'"),
        ("--sparsities=0.5 --data=", "--data is empty"),
        ("--sparsities=0.5 --model=a,b", "--model: prune takes one, got 2"),
    ],
)
def test_what_a_margin_does_not_go_with(tmp_path, argv, message):
    with pytest.raises(InputError, match=message):
        pruning(tmp_path, "--margin=5", *argv.split())
