"""One training run in its own directory: tokenizer, checkpoints, log, and what it is
made of, so that a restart goes on with the same run or says that it cannot."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
from jaxtyping import Array, Float

from jaxsparse import trees
from jaxsparse.model import Apply, make_apply
from jaxsparse.pretraining import vocabulary
from jaxsparse.pretraining.corpus import Corpus
from jaxsparse.pretraining.initial import initial_params
from jaxsparse.pretraining.objectives import (
    OBJECTIVES,
    Examples,
    Objective,
    Vocabulary,
    loss_sums,
)
from jaxsparse.pretraining.recipes import Recipe
from jaxsparse.training import train
from jaxsparse.types import InputError, Params
from jaxsparse.weights import rules, writing
from jaxsparse.weights.checkpoint import Checkpoints

FRAME = {"gpt2": 0, "electra": 2, "t5": 1}  # special tokens around a window
VALIDATION_ROWS = 32  # of the longest stage, the same ones each time
_VALIDATION_SEED = 2**32 - 1


@dataclass(frozen=True)
class Run:
    """A model to train and the texts to train it on."""

    recipe: Recipe
    seed: int
    directory: Path
    config: Any
    corpus: Corpus
    validation: Corpus
    objective: Objective
    apply: Apply

    @property
    def tokenizer_directory(self) -> Path:
        return self.directory / "tokenizer"

    def batch(self, step: int) -> Examples:
        """The examples of a step: a function of the step alone."""
        first, stage = 0, self.recipe.stages[0]
        for stage in self.recipe.stages:
            last = round(stage.until * self.recipe.schedule.steps)
            if step < last:
                break
            first = last
        rows = max(1, self.recipe.batch_tokens // stage.length)
        window = stage.length - FRAME[self.recipe.family.name]
        windows = self.corpus.windows(window, rows, step - first, self.seed)
        return self.objective(windows, np.random.default_rng([self.seed, step]))

    def validation_batches(self) -> Iterator[Examples]:
        length = self.recipe.stages[-1].length
        window = length - FRAME[self.recipe.family.name]
        rows = max(1, self.recipe.batch_tokens // length)
        for number in range(max(1, VALIDATION_ROWS // rows)):
            windows = self.validation.windows(window, rows, number, _VALIDATION_SEED)
            generator = np.random.default_rng([_VALIDATION_SEED, number])
            yield self.objective(windows, generator)

    @functools.cached_property
    def loss_sums(self) -> Callable[[Params, Examples], tuple[Array, Array]]:
        return functools.partial(loss_sums, self.apply)

    @functools.cached_property
    def _evaluate(self) -> Callable[[Params, Examples], tuple[Array, Array]]:
        return jax.jit(self.loss_sums)

    def validation_loss(self, params: Params) -> float:
        """Nats per target, on the same examples each time."""
        sums = [self._evaluate(params, batch) for batch in self.validation_batches()]
        return float(sum(total for total, _ in sums) / sum(count for _, count in sums))


def prepare(
    recipe: Recipe,
    seed: int,
    directory: Path,
    texts: Sequence[str],
    validation_texts: Sequence[str],
) -> Run:
    """Makes the tokenizer, or finds it where the run was begun, and reads the texts.

    Raises:
        InputError: the directory holds another run.
    """
    _claim(recipe, seed, directory, texts, validation_texts)
    family = recipe.family
    files = directory / "tokenizer"
    if not (files / "tokenizer.json").is_file():
        trained = vocabulary.train(family.name, texts, recipe.vocabulary)
        vocabulary.save(trained, family.name, recipe.stages[-1].length, files)
    tokenizer = tokenizers.Tokenizer.from_file(str(files / "tokenizer.json"))
    end_of_text = tokenizer.token_to_id("<|endoftext|>")
    config = recipe.configuration()
    return Run(
        recipe=recipe,
        seed=seed,
        directory=directory,
        config=config,
        corpus=Corpus.of(texts, tokenizer, end_of_text),
        validation=Corpus.of(validation_texts, tokenizer, end_of_text),
        objective=OBJECTIVES[family.name](Vocabulary.of(tokenizer)),
        apply=make_apply(family, config, "float32"),
    )


def _claim(
    recipe: Recipe,
    seed: int,
    directory: Path,
    texts: Sequence[str],
    validation_texts: Sequence[str],
) -> None:
    """Writes down what the run is made of, or compares it with what is written."""
    made_of = {
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "seed": seed,
        "books": _digest(texts),
        "validation_books": _digest(validation_texts),
    }
    record = directory / "run.json"
    if not record.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(made_of, indent=2)
        partial = directory / ".run.json.partial"
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(record)
        return
    try:
        begun = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        begun = {}
    if differ := [key for key in made_of if begun.get(key) != made_of[key]]:
        raise InputError(
            f"{directory} holds a run with another {' and '.join(differ)}; "
            "repeat that run's command, or name another directory"
        )


def _digest(texts: Sequence[str]) -> str:
    content = hashlib.sha256()
    for text in texts:
        content.update(f"{len(text)}\n{text}".encode())
    return content.hexdigest()


def pretrain(
    run: Run,
    checkpoint_every: int,
    after_step: Callable[[int, Params, Float[Array, ""]], Any],
) -> Params:
    """Trains from where the directory's newest checkpoint stands; see `train`."""
    params = initial_params(run.recipe.family, run.config, run.seed)
    with Checkpoints(run.directory / "checkpoints") as checkpoints:
        return train(
            run.loss_sums,
            params,
            run.recipe.schedule,
            run.batch,
            checkpoints,
            checkpoint_every=checkpoint_every,
            after_step=after_step,
        )


def export(run: Run, params: Params, directory: Path, dtype: str = "float16") -> None:
    """Writes the model for transformers, its weights rounded to `dtype`."""
    leaves: Mapping[str, np.ndarray] = {
        path: np.asarray(leaf) for path, leaf in trees.flatten(params).items()
    }
    table = rules.active_rules(
        run.recipe.family.table, {path: leaf.shape for path, leaf in leaves.items()}
    )
    tensors = {
        name: writing.Tensor(values().shape, np.dtype(jnp.dtype(dtype)), values)
        for name, values in rules.to_hf(table, leaves).items()
    }
    writing.write_checkpoint(
        directory, run.tokenizer_directory, run.recipe.config, tensors
    )
