"""A training run from texts to a directory that transformers loads."""

import dataclasses
import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from jaxsparse import load_model, trees
from jaxsparse.models import FAMILIES
from jaxsparse.pretraining import RECIPES, PretrainingRun, export, prepare, pretrain
from jaxsparse.pretraining.initial import initial_params
from jaxsparse.training import record
from jaxsparse.types import InputError
from jaxsparse.whole import LOCK
from tests import rows, tiny
from tests.oracle import torch
from tests.pretraining import little
from tests.told import Told

VALIDATION = (little.text(2),)
VARIANTS = {"gpt2": "gpt2", "electra": "electra-generator", "t5": "t5"}


def prepared(recipe, directory, seed=0, texts=little.TEXTS, validation=VALIDATION):
    return prepare(recipe, seed, directory, texts, validation)


def files(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@dataclass(frozen=True)
class Trained:
    """A run of two steps of one shape, so that little is compiled."""

    run: PretrainingRun
    losses: list[float]
    params: Any
    export: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Family -> its run, trained and exported once."""

    @functools.cache
    def train(family: str) -> Trained:
        directory = tmp_path_factory.mktemp(family)
        run = prepared(little.recipe(family, 2, [24]), directory / "work")
        losses: list[float] = []
        params = pretrain(run, 2, lambda *told: losses.append(float(told[-1])))
        export(run, params, directory / "export")
        return Trained(run, losses, params, directory / "export")

    return train


# Models


@pytest.mark.parametrize("family", little.MODELS)
def test_the_export_computes_the_same_here_and_in_transformers(family, trained):
    directory = trained(family).export
    model = load_model(str(directory))
    kind = tiny.VARIANTS[VARIANTS[family]].torch_class
    oracle, loading = kind.from_pretrained(directory, output_loading_info=True)
    assert not any(loading.values()), loading
    assert oracle.dtype == torch.float32
    made = rows.random_rows(little.SIZES[family], 20)
    with torch.no_grad():
        expected = rows.torch_output(oracle.eval(), made).numpy()
    got = jax.jit(model.apply)(model.params, rows.inputs(family, made))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert np.std(expected) > 0.1


@pytest.mark.parametrize("family", little.MODELS)
def test_the_export_holds_every_parameter_rounded_to_float16(family, trained):
    tensors = load_file(trained(family).export / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float16)}
    loaded = load_model(str(trained(family).export)).params
    params = trained(family).params
    assert loaded.keys() == params.keys()
    for path, leaf in params.items():
        expected = np.asarray(leaf).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(loaded[path], expected, err_msg=path)
    assert sum(tensor.size for tensor in tensors.values()) == trees.size(params)


@pytest.mark.parametrize("family", little.MODELS)
def test_the_export_has_the_tokenizer_and_configuration_of_the_run(family, trained):
    run, directory = trained(family).run, trained(family).export
    for name, content in files(run.tokenizer_directory).items():
        assert (directory / name).read_bytes() == content
    config = json.loads((directory / "config.json").read_text())
    assert config == json.loads(json.dumps(dict(run.recipe.config)))
    assert load_model(str(directory)).config == run.config
    ids = AutoTokenizer.from_pretrained(directory)("Pim hid the jug.")["input_ids"]
    assert ids == little.tokenizer(family).encode("Pim hid the jug.").ids


@pytest.mark.parametrize("name", RECIPES)
def test_a_bundled_model_is_less_than_6_mb(name):
    """The tokenizer is some 150 kB of it."""
    family, config = RECIPES[name].model
    shapes = family.shapes(config)
    parameters = sum(int(np.prod(shape)) for shape in shapes.values())
    assert parameters > 1_000_000
    assert 2 * parameters < 6_000_000 - 250_000


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_asks_nothing_of_its_model_that_it_cannot_do(name):
    recipe = RECIPES[name]
    _, config = recipe.model
    assert config.vocab == recipe.config["vocab_size"]
    assert max(stage.length for stage in recipe.stages) == recipe.stages[-1].length
    positions = getattr(config, "positions", None) or recipe.config["n_positions"]
    assert recipe.stages[-1].length <= positions
    assert recipe.schedule.warmup < recipe.schedule.steps
    ends = [stage.until for stage in recipe.stages]
    assert sorted(set(ends)) == ends


# Parameters to start from


@pytest.mark.parametrize("family", little.MODELS)
def test_the_first_loss_is_near_that_of_guessing(family, trained):
    guessing = np.log(little.SIZES[family])
    assert guessing - 0.5 < trained(family).losses[0] < guessing + 1.5


# Batches


@pytest.mark.parametrize("family", little.MODELS)
def test_batches_are_a_function_of_the_step_and_grow_with_the_stages(family, tmp_path):
    run = prepared(little.recipe(family, 6), tmp_path / "one")
    again = prepared(little.recipe(family, 6), tmp_path / "again")
    batches = [run.batch(step) for step in range(6)]
    for step in reversed(range(6)):
        for one, other in zip(
            jax.tree.leaves(batches[step]),
            jax.tree.leaves(again.batch(step)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    name = "encoder_tokens" if family == "t5" else "tokens"
    shapes = [vars(batch.inputs)[name].shape for batch in batches]
    longest = 25 if family == "t5" else 24  # with room for a space behind a sentinel
    assert shapes == [(6, 16)] * 3 + [(4, longest)] * 3
    contents = {vars(batch.inputs)[name].tobytes() for batch in batches}
    assert len(contents) == 6


def test_the_seed_decides_on_batches_and_not_on_validation(tmp_path):
    runs = [
        prepared(little.recipe("electra"), tmp_path / str(seed), seed)
        for seed in (0, 1)
    ]
    batches, validation = (
        [batch.inputs.tokens for batch in pair]
        for pair in (
            [run.batch(0) for run in runs],
            [next(run.validation_batches(24)) for run in runs],
        )
    )
    assert (batches[0] != batches[1]).any()
    np.testing.assert_array_equal(validation[0], validation[1])


def test_the_validation_loss_is_that_of_its_batches_as_a_whole(trained):
    """Of T5, whose batches have numbers of targets of their own."""
    run, params = trained("t5").run, trained("t5").params
    apply, total, counts = jax.jit(run.apply), 0.0, []
    for batch in run.validation_batches(24):
        logits = np.asarray(apply(params, batch.inputs), np.float64)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -np.take_along_axis(logits, np.asarray(batch.targets)[..., None], -1)
        total += losses[..., 0][batch.valid].sum()
        counts.append(batch.valid.sum())
    assert len(set(counts)) > 1
    assert run.validation_loss(params, 2) == pytest.approx(
        total / sum(counts), rel=1e-5
    )


def test_the_validation_loss_is_of_rows_as_long_as_those_trained_on(tmp_path):
    run = prepared(little.recipe("gpt2", 4), tmp_path)  # two steps of 16, two of 24
    lengths = []

    class Spy(PretrainingRun):
        def validation_batches(self, length):
            lengths.append(length)
            yield from super().validation_batches(length)

    params = initial_params(FAMILIES["gpt2"], run.config, 0, run.corpus.tokens)
    for steps in range(5):
        Spy(**vars(run)).validation_loss(params, steps)
    assert lengths == [16, 16, 16, 24, 24]


# Directories


def test_beginning_again_finds_the_same_run(tmp_path):
    recipe = little.recipe("t5")
    prepared(recipe, tmp_path)
    before = files(tmp_path)
    run = prepared(recipe, tmp_path)
    assert files(tmp_path) == before
    fresh = prepared(recipe, tmp_path / "fresh")
    np.testing.assert_array_equal(run.corpus.tokens, fresh.corpus.tokens)


def test_preparing_tells_every_copy_of_every_book(tmp_path):
    recipe = dataclasses.replace(little.recipe("gpt2"), renamed_copies=3)
    told = Told()
    prepare(recipe, 0, tmp_path, little.TEXTS, VALIDATION, told)
    books = 3 * len(little.TEXTS) + len(VALIDATION)
    assert told.stages[-1] == ("books into tokens", books, "books", True)
    assert told.counts[-1] == books


def test_a_run_without_its_tokenizer_makes_it_again(tmp_path):
    recipe = little.recipe("electra")
    prepared(recipe, tmp_path)
    before = files(tmp_path)
    (tmp_path / "tokenizer/tokenizer.json").unlink()
    prepared(recipe, tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": little.recipe("gpt2", 5)}, "steps is 4 there and 5 here"),
        (
            {"recipe": little.recipe("electra")},
            f"vocab_size is {little.SIZES['gpt2']} there and "
            f'{little.SIZES["electra"]} here, model_type is "gpt2" there and "electra" '
            r'here, architectures is \["GPT2LMHeadModel"\] there and '
            r'\["ElectraForMaskedLM"\] here and \d+ more',
        ),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"texts": little.TEXTS[::-1]}, "the books differ"),
        ({"validation": (little.text(3),)}, "the validation books differ"),
        (
            {"seed": 1, "texts": (*little.TEXTS, little.text(3))},
            "seed is 0 there and 1 here, the books differ",
        ),
    ],
)
def test_a_directory_of_another_run_is_refused_by_what_differs(tmp_path, change, named):
    recipe = little.recipe("gpt2")
    prepared(recipe, tmp_path)
    before = files(tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path} holds another run: {named}; rep"):
        prepared(**{"recipe": recipe, "directory": tmp_path} | change)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dropout": 0.5}, "dropout is 0.5 there and missing here"),
        ({"dropout": None}, "dropout is null there and missing here"),
        ({"batch_tokens": None}, "batch_tokens is null there and "),
        ({"batch_tokens": ...}, "batch_tokens is missing there and "),
        ({"schedule": 3}, 'schedule is 3 there and {"'),
    ],
)
def test_a_record_with_other_names_is_another_runs(tmp_path, change, said):
    recipe = little.recipe("gpt2")
    prepared(recipe, tmp_path)
    record = tmp_path / "run.json"
    made_of = json.loads(record.read_text())
    made_of["recipe"] |= change
    made_of["recipe"] = {k: v for k, v in made_of["recipe"].items() if v is not ...}
    record.write_text(json.dumps(made_of))
    with pytest.raises(InputError, match=f"holds another run: {said}"):
        prepared(recipe, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_record_is_refused(tmp_path, content):
    recipe = little.recipe("gpt2")
    prepared(recipe, tmp_path)
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json is damaged; name another"):
        prepared(recipe, tmp_path)


@pytest.mark.parametrize(
    ("short", "said"),
    [
        ({"texts": (little.text(0, 9),)}, "books are too few for a vocabulary of 440"),
        ({"validation": ("So Pim went home.",)}, "the validation books: .* rows of 24"),
    ],
)
def test_short_books_are_refused_at_once_and_nothing_is_written(tmp_path, short, said):
    with pytest.raises(InputError, match=f"{said}.*; name more books"):
        prepared(little.recipe("gpt2"), tmp_path / "work", **short)
    assert not list(tmp_path.iterdir())


def test_a_corpus_too_short_for_the_last_stage_is_refused_at_once(tmp_path):
    recipe = little.recipe("gpt2", lengths=[16, 9000])
    with pytest.raises(
        InputError, match=r"the books: \d+ tokens are less than two row"
    ):
        prepared(recipe, tmp_path / "work")


def test_two_processes_do_not_train_in_one_directory(tmp_path):
    run = prepared(little.recipe("gpt2"), tmp_path / "work")
    script = f"""
import fcntl, sys
with open({str(run.directory / LOCK)!r}, "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process is writing there; wait"):
            pretrain(run, 2, lambda *told: None)
        holder.stdin.close()
    assert not (run.directory / "checkpoints").exists()


def test_checkpoints_that_nobody_claims_are_refused(tmp_path):
    recipe = little.recipe("gpt2")
    prepared(recipe, tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"holds checkpoints, but no run\.json"):
        prepared(recipe, tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_directory_that_was_claimed_meanwhile_is_refused(tmp_path, monkeypatch):
    """Two first starts at once: the later one finds the record when it is to write."""
    real, asked = record.is_begun, []

    def is_begun(directory, made_of, digests):
        asked.append(None)
        if len(asked) == 1:
            prepared(little.recipe("gpt2"), tmp_path / "work", seed=7)
            return False
        return real(directory, made_of, digests)

    monkeypatch.setattr(record, "is_begun", is_begun)
    with pytest.raises(InputError, match="another run: seed is 7 there and 0 here"):
        prepared(little.recipe("gpt2"), tmp_path / "work")
    written = json.loads((tmp_path / "work/run.json").read_text())
    assert written["seed"] == 7


def test_an_export_says_what_is_too_large_for_its_dtype(trained, tmp_path):
    run = trained("gpt2").run
    params = jax.tree.map(np.asarray, trained("gpt2").params)
    params = {**params, "wpe/embedding": params["wpe/embedding"] + 70_000}
    with pytest.raises(InputError, match=r"wpe/embedding: weights up to 7e.04 are too"):
        export(run, params, tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_an_export_never_overwrites(trained):
    one = trained("gpt2")
    before = files(one.export)
    with pytest.raises(InputError, match="exists already"):
        export(one.run, one.params, one.export)
    assert files(one.export) == before
