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
from jaxtyping import Float

from jaxsparse import device
from jaxsparse.models.apply import Apply, make_apply
from jaxsparse.models.family import Family
from jaxsparse.pretraining import vocabulary
from jaxsparse.pretraining.initial import initial_params
from jaxsparse.pretraining.recipes import TrainingRecipe
from jaxsparse.pretraining.renaming import rename
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.running_text import Examples, loss_sums
from jaxsparse.training import record
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.corpus import Corpus
from jaxsparse.training.objectives import OBJECTIVES, Objective, Vocabulary
from jaxsparse.training.step import train
from jaxsparse.types import InputError, Leaves
from jaxsparse.weights import rules, writing
from jaxsparse.whole import locked

TEXTS = ("books", "validation_books")  # kept by their digests
VALIDATION_ROWS = 32  # the same ones each time
_VALIDATION_SEED = 2**32 - 1


@dataclass(frozen=True)
class PretrainingRun:
    """A model to train and the texts to train it on."""

    recipe: TrainingRecipe
    seed: int
    directory: Path
    family: Family
    config: Any
    corpus: Corpus
    validation: Corpus
    vocabulary: Vocabulary
    apply: Apply

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.config.reading]

    @property
    def tokenizer_directory(self) -> Path:
        return self.directory / "tokenizer"

    def batch(self, step: int) -> Examples:
        """The examples of a step: a function of the step alone."""
        first, length = self._stage(step)
        rows, window = self._windows(length)
        windows = self.corpus.windows(window, rows, step - first, self.seed)
        generator = np.random.default_rng([self.seed, step])
        return self.objective.examples(windows, self.vocabulary, generator)

    def _stage(self, step: int) -> tuple[int, int]:
        """The first step of the stage that a step belongs to, and the rows' length."""
        first, stage = 0, self.recipe.stages[0]
        for stage in self.recipe.stages:
            last = round(stage.until * self.recipe.schedule.steps)
            if step < last:
                break
            first = last
        return first, stage.length

    def _windows(self, length: int) -> tuple[int, int]:
        """Rows of a batch of so long rows, and the tokens of text in each."""
        rows = max(1, self.recipe.batch_tokens // length)
        return rows, length - self.objective.frame

    def validation_batches(self, length: int) -> Iterator[Examples]:
        rows, window = self._windows(length)
        for number in range(max(1, VALIDATION_ROWS // rows)):
            windows = self.validation.windows(window, rows, number, _VALIDATION_SEED)
            generator = np.random.default_rng([_VALIDATION_SEED, number])
            yield self.objective.examples(windows, self.vocabulary, generator)

    @functools.cached_property
    def loss_sums(self) -> Callable[[Leaves, Examples], tuple[jax.Array, jax.Array]]:
        return functools.partial(loss_sums, self.apply)

    @functools.cached_property
    def _evaluate(self) -> Callable[[Leaves, Examples], tuple[jax.Array, jax.Array]]:
        return jax.jit(self.loss_sums)

    def validation_loss(self, params: Leaves, steps: int) -> float:
        """Nats per target, on the same examples each time, whose rows are as long as
        those of the last of so many steps: what lies beyond them is not trained yet."""
        _, length = self._stage(max(steps - 1, 0))
        batches = self.validation_batches(length)
        sums = [self._evaluate(params, examples) for examples in batches]
        return float(sum(total for total, _ in sums) / sum(count for _, count in sums))


def prepare(
    recipe: TrainingRecipe,
    seed: int,
    directory: Path,
    texts: Sequence[str],
    validation_texts: Sequence[str],
    progress: Progress = NOBODY,
) -> PretrainingRun:
    """Makes the tokenizer, or finds it where the run was begun, and reads the texts.

    Raises:
        InputError: the directory holds another run; the texts are too short. Then
            nothing has been written.
    """
    made_of = {
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "seed": seed,
        "books": _digest(texts),
        "validation_books": _digest(validation_texts),
    }
    family, config = recipe.model
    start = family.start
    assert start is not None, family.name
    files = directory / "tokenizer"
    begun = record.is_begun(directory, made_of, TEXTS)
    if begun and (files / "tokenizer.json").is_file():
        tokenizer = tokenizers.Tokenizer.from_file(str(files / "tokenizer.json"))
    else:
        progress.stage(f"vocabulary of {config.vocab} tokens", patient=True)
        tokenizer = vocabulary.train(start.tokenizer, texts, config.vocab)
    end_of_text = tokenizer.token_to_id("<|endoftext|>")
    copies = _copies(recipe, seed, texts)
    number = len(copies) + len(validation_texts)
    progress.stage("books into tokens", number, unit="books", patient=True)
    run = PretrainingRun(
        recipe=recipe,
        seed=seed,
        directory=directory,
        family=family,
        config=config,
        corpus=Corpus.of(copies, tokenizer, end_of_text, progress),
        validation=Corpus.of(validation_texts, tokenizer, end_of_text, progress),
        vocabulary=Vocabulary.of(tokenizer),
        apply=make_apply(family, config, "float32", device.current(), everywhere=True),
    )
    _check_lengths(run)
    _claim(run, start.tokenizer, tokenizer, made_of)
    return run


def _copies(recipe: TrainingRecipe, seed: int, texts: Sequence[str]) -> Sequence[str]:
    """The texts to learn from: as they are, or several times with other names."""
    if not recipe.renamed_copies:
        return texts
    generators = [
        np.random.default_rng([seed, copy]) for copy in range(recipe.renamed_copies)
    ]
    return [text for generator in generators for text in rename(texts, generator)]


def _check_lengths(run: PretrainingRun) -> None:
    """Now, and not when training comes to its long rows, or to its first evaluation."""
    longest = max(stage.length for stage in run.recipe.stages) - run.objective.frame
    for books, corpus in ("books", run.corpus), ("validation books", run.validation):
        try:
            corpus.count(longest)
        except InputError as error:
            raise InputError(f"the {books}: {error}") from None


def _claim(
    run: PretrainingRun,
    kind: str,
    tokenizer: tokenizers.Tokenizer,
    made_of: Mapping[str, Any],
) -> None:
    """Writes the tokenizer and then what the run is made of, unless both are there."""
    files = run.tokenizer_directory
    run.directory.mkdir(parents=True, exist_ok=True)
    with locked(run.directory):
        # Again: another process may have begun a run since.
        begun = record.is_begun(run.directory, made_of, TEXTS)
        if begun and (files / "tokenizer.json").is_file():
            return
        length = run.recipe.stages[-1].length
        vocabulary.save(tokenizer, kind, length, files)
        record.write(run.directory, made_of)


def _digest(texts: Sequence[str]) -> str:
    content = hashlib.sha256()
    for text in texts:
        content.update(f"{len(text)}\n{text}".encode())
    return content.hexdigest()


def pretrain(
    run: PretrainingRun,
    checkpoint_every: int,
    after_step: Callable[[int, Leaves, Float[jax.Array, ""] | None], Any],
    progress: Progress = NOBODY,
) -> Leaves:
    """Trains from where the directory's newest checkpoint stands; see `train`.

    Raises:
        InputError: also while another process trains there.
    """
    progress.stage("word vectors to start from", patient=True)
    params = initial_params(run.family, run.config, run.seed, run.corpus.tokens)
    with (
        locked(run.directory),
        Checkpoints(run.directory / "checkpoints") as checkpoints,
    ):
        return train(
            run.loss_sums,
            params,
            run.recipe.schedule,
            run.batch,
            checkpoints,
            checkpoint_every=checkpoint_every,
            after_step=after_step,
            progress=progress,
        )


def export(
    run: PretrainingRun,
    params: Leaves,
    directory: Path,
    dtype: str = "float16",
    progress: Progress = NOBODY,
) -> None:
    """Writes the model for transformers, its weights rounded to `dtype`.

    Raises:
        InputError: the directory exists; a weight is too large for the dtype.
    """
    leaves: Mapping[str, np.ndarray] = {
        path: np.asarray(leaf) for path, leaf in params.items()
    }
    table = rules.active_rules(
        run.family.table, {path: leaf.shape for path, leaf in leaves.items()}
    )
    largest = float(jnp.finfo(dtype).max)
    for path, leaf in leaves.items():
        if not np.abs(leaf).max() <= largest:
            raise InputError(
                f"{path}: weights up to {np.abs(leaf).max():.3g} are too large for "
                f"{dtype}; lower the learning rate, in another directory"
            )
    tensors = {
        name: writing.Tensor(values().shape, np.dtype(jnp.dtype(dtype)), values)
        for name, values in rules.to_hf(table, leaves).items()
    }
    writing.write_checkpoint(
        directory, run.tokenizer_directory, run.recipe.config, tensors, progress
    )
