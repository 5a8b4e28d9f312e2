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
from jaxsparse.pretraining import vocabulary
from jaxsparse.pretraining.corpus import Corpus
from jaxsparse.pretraining.initial import initial_params
from jaxsparse.pretraining.names import rename
from jaxsparse.pretraining.objectives import (
    FRAME,
    OBJECTIVES,
    Examples,
    Objective,
    Vocabulary,
    loss_sums,
)
from jaxsparse.pretraining.recipes import Recipe
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.training import train
from jaxsparse.types import InputError, Leaves
from jaxsparse.weights import rules, writing
from jaxsparse.weights.checkpoint import Checkpoints
from jaxsparse.whole import held, whole_file

TEXTS = ("books", "validation_books")  # kept by their digests
VALIDATION_ROWS = 32  # the same ones each time
_VALIDATION_SEED = 2**32 - 1
_MISSING = object()  # a setting that is not there, which null is


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
        first, length = self._stage(step)
        rows = max(1, self.recipe.batch_tokens // length)
        window = length - FRAME[self.recipe.family.name]
        windows = self.corpus.windows(window, rows, step - first, self.seed)
        return self.objective(windows, np.random.default_rng([self.seed, step]))

    def _stage(self, step: int) -> tuple[int, int]:
        """The first step of the stage that a step belongs to, and the rows' length."""
        first, stage = 0, self.recipe.stages[0]
        for stage in self.recipe.stages:
            last = round(stage.until * self.recipe.schedule.steps)
            if step < last:
                break
            first = last
        return first, stage.length

    def validation_batches(self, length: int) -> Iterator[Examples]:
        window = length - FRAME[self.recipe.family.name]
        rows = max(1, self.recipe.batch_tokens // length)
        for number in range(max(1, VALIDATION_ROWS // rows)):
            windows = self.validation.windows(window, rows, number, _VALIDATION_SEED)
            generator = np.random.default_rng([_VALIDATION_SEED, number])
            yield self.objective(windows, generator)

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
        sums = [self._evaluate(params, one) for one in self.validation_batches(length)]
        return float(sum(total for total, _ in sums) / sum(count for _, count in sums))


def prepare(
    recipe: Recipe,
    seed: int,
    directory: Path,
    texts: Sequence[str],
    validation_texts: Sequence[str],
    progress: Progress = NOBODY,
) -> Run:
    """Makes the tokenizer, or finds it where the run was begun, and reads the texts.

    Raises:
        InputError: the directory holds another run; the texts are too short. Then
            nothing has been written.
    """
    made_of = _made_of(recipe, seed, texts, validation_texts)
    family = recipe.family
    files = directory / "tokenizer"
    if _is_begun(directory, made_of) and (files / "tokenizer.json").is_file():
        tokenizer = tokenizers.Tokenizer.from_file(str(files / "tokenizer.json"))
    else:
        progress.stage(f"vocabulary of {recipe.vocabulary} tokens", patient=True)
        tokenizer = vocabulary.train(family.name, texts, recipe.vocabulary)
    end_of_text = tokenizer.token_to_id("<|endoftext|>")
    config = recipe.configuration()
    copies = _copies(recipe, seed, texts)
    number = len(copies) + len(validation_texts)
    progress.stage("books into tokens", number, unit="books", patient=True)
    run = Run(
        recipe=recipe,
        seed=seed,
        directory=directory,
        config=config,
        corpus=Corpus.of(copies, tokenizer, end_of_text, progress),
        validation=Corpus.of(validation_texts, tokenizer, end_of_text, progress),
        objective=OBJECTIVES[family.name](Vocabulary.of(tokenizer)),
        apply=make_apply(family, config, "float32", device.current(), everywhere=True),
    )
    _check_lengths(run)
    _claim(run, tokenizer, made_of)
    return run


def _copies(recipe: Recipe, seed: int, texts: Sequence[str]) -> Sequence[str]:
    """The texts to learn from: as they are, or several times with other names."""
    if not recipe.renamed_copies:
        return texts
    generators = [
        np.random.default_rng([seed, copy]) for copy in range(recipe.renamed_copies)
    ]
    return [text for generator in generators for text in rename(texts, generator)]


def _check_lengths(run: Run) -> None:
    """Now, and not when training comes to its long rows, or to its first evaluation."""
    frame = FRAME[run.recipe.family.name]
    longest = max(stage.length for stage in run.recipe.stages) - frame
    for books, corpus in ("books", run.corpus), ("validation books", run.validation):
        try:
            corpus.count(longest)
        except InputError as error:
            raise InputError(f"the {books}: {error}") from None


def _made_of(
    recipe: Recipe, seed: int, texts: Sequence[str], validation_texts: Sequence[str]
) -> dict[str, Any]:
    return {
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "seed": seed,
        "books": _digest(texts),
        "validation_books": _digest(validation_texts),
    }


def _is_begun(directory: Path, made_of: Mapping[str, Any]) -> bool:
    """Raises InputError for what is begun and is made of something else."""
    record = directory / "run.json"
    if not record.is_file():
        if (directory / "checkpoints").exists():
            raise InputError(
                f"{directory} holds checkpoints, but no run.json that says what of; "
                "name another directory"
            )
        return False
    try:
        begun = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        begun = None
    if not isinstance(begun, dict):
        raise InputError(f"{record} is damaged; name another directory")
    if differ := list(_differences(begun, made_of)):
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise InputError(
            f"{directory} holds another run: {', '.join(differ[:3])}{more}; "
            "repeat that run's command, or name another directory"
        )
    return True


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Every setting that differs, by its own name, with both values."""
    for name in dict.fromkeys((*here, *there)):
        other, value = there.get(name, _MISSING), here.get(name, _MISSING)
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differences(other, value)
        elif name in TEXTS and other != value:
            yield f"the {name.replace('_', ' ')} differ"
        elif other != value:
            yield f"{name} is {_said(other)} there and {_said(value)} here"


def _said(value: Any) -> str:
    return "missing" if value is _MISSING else json.dumps(value)


def _claim(
    run: Run, tokenizer: tokenizers.Tokenizer, made_of: Mapping[str, Any]
) -> None:
    """Writes the tokenizer and then what the run is made of, unless both are there."""
    files = run.tokenizer_directory
    run.directory.mkdir(parents=True, exist_ok=True)
    with held(run.directory):
        # Again: another process may have begun a run since.
        begun = _is_begun(run.directory, made_of)
        if begun and (files / "tokenizer.json").is_file():
            return
        length = run.recipe.stages[-1].length
        vocabulary.save(tokenizer, run.recipe.family.name, length, files)
        with whole_file(run.directory / "run.json") as partial:
            text = json.dumps(made_of, indent=2)
            partial.write_text(f"{text}\n", encoding="utf-8")


def _digest(texts: Sequence[str]) -> str:
    content = hashlib.sha256()
    for text in texts:
        content.update(f"{len(text)}\n{text}".encode())
    return content.hexdigest()


def pretrain(
    run: Run,
    checkpoint_every: int,
    after_step: Callable[[int, Leaves, Float[jax.Array, ""] | None], Any],
    progress: Progress = NOBODY,
) -> Leaves:
    """Trains from where the directory's newest checkpoint stands; see `train`.

    Raises:
        InputError: also while another process trains there.
    """
    progress.stage("word vectors to start from", patient=True)
    params = initial_params(run.recipe.family, run.config, run.seed, run.corpus.tokens)
    with (
        held(run.directory),
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
    run: Run,
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
        run.recipe.family.table, {path: leaf.shape for path, leaf in leaves.items()}
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
