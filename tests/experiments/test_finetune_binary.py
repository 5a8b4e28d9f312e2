"""Pruned models are trained back, asked like any other, and written; what is done is
not done again."""

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
from transformers import GPT2LMHeadModel

import jaxsparse
from experiments import finetune, finetune_settings, progress, trained_exports, usage
from jaxsparse import finetuning
from jaxsparse.finetuning import run as training
from jaxsparse.training.training import LEGAL, Training
from tests.experiments import binary, training_data
from tests.experiments.finetune_lines import __name__ as LINES
from tests.experiments.test_bad_input import assert_refused

SAME = ("predictions.parquet", "results.csv", "metrics.jsonl", "questions.parquet")
SEEDS, SPARSITIES = (0, 1), ("0", "0.5")


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    directory = tmp_path_factory.mktemp("finetune")
    training_data.write(directory / "data")
    return directory


def finetuned(saved, place, *argv, variant="gpt2"):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        # Of text alone no questions are learned from.
        unread = "--batch_questions=2" if "--objective=lm" in argv else None
        given = [flag for flag in training_data.LINE if flag != unread]
        return binary.run(finetune, f"--model={saved(variant)}", *given, *argv)


@pytest.fixture(scope="module")
def made(saved, place):
    """A run with all it leaves behind, and what was told on the way."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Shown, "measured", lambda self, what: told.append(what))
        ended = finetuned(
            saved, place, f"--sparsities={','.join(SPARSITIES)}", "--seeds=0,1",
            "--out=out", "--export=exported",
        )  # fmt: skip
    assert ended.status == 0, ended.stderr
    return ended, told


@pytest.fixture
def trainings(monkeypatch):
    """The names of the trainings that are not taken up as they are."""
    names, train = [], training.Trainer.run

    def counted(self, runs, directory):
        names.extend((run.sparsity, run.seed) for run in runs)
        return train(self, runs, directory)

    monkeypatch.setattr(training.Trainer, "run", counted)
    return names


def rows_of(out: Path):
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def metrics_of(out: Path):
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_trained_points_are_beside_those_that_are_not(made, place):
    rows = [r for r in rows_of(place / "out") if r["word_class"] == "all"]
    found = [(r["sparsity"], r["finetuned"], r["seed"]) for r in rows]
    one_shot = [(f"{float(each)}", "False", "") for each in SPARSITIES]
    trained = [
        (f"{float(each)}", "True", str(seed)) for seed in SEEDS for each in SPARSITIES
    ]
    assert sorted(found) == sorted(one_shot + trained)
    assert {row["questions"] for row in rows} == {"8"}
    seconds = [row["training_seconds"] for row in rows]
    assert all((text != "") == (r["finetuned"] == "True") for text, r in
               zip(seconds, rows, strict=True))  # fmt: skip
    scores = pyarrow.parquet.read_table(place / "out/predictions.parquet")
    assert len({str(each) for each in scores["scores"].to_pylist()}) == scores.num_rows


def test_every_step_has_a_line(made, place):
    rows = metrics_of(place / "out")
    key = [(r["sparsity"], r["seed"], r["step"]) for r in rows]
    assert key == [
        (float(sparsity), seed, step)
        for sparsity in SPARSITIES
        for seed in SEEDS
        for step in range(1, 5)
    ]
    for row in rows:
        assert row["tokens_per_second"] > 0
        assert np.isfinite(row["loss"])
        assert (row["validation_accuracy"] is None) == (row["step"] % 2 == 1)
        assert row["method"] == ("magnitude" if row["sparsity"] else "dense")


def test_progress_tells_loss_accuracy_and_speed(made):
    _, told = made
    wanted = r"loss [\d.]+, accuracy \d+%, (validation [\d.]+%, )?[\d,]+ tokens/s"
    assert sum(bool(re.fullmatch(wanted, what)) for what in told) == 16


def test_the_run_says_what_was_trained(made, place):
    facts = json.loads((place / "out/run.json").read_text())["training"]
    assert (facts["questions"], facts["validation_questions"]) == (12, 8)
    assert facts["overlap"] == {"training": 0, "validation": 0}
    assert facts["steps"] == {"0.0": 4, "0.5": 4}
    assert facts["learning_rates"] == {"gpt2": {"0.0": 2e-4, "0.5": 2e-4}}
    assert [each["seed"] for each in facts["trainings"]] == [*SEEDS]
    ended, _ = made
    assert "trained on 12 questions of 12 stories; 8 validation questions" in (
        ended.stdout
    )
    assert "metrics.jsonl" in ended.stdout
    assert "Models written to" in ended.stdout


def test_exports_are_loaded_with_zeros_in_place(made, saved, place):
    names = {path.name for path in (place / "exported").iterdir()}
    assert names == {f"{s}-seed{n}" for s in SPARSITIES for n in SEEDS}
    dense = dict(GPT2LMHeadModel.from_pretrained(saved("gpt2")).named_parameters())
    for name in names:
        model, loading = GPT2LMHeadModel.from_pretrained(
            place / "exported" / name, output_loading_info=True
        )
        assert not loading["missing_keys"]
        assert not loading["unexpected_keys"]
        for path, parameter in model.named_parameters():
            zeros = (parameter == 0).sum().item()
            pruned = name.startswith("0.5") and ".h." in path and parameter.ndim == 2
            assert zeros == (round(parameter.numel() / 2) if pruned else 0)
            assert (parameter != dense[path]).any()


def test_exports_say_the_scores_of_the_table(made, place):
    said = json.loads((place / "exported/0.5-seed1/finetuning.json").read_text())
    assert said["identity"]["training"]["seed"] == 1
    assert said["identity"]["pruned"]["sparsity"] == 0.5
    model = jaxsparse.load_model(str(place / "exported/0.5-seed1"))
    questions = jaxsparse.cbt.read_questions(str(place / "data"), "test")
    asked = jaxsparse.Presentation(context="query")
    (point,) = jaxsparse.sweep(
        model, questions, sparsities=[0.0], presentations=[asked]
    )
    table = pyarrow.parquet.read_table(place / "out/predictions.parquet").to_pylist()
    rows = [
        row for row in table
        if row["finetuned"] and row["seed"] == 1 and row["sparsity"] == 0.5
    ]  # fmt: skip
    scores = [row["scores"] for row in rows]
    np.testing.assert_allclose(point.answers.of_options, np.concatenate(scores), 1e-5)


def test_a_run_that_is_done_trains_nothing_and_writes_the_same(
    made, saved, place, trainings
):
    before = {name: (place / "out" / name).read_bytes() for name in SAME}
    kept = (place / "exported/0.5-seed0/model.safetensors").stat()
    ended = finetuned(
        saved, place, "--sparsities=0,0.5", "--seeds=0,1", "--out=out",
        "--export=exported",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert "nothing to score" in ended.stderr
    assert trainings == []
    assert {name: (place / "out" / name).read_bytes() for name in SAME} == before
    after = (place / "exported/0.5-seed0/model.safetensors").stat()
    assert after.st_mtime_ns == kept.st_mtime_ns


def test_what_is_asked_for_beside_is_all_that_is_trained(made, saved, place, trainings):
    ended = finetuned(
        saved, place, "--sparsities=0.5,0.75", "--seeds=0,1", "--method=magnitude",
        f"--work={place}/out/work", "--out=more", "--export=exported",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert trainings == [(0.75, 0), (0.75, 1)]
    assert len(list((place / "exported").iterdir())) == 6


def test_what_draws_is_trained_from_what_its_seed_pruned(saved, place, trainings):
    ended = finetuned(
        saved, place, "--sparsities=0.5", "--method=random", "--seeds=3,4", "--steps=1",
        "--out=drawn", "--export=drawn-models",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert trainings == [(0.5, 3), (0.5, 4)]
    masks = [
        {
            name: (parameter == 0).numpy()
            for name, parameter in GPT2LMHeadModel.from_pretrained(
                place / f"drawn-models/0.5-seed{seed}"
            ).named_parameters()
            if ".h." in name and parameter.ndim == 2
        }
        for seed in (3, 4)
    ]
    assert all((masks[0][name] != masks[1][name]).any() for name in masks[0])


def test_sparsities_that_are_close_have_directories_of_their_own():
    jobs = [
        SimpleNamespace(
            variant=SimpleNamespace(sparsity=sparsity), training=Training(seed=3)
        )
        for sparsity in (0.0, 0.1, 0.1234567, 0.1234568)
    ]
    assert [trained_exports._name(job) for job in jobs] == [  # pyright: ignore
        "0-seed3", "0.1-seed3", "0.1234567-seed3", "0.1234568-seed3",
    ]  # fmt: skip


# Bad input


@pytest.fixture
def unread(monkeypatch):
    """Weights are not loaded."""

    def load(*args, **kwargs):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("experiments.tuned_model.load", load)


REFUSED = {
    "--objective=x": "--objective=x: .*choice, lm, both",
    "--train=norms": "--train=norms",
    "--distill=x": "--distill=x",
    "--schedule=x": "--schedule=x",
    "--stop_on=x": "--stop_on=x",
    "--steps=4,5": "--steps=4,5: 2 values for 1 sparsities; give one, or one for each",
    "--steps=0": "--steps=0: '0' is no whole number from 1 to 2,147,483,647",
    "--steps=2147483648": "'2147483648' is no whole number from 1 to 2,147,483,647",
    "--rank=4": "--rank goes with --train=masklora; give that",
    "--story_windows=4": "--story_windows goes with --objective=lm or both; give that",
    "--story_tokens=9": "--story_tokens goes with --objective=lm or both; give that",
    "--batch_questions=4 --objective=lm": "--batch_questions goes with",
    "--objective=lm --story_tokens=4096": "--story_tokens=4096: the model takes 4 to",
    "--learning_rate=1e39": "--learning_rate=1e39: '1e39' is no number .*float32 holds",
    "--mask_every=2": "--mask_every goes with --schedule=gradual; give that",
    "--out=x/y --work=w --export=x": "--out=.*y and --export=.*: one lies in the other",
    "--export=bad/tensorboard/gpt2": "--out=.*tensorboard and --export=.*: one lies in",
    "--learning_rate=x": "--learning_rate=x: 'x' is no number",
    "--learning_rate=1,2": "--learning_rate=1,2: 2 values",
    "--steps=1,2 --sparsities=0.5,0.6 --pattern=unstructured,2:4": "2:4 has a sparsity",
    "--protocol=cloze,append": "--protocol",
    "--train=masklora --rank=33": "gpt2: --rank=33: .* is 32 wide, .* choose 1 to 32",
    "--distill=options --objective=lm": "--distill=options is told by questions",
    "--schedule=gradual --mask_every=4": "--mask_every=4: of 4 steps",
    "--schedule=gradual --train=masklora": "--train=masklora with --schedule=gradual",
    "--split=test": "its story is that of test question .*--allow_overlap",
    "--validation_split=test": "12 validation|8 validation stories.*--allow_overlap",
    "--export=data": "--export=.*data: cbtest_CN_test_2500ex.txt is there, which",
    "--export=x --method=magnitude,random": "--method: with --export .* takes one",
    "--work=w --export=w/x": "--work=.*w and --export=.*: one lies in the other",
    "--work=data/cbtest_CN_train.txt": "--work.*is a file; name a directory",
    "--seeds=1,1": "--seeds: 1 is given twice",
    "--distributed": "--distributed is not a flag of finetune",
    "--execution=auto": "--execution is not a flag of finetune",
}  # fmt: skip


@pytest.mark.parametrize("argv", REFUSED)
def test_what_cannot_be_trained_is_one_line_before_weights(saved, place, unread, argv):
    before = {path.name for path in place.iterdir()}
    ended = finetuned(saved, place, "--sparsities=0.5", "--out=bad", *argv.split())
    assert_refused(ended, REFUSED[argv])
    assert {path.name for path in place.iterdir()} == before


def test_a_discriminator_has_no_text_to_learn(saved, place, unread):
    ended = finetuned(
        saved, place, "--objective=lm", "--out=bad", variant="electra-discriminator"
    )
    assert_refused(ended, "--objective=lm: a discriminator predicts no token")


def test_a_split_that_is_missing_is_named(saved, tmp_path, unread):
    data = training_data.write(tmp_path / "data")
    (data / "cbtest_V_valid_2000ex.txt").unlink()
    ended = finetuned(saved, tmp_path, "--out=bad")
    assert_refused(ended, r"cbtest_V_valid")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("lacking", "flag"), [("train", "split"), ("validation", "validation_split")]
)
def test_a_split_without_rows_is_named_by_its_flag(
    saved, tmp_path, unread, lacking, flag
):
    row = {"task": "t", "query": "The XXXXX saw him .", "options": ["fox", "hen"]}
    rows = [
        {**row, "context": f"{split} .", "answer": "hen", "split": split}
        for split in ("train", "validation", "test")
        if split != lacking
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines)
    ended = finetuned(saved, tmp_path, "--data=rows.jsonl", "--out=bad")
    assert_refused(ended, f"no questions of these groups are of --{flag}={lacking};")


def test_rows_without_a_split_would_be_asked_as_well(saved, tmp_path, unread):
    row = {"task": "t", "query": "The XXXXX saw him .", "options": ["fox", "hen"]}
    rows = [{**row, "context": f"{n} .", "answer": "hen"} for n in range(4)]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines)
    ended = finetuned(saved, tmp_path, "--data=rows.jsonl", "--out=bad")
    assert_refused(ended, "its story is that of test question .*4 training stories")


def test_overlap_that_is_allowed_is_counted(saved, place):
    ended = finetuned(
        saved, place, "--split=test", "--allow_overlap", "--sparsities=0.5",
        "--steps=1", "--out=overlap",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert "stories of the test questions: 8 (--allow_overlap)" in ended.stdout
    assert not re.search("validation stories that", ended.stdout)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--train_examples=8"], "the questions differ"),
        (["--validation_examples=4"], "the validation questions differ"),
        (["--dtype=bfloat16"], 'dtype is "float32" there and "bfloat16" here'),
    ],
)
def test_work_of_something_else_is_refused(made, saved, place, changes, said):
    work = f"--work={place}/out/work"
    ended = finetuned(saved, place, "--sparsities=0.5", work, "--out=other", *changes)
    assert_refused(ended, "holds another run", said)


def test_work_of_a_newer_version_is_refused(made, saved, place, tmp_path):
    (tmp_path / "gpt2").mkdir()
    record = json.loads((place / "out/work/gpt2/run.json").read_text())
    newer = {**record, "revision": record["revision"] + 1}
    (tmp_path / "gpt2/run.json").write_text(json.dumps(newer))
    ended = finetuned(
        saved, place, "--sparsities=0.5", f"--work={tmp_path}", "--out=other"
    )
    assert_refused(ended, "holds another run: revision is 3 there and 2 here")


def test_exports_of_another_training_are_refused_before_any(
    made, saved, place, trainings
):
    ended = finetuned(
        saved, place, "--sparsities=0.5", "--steps=3", "--out=other",
        "--export=exported",
    )  # fmt: skip
    assert_refused(ended, "0.5-seed0 is there, of another training; name another")
    assert trainings == []


def test_an_export_of_other_weights_is_refused(made, saved, place, tmp_path):
    """Of the same training, which was done again and came to other bits."""
    shutil.copytree(place / "exported/0.5-seed0", tmp_path / "0.5-seed0")
    file = tmp_path / "0.5-seed0/finetuning.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights": "0"}))
    ended = finetuned(
        saved, place, "--sparsities=0.5", "--out=out", f"--export={tmp_path}"
    )
    assert_refused(ended, "0.5-seed0 is there with other weights of the same training")


def test_a_loss_that_is_not_finite_says_when_and_what_is_kept(saved, place):
    ended = finetuned(
        saved, place, "--sparsities=0.5", "--learning_rate=1e30", "--out=nan",
        "--checkpoint_every=1", "--evaluate_every=4", "--warmup=0",
    )  # fmt: skip
    assert_refused(
        ended, "magnitude 0.5, .*: the loss is nan at step 2; the checkpoint of step 1 "
        "is kept; lower --learning_rate"
    )  # fmt: skip
    assert list((place / "nan/work/gpt2").glob("*/checkpoints/1"))


# Runs that end too early


def line(saved, out):
    return (
        f"--model={saved('gpt2')}", *training_data.LINE, "--sparsities=0.5",
        f"--out={out}", f"--export={out}-models",
    )  # fmt: skip


def weights(place, out):
    return (place / f"{out}-models/0.5-seed0/model.safetensors").read_bytes()


def test_a_full_disk_keeps_the_checkpoint_before(made, saved, place):
    argv = line(saved, "full")
    ended = binary.start("-m", LINES, "full", 2, *argv, cwd=place)
    assert ended.status == 2, ended
    assert "checkpoint 4 could not be written" in ended.stderr
    assert "that of step 2 is whole: make room, and repeat" in ended.stderr
    assert not (place / "full-models").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        again = binary.run(finetune, *argv)
    assert again.status == 0, again.stderr
    assert "resuming at step 2 of 4" in again.stderr
    exported = (place / "exported/0.5-seed0/model.safetensors").read_bytes()
    assert weights(place, "full") == exported


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 3, 4])
def test_a_killed_run_ends_with_the_same_bits(made, saved, place, moment):
    argv = line(saved, f"killed{moment}")
    ended = binary.start("-m", LINES, "killed", moment, *argv, cwd=place)
    assert ended.status == -9, ended
    again = binary.start("-m", "experiments", "finetune", *argv, cwd=place)
    assert again.status == 0, again.stderr
    exported = (place / "exported/0.5-seed0/model.safetensors").read_bytes()
    assert weights(place, f"killed{moment}") == exported


# Flags


def settings(*argv):
    usage.parse("finetune", ["--model=m", "--data=d", *argv])
    return finetune_settings.settings_from_flags()


def test_defaults_are_the_librarys():
    found = settings()
    assert found.numbers == finetuning.Settings()
    assert found.trainings == (finetuning.tune.Training(),)
    assert {*found.steps.values()} == {finetuning.STEPS}
    assert {*found.learning_rates.values()} == {0}
    assert [*found.steps] == [*found.sweep.sparsities]
    assert found.work == found.sweep.out / "work"
    flags = finetune_settings.FINETUNE
    for name, legal in LEGAL.items():
        assert flags[name].kind.values == legal
    assert flags["stop_on"].kind.values == finetuning.settings.STOP_ON
    said = flags["learning_rate"].help
    of_questions, of_text = said.split("; of lm ")
    for reading, (questions, text) in finetuning.RATES.items():
        assert f" {questions:g} for" in of_questions
        # A discriminator learns nothing from text.
        assert reading == "replaced" or f" {text:g}" in f" {of_text}"


def test_one_for_each_sparsity_goes_by_their_order():
    found = settings("--sparsities=0.9,0,0.5", "--steps=3,1,2", "--learning_rate=0,1,2")
    assert found.sweep.sparsities == (0, 0.5, 0.9)
    assert found.steps == {0.9: 3, 0: 1, 0.5: 2}
    assert found.learning_rates == {0.9: 0, 0: 1, 0.5: 2}


def test_a_directory_is_named_for_what_is_the_same_of_all_its_runs():
    name = settings().sweep.out
    for argv in (
        ["--sparsities=0.5"], ["--method=wanda"], ["--seeds=0,1"], ["--work=w"],
        ["--export=e"], ["--batch_tokens=64"], ["--trained_at_once=2"], ["--verbose"],
    ):  # fmt: skip
        assert settings(*argv).sweep.out == name, argv
    several = ["--sparsities=0,0.5", "--steps=1,2"]
    assert settings(*several).sweep.out == settings(
        "--sparsities=0,0.5,0.9", "--steps=1,2,3"
    ).sweep.out  # fmt: skip
    for argv in (
        ["--objective=lm"], ["--train=norms,biases"], ["--distill=hidden"],
        ["--schedule=dense"], ["--steps=7"], ["--learning_rate=1"],
        ["--train=masklora"], ["--train=masklora", "--rank=3"],
        ["--split=validation"], ["--train_examples=5"], ["--batch_questions=3"],
        ["--seed=2"], ["--context=last"], ["--pattern=2:4"], ["--clip=2"],
    ):  # fmt: skip
        assert settings(*argv).sweep.out != name, argv
