"""Variants trained back: what comes of a call, and what a second call does again."""

import dataclasses
import itertools
import json
import shutil

import jax
import numpy as np
import pytest

import jaxsparse
from jaxsparse import evaluate, load_model, save, variants
from jaxsparse.finetuning import metrics
from jaxsparse.finetuning.kept import Kept
from jaxsparse.finetuning.outcome import MaskDecision
from jaxsparse.finetuning.run import Trainer
from jaxsparse.finetuning.tune import RUNS
from jaxsparse.model import untie
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.pruning import Recipe
from jaxsparse.training import record
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from tests import rows
from tests.calibration import hooks
from tests.finetuning.school import (
    NUMBERS,
    QUERY,
    TRAIN,
    VALIDATION,
    Killed,
    Kills,
    assert_same_leaves,
    dense,
    leaves_of,
    pruned,
    tuned,
    watch,
    zeros_of,
)
from tests.smaller.test_exported import torch_logits
from tests.smaller.test_units import logits

GRADUAL = Training(schedule="gradual")


def scores_of(model, *those):
    """Of each variant what it says of the validation questions, as a sweep asks it."""
    points = evaluate([dense(model), *those], VALIDATION, QUERY)
    return [point.answers.scores for point in points][1:]


@pytest.fixture
def updates(monkeypatch):
    """A list that grows with every update, by how many runs it is of."""
    made = []

    def look(_, state):
        count = [leaf for leaf in jax.tree.leaves(state["optimizer"]) if leaf.ndim < 2]
        made.append(min(count, key=np.size).size)

    watch(monkeypatch, look)
    return made


# What is trained again


def test_a_second_call_trains_only_what_is_new(loaded, tmp_path, updates):
    model = loaded("gpt2")
    one, two = pruned(model, 0.5, 0.8)
    first = tuned(model, [one], work=tmp_path)
    assert len(updates) == 4
    again = tuned(model, [one], work=tmp_path)
    assert len(updates) == 4
    assert_same_leaves(leaves_of(again[0]), leaves_of(first[0]))
    assert again[0].identity == first[0].identity
    assert again[0].training_seconds == first[0].training_seconds > 0
    seeds = [Training(seed=0), Training(seed=1)]
    found = tuned(model, [one, two], seeds, work=tmp_path)
    assert len(updates) == 4 + 3 * 4
    assert [(v.sparsity, v.training.seed) for v in found] == [
        (0.5, 0), (0.5, 1), (0.8, 0), (0.8, 1)
    ]  # fmt: skip
    assert found[0].identity == first[0].identity
    assert len({variants.digest_of(v.identity) for v in found}) == 4
    assert not list(tmp_path.glob("*/checkpoints"))
    # In memory it comes to the same.
    (alone,) = tuned(model, [one])
    assert_same_leaves(leaves_of(alone), leaves_of(first[0]))
    assert alone.identity == first[0].identity


def test_killed_between_two_variants_the_first_stays(loaded, tmp_path, updates):
    model = loaded("gpt2")
    curve = pruned(model, 0.5, 0.8)
    whole = tuned(model, curve)
    del updates[:]
    kills = Kills(2, training=2)
    with pytest.raises(Killed):
        tuned(model, curve, work=tmp_path, progress=kills)
    assert len(updates) == 6
    goes_on = Kills(0)
    found = tuned(model, curve, work=tmp_path, progress=goes_on)
    assert goes_on.notes == []  # the exam after step 2 had not been
    assert len(updates) == 6 + 4
    for one, other in zip(found, whole, strict=True):
        assert one.identity == other.identity
        assert_same_leaves(leaves_of(one), leaves_of(other))


def test_a_directory_of_another_training_is_refused(loaded, tmp_path, monkeypatch):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    monkeypatch.setattr(Trainer, "run", stops)
    with pytest.raises(StopIteration):
        tuned(model, start, work=tmp_path)
    other = loaded("electra-generator")
    for said, ask in (
        ("the weights differ", lambda: tuned(other, pruned(other, 0.5), work=tmp_path)),
        (
            "the questions differ",
            lambda: jaxsparse.finetune(
                model, start, TRAIN[1:], VALIDATION, work=tmp_path
            ),
        ),
        (
            "the validation questions differ",
            lambda: jaxsparse.finetune(
                model, start, TRAIN, VALIDATION[1:], work=tmp_path
            ),
        ),
    ):
        with pytest.raises(InputError, match=f"holds another run: .*{said}.*; repeat"):
            ask()
    file = tmp_path / record.NAME
    newer = {**json.loads(file.read_text()), "revision": 99}
    file.write_text(json.dumps(newer))
    said = rf"^{tmp_path} holds another run: revision is 99 there and \d+ here; repeat "
    with pytest.raises(InputError, match=said):
        tuned(model, start, work=tmp_path)


def stops(*_):
    raise StopIteration


def test_a_directory_that_cannot_be_written_is_named(loaded, tmp_path):
    (tmp_path / "file").write_text("")
    model = loaded("gpt2")
    said = rf"^{tmp_path}/file: cannot be written \(.*\); name another `work`$"
    with pytest.raises(InputError, match=said):
        tuned(model, pruned(model, 0.5), work=tmp_path / "file")


# Schedules


def test_sparsity_grows_to_exact_counts_with_nested_masks(loaded, monkeypatch):
    """At each decision so many as the recipe's own pruning has; a wider `prunable` has
    a head of its own."""
    model = loaded("gpt2")
    recipe = Recipe("magnitude", "global", "all")
    (target,) = OneShot(untie(model)).variants(recipe, [0.7])
    decided, zeros = [], []
    decide = MaskDecision.__call__

    def deciding(self, leaves, sparsity):
        decided.append(sparsity)
        return decide(self, leaves, sparsity)

    paths = target.model.prunable("all")

    def look(_, state):
        zeros.append(zeros_of(state["trained"], paths))

    monkeypatch.setattr(MaskDecision, "__call__", deciding)
    watch(monkeypatch, look)
    settings = dataclasses.replace(NUMBERS, mask_every=2)
    (found,) = tuned(model, target, GRADUAL, settings, steps=8, learning_rate=0.03)
    shares = [0.7 * (1 - (1 - n / 3) ** 3) for n in (1, 2, 3)]
    assert decided == pytest.approx(shares, abs=1e-12)
    assert decided[-1] == 0.7
    of = sum(leaf.size for leaf in zeros[0].values())
    counts = [sum(leaf.sum() for leaf in each.values()) for each in zeros]
    steps = [0, 0, *(round(share * of) for share in shares for _ in range(2))]
    assert counts == steps[:8]
    for before, after in itertools.pairwise(zeros):
        assert all((after[path] >= before[path]).all() for path in paths)
    final = zeros_of(found.leaves(), paths)
    for path in paths:
        np.testing.assert_array_equal(final[path], zeros[-1][path])
    assert sum(matrix.pruned for matrix in found.matrices) == round(0.7 * of)
    assert found.achieved_sparsity == round(0.7 * of) / of
    # Other weights than the dense model's smallest.
    assert any(
        (final[path] != (np.asarray(target.leaf(path)) == 0)).any() for path in paths
    )


def test_what_grows_is_examined_only_behind_the_last_decision(loaded, tmp_path):
    model = loaded("gpt2")
    settings = dataclasses.replace(NUMBERS, mask_every=1, evaluate_every=1, at_once=9)
    curve = [dense(model), *pruned(model, 0.5)]  # the dense one has no masks to decide
    found = tuned(model, curve, GRADUAL, settings, steps=4, work=tmp_path)
    assert [variant.achieved_sparsity for variant in found] == [0, 0.5]
    for file in tmp_path.glob(f"*/{metrics.NAME}"):
        measured = [json.loads(line) for line in file.read_text().splitlines()]
        asked = [row["validation_accuracy"] is not None for row in measured]
        final = 3 if measured[0]["sparsity"] else 1
        assert asked == [step >= final for step in (1, 2, 3, 4)]


def test_the_control_is_the_trained_dense_model_pruned_as_the_target(
    loaded, tmp_path, updates
):
    """Trained once for all sparsities."""
    model = loaded("t5")
    curve = pruned(model, 0.5, 0.8)
    found = tuned(model, curve, Training(schedule="dense"), work=tmp_path)
    assert len(updates) == 4
    (trained,) = tuned(model, dense(model))
    assert trained.sparsity == 0
    assert trained.finetuned
    whole = dataclasses.replace(model, params=leaves_of(trained))
    for control, expected in zip(found, pruned(whole, 0.5, 0.8), strict=True):
        assert_same_leaves(leaves_of(control), leaves_of(expected))
        assert control.matrices == expected.matrices
        assert control.training == Training(schedule="dense")
    assert len({variants.digest_of(v.identity) for v in (*found, trained)}) == 3
    (file,) = tmp_path.glob(f"*/{metrics.NAME}")
    assert json.loads(file.read_text().splitlines()[0])["sparsity"] == 0


# Zeros that are there


@pytest.mark.parametrize("train", ["all", "masklora"])
def test_zeros_of_a_sparse_checkpoint_stay(loaded, tmp_path, train):
    """Also those of what is not prunable here; and more are added to them."""
    everywhere = prune(loaded("gpt2"), "magnitude", 0.4, prunable="all")
    save(everywhere, tmp_path / "sparse")
    model = load_model(str(tmp_path / "sparse"))
    paths = model.prunable("all")
    before = zeros_of(model.params, paths)
    assert all(zeros.any() for zeros in before.values())
    (found,) = tuned(model, dense(model), Training(train=train), learning_rate=0.1)
    after = zeros_of(found.leaves(), paths)
    for path in paths:
        np.testing.assert_array_equal(after[path], before[path], err_msg=path)
    (more,) = tuned(model, pruned(model, 0.6), Training(train=train))
    blocks = model.prunable("blocks")
    for path, zeros in zeros_of(more.leaves(), paths).items():
        assert zeros.mean() == pytest.approx(0.6 if path in blocks else 0.4, abs=1e-3)
        assert (zeros >= before[path]).all()


# Several at once


def test_several_at_once_are_what_each_is_alone(loaded, tmp_path, updates):
    """Sparsities and seeds with rates of their own; one stops before the others do."""
    model = loaded("gpt2")
    curve = pruned(model, 0.5, 0.9)
    seeds = [Training(seed=3), Training(seed=4)]
    settings = dataclasses.replace(NUMBERS, patience=1)
    how = {"steps": 6, "learning_rate": [0.01, 0.001]}

    def all_of(at_once, work):
        numbers = dataclasses.replace(settings, at_once=at_once)
        return tuned(model, curve, seeds, numbers, work=work, **how)

    together = all_of(3, tmp_path / "together")
    assert set(updates) == {1, 3}
    alone = all_of(1, tmp_path / "alone")
    directories = [
        {file.parent.name: file for file in (tmp_path / name).glob("*/metrics.jsonl")}
        for name in ("together", "alone")
    ]
    assert directories[0].keys() == directories[1].keys()
    for name, file in directories[0].items():
        one, other = (
            [json.loads(line) for line in each.read_text().splitlines()]
            for each in (file, directories[1][name])
        )
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            for key in "step", "seed", "sparsity", "learning_rate":
                assert mine[key] == theirs[key]
            for key in "accuracy", "validation_accuracy":
                assert mine[key] == theirs[key]
            # Sums in another order; and Adam makes steps of a whole rate of gradients
            # that are nothing but rounding, such as those of a key's bias.
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    scores = scores_of(model, *together), scores_of(model, *alone)
    for one, other in zip(*scores, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_several_that_were_killed_at_their_end_go_on_together(
    loaded, tmp_path, monkeypatch
):
    """Between two that are finished. The bits of a run depend on how many are with
    it, and none is trained again."""
    model = loaded("gpt2")
    settings = dataclasses.replace(NUMBERS, at_once=2)
    curve = pruned(model, 0.5, 0.7, 0.9)
    finish, seen = Kept.finish, []

    def killed(kept, *said):
        seen.append(kept)
        if len(seen) == 2:
            raise Killed
        finish(kept, *said)

    with monkeypatch.context() as patched:
        patched.setattr(Kept, "finish", killed)
        with pytest.raises(Killed):
            tuned(model, curve, None, settings, work=tmp_path)
    trained = []
    run = Trainer.run

    def counted(trainer, runs, directory):
        trained.append([run.sparsity for run in runs])
        return run(trainer, runs, directory)

    monkeypatch.setattr(Trainer, "run", counted)
    found = tuned(model, curve, None, settings, work=tmp_path)
    assert trained == [[0.5, 0.7], [0.9]]
    alone = tuned(model, curve, None, settings)
    for variant, expected in zip(found, alone, strict=True):
        assert_same_leaves(leaves_of(variant), leaves_of(expected))
    assert not [*tmp_path.glob(f"*/{RUNS}")]


def test_a_file_in_place_of_a_training_is_told_with_what_to_do(loaded, tmp_path):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    tuned(model, start, work=tmp_path)
    (trained,) = (file.parent for file in tmp_path.glob(f"*/{metrics.NAME}"))
    shutil.rmtree(trained)
    trained.touch()
    said = f"{trained} cannot be made a directory .* remove what is there"
    with pytest.raises(InputError, match=said):
        tuned(model, start, work=tmp_path)


def test_metrics_of_a_finished_training_that_are_gone_are_told(loaded, tmp_path):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    tuned(model, start, work=tmp_path)
    (file,) = tmp_path.glob(f"*/{metrics.NAME}")
    file.unlink()
    said = f"{file} cannot be read .*remove its directory to train again"
    with pytest.raises(InputError, match=said):
        tuned(model, start, work=tmp_path)


@pytest.mark.parametrize("steps", [0, -1, 2**31])
def test_steps_that_cannot_be_counted_are_refused(loaded, steps):
    model = loaded("gpt2")
    with pytest.raises(InputError, match=f"`steps={steps}`: 1 to 2,147,483,647"):
        tuned(model, pruned(model, 0.5), steps=steps)


# How it is computed


def test_bfloat16_has_float32_masters(saved, monkeypatch):
    model = load_model(str(saved("gpt2")), "bfloat16")
    dtypes = set()

    def look(_, state):
        dtypes.update(leaf.dtype for leaf in state["trained"].values())
        moments = jax.tree.leaves(state["optimizer"])
        dtypes.update(leaf.dtype for leaf in moments if leaf.ndim)

    watch(monkeypatch, look)
    (start,) = pruned(model, 0.5)
    (found,) = tuned(model, start)
    assert dtypes == {np.dtype("float32")}
    leaves, before = found.leaves(), zeros_of(leaves_of(start), start.shapes)
    assert {leaf.dtype for leaf in leaves.values()} == {np.dtype("bfloat16")}
    for path, zeros in zeros_of(leaves, start.shapes).items():
        np.testing.assert_array_equal(zeros, before[path])
    (scores,) = scores_of(model, found)
    assert np.isfinite(scores[:, :2]).all()


def test_layers_computed_again_train_the_same(loaded, tmp_path):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    found = []
    for remat in False, True:
        settings = dataclasses.replace(NUMBERS, remat=remat)
        (variant,) = tuned(model, start, None, settings, work=tmp_path)
        found += scores_of(model, variant)
    # Gradients differ by rounding, see `several at once`.
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-3)
    assert len(list(tmp_path.glob(f"*/{metrics.NAME}"))) == 2


def assert_loads(name, variant, directory):
    """In transformers with the same logits, and here bit for bit."""
    save(variant, directory)
    model = variant.model
    made = rows.random_rows(model.config.vocab, 40)
    oracle, expected = torch_logits(name, directory, made)
    got = logits(model, variant.leaves())
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)
    again = load_model(str(directory))
    assert again.config == model.config
    assert_same_leaves(again.params, leaves_of(variant))
    return oracle, again


def test_an_export_has_its_zeros_in_place_and_gives_the_same_scores(loaded, tmp_path):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.8)
    (found,) = tuned(model, start)
    oracle, again = assert_loads("gpt2", found, tmp_path / "sparse")
    for layer, block in enumerate(oracle.transformer.h):
        mask = np.asarray(start.leaf("h/mlp/c_fc/kernel"))[layer] != 0
        np.testing.assert_array_equal(block.mlp.c_fc.weight.detach() != 0, mask)
    (scores,) = scores_of(model, found)
    (point,) = evaluate([dense(again)], VALIDATION, QUERY)
    np.testing.assert_array_equal(point.answers.scores, scores)
    for matrix, before in zip(found.matrices, start.matrices, strict=True):
        assert (matrix.pruned, matrix.weights) == (before.pruned, before.weights)


# Families, objectives, shapes


@pytest.mark.parametrize(
    ("variant", "training", "rate"),
    [
        ("electra-discriminator", Training(distill="options"), 0.003),
        ("electra-generator", Training("lm", "masklora"), 0.01),
        ("t5", Training("both", distill="hidden"), 0.03),
        ("llama", Training("both", "masklora", distill="hidden"), 0.01),
        ("roberta", Training("lm", "norms,biases"), 0.03),
    ],
)
def test_every_family_learns(variant, training, rate, loaded, tmp_path):
    model = loaded(variant)
    settings = dataclasses.replace(NUMBERS, evaluate_every=12, batch_questions=8)
    (found,) = tuned(
        model, pruned(model, 0.6), training, settings, steps=12, learning_rate=rate,
        work=tmp_path,
    )  # fmt: skip
    (file,) = tmp_path.glob(f"*/{metrics.NAME}")
    losses = [json.loads(line)["loss"] for line in file.read_text().splitlines()]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert found.achieved_sparsity == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize(
    ("variant", "pattern"), [("gpt2", "neurons"), ("t5", "layers")]
)
def test_models_of_smaller_shapes_are_trained_back_like_any_other(
    variant, pattern, loaded, tmp_path
):
    model = loaded(variant)
    rows_of = hooks.calibration_of(model, hooks.made_rows(model))
    start = prune(model, "magnitude", 0.5, pattern=pattern, calibration=rows_of)
    training = Training() if pattern == "layers" else Training(distill="hidden")
    (found,) = tuned(model, start, training)
    assert found.parameters == start.parameters < dense(model).parameters
    assert found.finetuned
    assert found.sparsity == 0.5
    moved = [
        path for path, leaf in leaves_of(start).items()
        if not np.array_equal(found.leaf(path), leaf)
    ]  # fmt: skip
    assert len(moved) == len(found.shapes)
    assert_loads(variant, found, tmp_path / "smaller")


# From Python


def test_from_python_as_the_documents_have_it(saved, tmp_path):
    model = jaxsparse.load_model(str(saved("gpt2")))
    learned, validation, test = (
        jaxsparse.read("bundled", split, num_examples=number)
        for split, number in (("train", 8), ("validation", 4), ("test", 4))
    )
    half = jaxsparse.prune(model, "magnitude", 0.5)
    settings = dataclasses.replace(NUMBERS, rank=8)
    (found,) = jaxsparse.finetune(
        model, half, learned, validation, jaxsparse.Training(), settings, steps=2
    )
    points = list(
        jaxsparse.evaluate(
            [variants.dense(model, half.recipe), half, found], test, QUERY
        )
    )
    assert [point.curve.training for point in points] == [
        None,
        None,
        jaxsparse.Training(),
    ]
    assert len({point.answers.scores.tobytes() for point in points}) == 3
    jaxsparse.save(found, tmp_path / "trained")
    again = jaxsparse.load_model(str(tmp_path / "trained"))
    assert_same_leaves(again.params, leaves_of(found))


# What a run that goes on finds


@pytest.fixture(scope="module")
def killed_directory(loaded, tmp_path_factory):
    """The directory of a training that was killed behind its checkpoint of step 2."""
    place = tmp_path_factory.mktemp("killed")
    model = loaded("gpt2")
    with pytest.raises(Killed):
        tuned(model, pruned(model, 0.5), work=place, progress=Kills(3))
    return place


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("best.safetensors", "the best weights are not those of the checkpoint of st"),
        (metrics.NAME, "the metrics are not those of the checkpoint of step 2; remove"),
    ],
)
def test_what_is_gone_of_a_killed_training_is_told_before_it_goes_on(
    loaded, killed_directory, tmp_path, gone, said
):
    shutil.copytree(killed_directory, tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob(f"*/{gone}")
    file.unlink()
    model = loaded("gpt2")
    with pytest.raises(InputError, match=f"{file.parent}: {said}"):
        tuned(model, pruned(model, 0.5), work=tmp_path)


def test_one_that_was_trained_alone_since_is_not_trained_again(loaded, tmp_path):
    """What was with it in a call that was killed begins again."""
    model = loaded("gpt2")
    several = dataclasses.replace(NUMBERS, at_once=2)
    curve = pruned(model, 0.5, 0.7)
    with pytest.raises(Killed):
        tuned(model, curve, None, several, work=tmp_path, progress=Kills(3))
    (alone,) = tuned(model, curve[0], work=tmp_path)
    files = {file: file.read_bytes() for file in tmp_path.glob("*/finished.json")}
    assert len(files) == 1
    found, other = tuned(model, curve, None, several, work=tmp_path)
    assert_same_leaves(leaves_of(found), leaves_of(alone))
    assert {file: file.read_bytes() for file in files} == files
    assert other.sparsity == 0.7
    assert not [*tmp_path.glob(f"*/{RUNS}")]
