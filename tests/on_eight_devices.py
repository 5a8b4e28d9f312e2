"""What test_parallel.py runs in a process of its own, where there are eight devices."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxsparse import device, hosts, parallel, text_loss, texts, variants
from jaxsparse.calibration import Walk, gradients
from jaxsparse.cbt import Question
from jaxsparse.model import load, load_model, open_model, untie
from jaxsparse.one_shot import OneShot
from jaxsparse.parallel import Axes
from jaxsparse.progress import Progress
from jaxsparse.pruning import Recipe
from jaxsparse.scoring import PROTOCOLS
from jaxsparse.sweep import evaluate, sweep
from jaxsparse.types import InputError, Presentation
from tests import tiny
from tests.asking import plan_of
from tests.calibration import hooks
from tests.finetuning import school
from tests.slices import slow
from tests.test_forms import PLATFORMS, every_case, lowered

BOTH = "data:4,model:2"  # where two levels go at once, too
TRIED = [
    ("gpt2", "data:8"),
    ("gpt2", "model:8"),
    ("gpt2", BOTH),
    ("electra-generator-projected", "data:8"),
    ("electra-generator-projected", BOTH),
    ("t5", "model:8"),
    ("t5", BOTH),
    ("llama", BOTH),
    ("pythia", BOTH),
    ("roberta", BOTH),
]
# More devices than key-value heads; the other families once each.
TRIED_SLOWLY = [
    ("llama", "model:8"),
    ("qwen3", BOTH),
    ("pythia", "data:8"),
    ("opt-norm-behind", BOTH),
    ("bert", BOTH),
]
MAGNITUDE = Recipe("magnitude", "global", "all")
RANDOM = Recipe("random", "matrix", "all")
CALIBRATED = [
    *(("gpt2", BOTH), ("t5", "data:8"), ("electra-generator-projected", BOTH)),
    *(("llama", BOTH), ("bert", "data:8")),
]
LOSS = ("gradient", "fisher")
NO_MULTIPLE = 5  # questions: every mesh has a last batch that lacks rows
BATCH_TOKENS = 64 * 12  # some rows: a few batches
RTOL = 1e-5  # of nats: sums in another order


def question(seed):
    context, query, options, answer = tiny.question_text(seed)
    return Question(context, query, options, answer, "CN", id=f"CN-test-{seed}")


QUESTIONS = tuple(question(2 + 3 * number) for number in range(NO_MULTIPLE))


STORY = " ".join(sentence for one in QUESTIONS for sentence in one.context)


def mesh_of(text):
    return parallel.mesh_for(parallel.parse(text), 0)


@pytest.fixture(scope="module", autouse=True)
def small_leaves_too():
    """The models of these tests are tiny; their matrices are divided all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "SMALL", 64)
        yield


@pytest.fixture(scope="module")
def on_one(loaded):
    """variant -> what it says on one device, in nats; point, question, option."""
    return functools.cache(lambda variant: nats(loaded(variant), (0.5,)))


def nats(model, sparsities, **changes):
    """`append`'s are probabilities: a relative error of theirs is one of nats."""
    points = sweep(
        model,
        QUESTIONS,
        [MAGNITUDE, RANDOM],
        sparsities,
        [Presentation(protocol, "query") for protocol in PROTOCOLS],
        batch_tokens=BATCH_TOKENS,
        **changes,
    )
    return np.stack(
        [
            point.answers.scores
            if point.setup.presentation.protocol == "cloze"
            else np.log(point.answers.scores)
            for point in points
        ]
    )


@pytest.mark.parametrize(
    ("variant", "text"), slow((*TRIED, *TRIED_SLOWLY), TRIED_SLOWLY)
)
def test_a_mesh_says_what_one_device_says(saved, on_one, scorers, variant, text):
    expected = on_one(variant)
    model = load_model(str(saved(variant)), mesh=mesh_of(text))
    said = nats(model, (0.5,), levels_at_once=2 if text == BOTH else 1)
    np.testing.assert_allclose(said, expected, rtol=RTOL, atol=RTOL)
    assert said.shape == (2 * 4, NO_MULTIPLE, 10)
    assert (said[:, -1] != 0).all()
    planned = [shapes_of(model, protocol) for protocol in PROTOCOLS]
    assert [one.compilations for one in scorers[-2:]] == list(map(len, planned))
    rows = {shape.rows for shapes in planned for shape in shapes}
    assert all(number % parallel.rows_multiple(model.mesh) == 0 for number in rows)


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        ("gpt2", BOTH),
        ("electra-generator-projected", "data:8"),
        pytest.param("t5", BOTH, marks=pytest.mark.slow),
    ],
)
def test_a_mesh_predicts_text_as_one_device_does(saved, loaded, variant, text):
    """Of so many windows that rows have to be filled up."""

    def found(model, **how):
        (read,) = texts.read([STORY], model.config, model.tokenizer, 43)
        assert read.windows % 4
        curve = [variants.dense(model, RANDOM), *OneShot(model).variants(RANDOM, [0.5])]
        losses = text_loss.evaluate(curve, [read], details=True, **how)
        return [of_variant[0].tokens.nats for of_variant in losses.values()]

    model = load_model(str(saved(variant)), mesh=mesh_of(text))
    said = found(model, levels_at_once=2, batch_tokens=4 * 40)
    np.testing.assert_allclose(said, found(loaded(variant)), rtol=1e-5, atol=RTOL)


def shapes_of(model, protocol):
    plan = plan_of(
        untie(model),
        QUESTIONS,
        Presentation(protocol, "query"),
        BATCH_TOKENS,
        rows_multiple=parallel.rows_multiple(model.mesh),
    )
    planned = [number for batch in plan.batches for number in batch.questions]
    assert sorted(planned) == list(range(NO_MULTIPLE))  # none is dropped
    return plan.shapes


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-electra", "tiny-t5"])
def test_a_real_models_matrices_are_divided_and_pruned_where_they_are(name):
    blueprint = open_model(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "SMALL", 1 << 16)
        model = load(blueprint, mesh=mesh_of("data:4,model:2"))
    undivided = load(blueprint)
    (pruned,) = OneShot(model).variants(MAGNITUDE, [0.5])
    (expected,) = OneShot(undivided).variants(MAGNITUDE, [0.5])
    for path, leaf in undivided.params.items():
        divided = model.params[path]
        np.testing.assert_array_equal(hosts.gathered(divided), leaf)
        sizes = {shard.data.size for shard in divided.addressable_shards}
        large = leaf.size >= 1 << 16 and path.endswith(("kernel", "embedding"))
        assert sizes == {leaf.size // 2 if large else leaf.size}, path
        if path in pruned.shapes:
            made = pruned.leaf(path)
            np.testing.assert_array_equal(hosts.gathered(made), expected.leaf(path))
            assert made.sharding.is_equivalent_to(divided.sharding, leaf.ndim), path


def test_heads_and_the_fewer_of_keys_are_divided_alike(saved):
    model = load_model(str(saved("llama")), mesh=mesh_of("data:4,model:2"))
    assert (model.config.heads, model.config.key_value_heads) == (4, 2)
    for name in "qkv":
        leaf = model.params[f"layers/self_attn/{name}_proj/kernel"]
        shard = leaf.addressable_shards[0].data
        assert shard.shape == (*leaf.shape[:2], leaf.shape[2] // 2)


def test_a_head_untied_stays_divided(saved):
    model = untie(load_model(str(saved("gpt2")), mesh=mesh_of("model:8")))
    head, embedding = (model.params[path] for path in model.blueprint.family.head)
    assert head.addressable_shards[0].data.size == head.size // 8
    np.testing.assert_array_equal(np.asarray(head), np.asarray(embedding).T)


@every_case
def test_scoring_on_a_mesh_is_lowered_for_gpus_and_tpus(variant, protocol, saved):
    blueprint = open_model(str(saved(variant)))
    mesh = mesh_of(BOTH)
    model = load(blueprint, mesh=mesh, form=device.ACCELERATOR)
    exported = lowered(model, protocol, 2)
    assert (exported.nr_devices, exported.platforms) == (8, PLATFORMS)
    module = exported.mlir_module()  # what is divided over each axis of the mesh
    assert all(
        f'sdy.sharding<@mesh, [{{"{axis}"}}' in module for axis in mesh.axis_names
    )


# What rows tell of the inputs, and of the loss


def gathered(model, calibration):
    walk, found = Walk(model, calibration, "linear"), {}
    for stage in walk.stages:
        for path, known in walk.statistics(stage, ("gram",)).items():
            found[path, stage.layer, "gram"] = np.asarray(known.gram)
            found[path, stage.layer, "mean"] = np.asarray(known.mean)
        walk.advance(stage, halved(model, stage))
    for need, leaves in gradients(model, calibration, "linear", LOSS).items():
        found |= {(path, None, need): leaf for path, leaf in leaves.items()}
    return found


def halved(model, stage):
    """Leaves that come from the host, as pruning makes them."""
    leaves = {path: np.asarray(model.params[path]) for path in stage.paths}
    layer = stage.layer
    return {p: 0.5 * (v if layer is None else v[layer]) for p, v in leaves.items()}


@pytest.mark.parametrize(("variant", "mesh"), slow(CALIBRATED, CALIBRATED[1:]))
def test_eight_devices_gather_what_one_does(variant, mesh, loaded, saved):
    one = untie(loaded(variant))
    calibration = hooks.calibration_of(one, hooks.made_rows(one, (13, 9, 13, 5, 12)))
    eight = untie(load_model(str(saved(variant)), mesh=mesh_of(mesh)))
    expected, got = gathered(one, calibration), gathered(eight, calibration)
    assert got.keys() == expected.keys()
    for what, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            got[what] / scale, value / scale, rtol=0, atol=1e-5, err_msg=str(what)
        )


@pytest.mark.parametrize(
    ("variant", "method"),
    [
        ("gpt2", "sparsegpt"),
        ("gpt2", "magnitude+reconstruct"),
        pytest.param("t5", "wanda+pcg", marks=pytest.mark.slow),
    ],
)
def test_a_mesh_prunes_block_by_block_as_one_device_does(
    saved, loaded, variant, method
):
    """Statistics differ by rounding: masks where scores nearly tie, values a little."""
    model = load_model(str(saved(variant)), mesh=mesh_of(BOTH))
    made = hooks.made_rows(model, (13, 9, 13, 5, 12))
    rows = hooks.calibration_of(model, made)
    (pruned,) = OneShot(model, rows).variants(Recipe(method), [0.5])
    (expected,) = OneShot(loaded(variant), rows).variants(Recipe(method), [0.5])
    for path in expected.shapes:
        leaf = pruned.leaf(path)
        assert leaf.sharding.is_equivalent_to(model.params[path].sharding, leaf.ndim)
        got, leaf = hosts.gathered(leaf), np.asarray(expected.leaf(path))
        same = (got == 0) == (leaf == 0)
        assert same.mean() > 0.995, path
        # Another mask moves the other weights of its output too.
        same &= same.all(axis=-2, keepdims=True)
        np.testing.assert_allclose(got[same], leaf[same], rtol=1e-2, atol=1e-3)


class Noted(Progress):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.mark.parametrize(
    ("variant", "pattern"),
    [
        ("gpt2", "neurons"),
        pytest.param("gpt2", "layers", marks=pytest.mark.slow),
        pytest.param("t5", "heads", marks=pytest.mark.slow),
    ],
)
def test_a_mesh_removes_and_says_what_one_device_does(saved, loaded, variant, pattern):
    """Also where it does not divide what is left, which it says."""
    recipe, sparsities = Recipe("magnitude", pattern=pattern), (0.25, 0.49)

    def found(model, progress):
        rows = hooks.calibration_of(model, hooks.made_rows(model))
        pruner = OneShot(model, rows, progress=progress)
        points = sweep(
            model, QUESTIONS, recipe, sparsities, [Presentation("cloze", "query")],
            calibration=rows, batch_tokens=BATCH_TOKENS,
        )  # fmt: skip
        scores = np.stack([point.answers.scores for point in points])
        return pruner.variants(recipe, sparsities), scores

    noted = Noted()
    model = load_model(str(saved(variant)), mesh=mesh_of("data:2,model:4"))
    pruned, said = found(model, noted)
    expected, scores = found(loaded(variant), Noted())
    np.testing.assert_allclose(said, scores, rtol=RTOL, atol=RTOL)
    for one, other in zip(pruned, expected, strict=True):
        for path in other.shapes:
            leaf = one.leaf(path)
            np.testing.assert_array_equal(hosts.gathered(leaf), other.leaf(path))
            shape = parallel.leaf_spec(path, leaf.shape, 4)
            assert leaf.sharding.spec == shape, path
    config = pruned[1].model.config
    left = {"neurons": "ffn", "heads": "heads"}.get(pattern)
    if left and getattr(config, left) % 4:
        number = getattr(config, left)
        assert noted.lines[-1].startswith(
            f"magnitude {pattern} 0.49: model:4 of the mesh does not divide the "
            f"{number} {pattern} that are left; their matrices"
        )
    else:
        assert noted.lines == []


@pytest.mark.parametrize("text", slow(["data:8", BOTH], ["data:8"]))
def test_a_mesh_trains_as_one_device_does(saved, loaded, text):
    """Rows and matrices divided; the same zeros, and scores that differ by rounding,
    of which Adam makes steps where a gradient is nothing else."""

    def found(model):
        (start,) = school.pruned(model, 0.5)
        (trained,) = school.tuned(model, start)
        points = evaluate(
            [school.dense(model), start, trained], QUESTIONS, school.QUERY
        )
        return trained, [point.answers.scores for point in points]

    one, expected = found(loaded("gpt2"))
    model = load_model(str(saved("gpt2")), mesh=mesh_of(text))
    trained, scores = found(model)
    assert np.abs(expected[2] - expected[1]).max() > 1  # nats that training moved
    np.testing.assert_allclose(scores[2], expected[2], rtol=1e-4, atol=1e-2)
    for path in one.shapes:
        leaf, placed = trained.leaf(path), model.params[path].sharding
        assert leaf.sharding.is_equivalent_to(placed, leaf.ndim), path
        zeros = np.asarray(one.leaf(path)) == 0
        np.testing.assert_array_equal(hosts.gathered(leaf) == 0, zeros)


def test_a_training_on_a_mesh_that_was_killed_goes_on(saved, tmp_path):
    """From a checkpoint all that was on one device alone is on all of them."""
    model = load_model(str(saved("gpt2")), mesh=mesh_of("data:2,model:2"))
    (start,) = school.pruned(model, 0.5)
    (whole,) = school.tuned(model, start)
    with pytest.raises(school.Killed):
        school.tuned(model, start, work=tmp_path, progress=school.Kills(3))
    goes_on = school.Kills(0)
    (found,) = school.tuned(model, start, work=tmp_path, progress=goes_on)
    assert any("resuming at step 2" in note for note in goes_on.notes)
    for path in whole.shapes:
        one, other = (hosts.gathered(each.leaf(path)) for each in (whole, found))
        np.testing.assert_array_equal(one, other)


def test_on_a_mesh_trainings_go_one_after_another(saved):
    model = load_model(str(saved("gpt2")), mesh=mesh_of("data:2"))
    several = dataclasses.replace(school.NUMBERS, at_once=2)
    with pytest.raises(InputError, match="`at_once=2`: on a mesh"):
        school.tuned(model, school.pruned(model, 0.5, 0.7), settings=several)


# Which mesh


def test_rows_take_all_devices_unless_a_device_is_too_small(monkeypatch):
    def sizes(needed):
        return dict(parallel.mesh_for(None, needed).shape)

    assert (
        sizes(24) == sizes(1 << 60) == {"data": 8, "model": 1}
    )  # a CPU does not say how large
    monkeypatch.setattr(device, "memory", lambda: 1000)
    for needed, model in (0, 1), (700, 1), (701, 2), (1401, 4), (2801, 8), (9999, 8):
        assert sizes(needed) == {"data": 8 // model, "model": model}, needed


def test_model_varies_fastest_and_one_device_is_no_mesh():
    grid = mesh_of("model:4,data:2").devices
    assert [[one.id for one in row] for row in grid] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert mesh_of("data:3").devices.shape == (3, 1)
    assert mesh_of("data:1,model:1") is None


def test_more_devices_than_there_are_are_refused():
    for fitting in (None, Axes(8), Axes(2, 4), Axes(3, 2)):
        parallel.check(fitting)
    with pytest.raises(ValueError, match="asks for 16 devices of 8"):
        parallel.check(Axes(8, 2))


def test_a_batch_is_handed_over_row_by_row():
    mesh = mesh_of("data:4,model:2")
    rows = np.arange(24).reshape(8, 3)
    placed = parallel.place_rows(mesh, {"tokens": rows})["tokens"]
    assert placed.sharding == NamedSharding(mesh, PartitionSpec("data"))
    for shard in placed.addressable_shards:
        assert shard.data.shape == (2, 3)
        np.testing.assert_array_equal(shard.data, rows[shard.index])
    assert math.prod(mesh.devices.shape) == jax.device_count() == 8
