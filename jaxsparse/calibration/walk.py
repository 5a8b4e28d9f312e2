"""Calibration rows on their way through a model, block by block.

    rows ─▶ [project] ─▶ block 0 ─▶ block 1 ─▶ … ─▶ [heads]
              stage       stage      stage           stages

At each stage stand the hidden states of all rows; what comes behind it is not computed
yet, and what was before it is as `advance` was told. So statistics of a block's inputs
can be those of a model in which all before it is pruned (Frantar & Alistarh 2023,
section 3), and no more than one block's Gram matrices are ever there.

Sums are float32, see `steps`.
"""

import dataclasses
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from jaxsparse import parallel
from jaxsparse.calibration import fitting
from jaxsparse.calibration.batches import batches, batches_of_a_step
from jaxsparse.calibration.rows import Calibration
from jaxsparse.calibration.steps import Sums, layer_of, no_sums, steps_of, totals_of
from jaxsparse.model import Model
from jaxsparse.models import Stack
from jaxsparse.models.statistics import Parts
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning.statistics import Statistics
from jaxsparse.types import InputError, Leaves

OF_INPUTS = ("mean", "squares", "gram")


@dataclass(frozen=True)
class Stage:
    """A block, or a matrix in no block."""

    name: str
    stack: str  # the path of the block's stack; "" of a matrix in no block
    layer: int | None
    paths: tuple[str, ...]  # of the prunable matrices in it


class Walk:
    """One way through a model. Stages come in order: of each, `statistics` as often as
    wanted, then `advance`.

    It holds the hidden states of all rows, and the statistics of one stage.
    """

    def __init__(
        self,
        model: Model,
        calibration: Calibration,
        prunable: str = "blocks",
        progress: Progress = NOBODY,
        fits_blocks: bool = False,
    ):
        """
        Args:
            prunable: blocks or linear; `model` is one whose head is untied for these.
            progress: is told of each block that is done.
            fits_blocks: `fitted` will be asked for: then the rows that go at once are
                those of a gradient step, whatever the device.

        Raises:
            InputError: something prunable has no inputs, as embeddings have none.
        """
        self._model, self._progress = model, progress
        family, config, form = model.blueprint.family, model.config, model.form
        self._parts = Parts(family, config, model.dtype, form)
        self._steps = steps_of(self._parts, model.mesh)
        examples = calibration.examples
        self._host_batches = [
            _at_all_positions(batch.inputs)
            for batch in (
                batches_of_a_step(model, examples, fitting.TOKENS)
                if fits_blocks
                else batches(model, examples)
            )
        ]
        self._batches = [
            parallel.place_rows(model.mesh, batch) for batch in self._host_batches
        ]
        self._params = dict(model.params)  # those of stacks stay dense
        self._leaving: list[dict[str, Any]] = [{} for _ in self._batches]
        self._hidden: list[Any] = []
        self._sources = self._find_sources()
        self.stages = self._find_stages(prunable)
        self._next = 0
        progress.stage("calibrating", len(self.stages), unit="blocks", patient=True)

    def statistics(
        self, stage: Stage, needs: Collection[str], leaves: Leaves | None = None
    ) -> dict[str, Statistics]:
        """The statistics of a stage's matrices, everything before it as advanced.

        Matrices that read the same inputs share one record's arrays.

        Args:
            stage: the next one.
            needs: which of mean, squares and gram; the first two are always there.
            leaves: the stage's own in place of the dense ones, by full path, not
                stacked.

        Raises:
            InputError: inputs are not finite; names the matrix and its layer.
        """
        if others := set(needs) - set(OF_INPUTS):
            raise ValueError(f"{sorted(others)} are of the loss; see `gradients`")
        self._check_next(stage)
        sources = {self._sources[_linear(path)] for path in stage.paths}
        gathered = self._gather(stage, tuple(sorted(sources)), "gram" in needs, leaves)
        return {path: gathered[self._sources[_linear(path)]] for path in stage.paths}

    def advance(self, stage: Stage, leaves: Leaves | None = None) -> None:
        """Goes on behind a stage.

        Args:
            leaves: the stage's own (kernels, biases) in place of the dense ones, by
                full path, not stacked.
        """
        self._check_next(stage)
        self._next += 1
        stack, own = self._stack(stage), self._own(stage, leaves)
        if stack is None or stage.layer is None:
            self._params |= own
        else:
            self._run_block(stack, stage.layer, own)
        self._progress.done(1)

    def fitted(
        self, stage: Stage, pruned: Leaves, dense: "Walk"
    ) -> dict[str, Float32[np.ndarray, "in out"]]:
        """A block's pruned kernels, with what is not zero in them fitted so that the
        block gives what the dense one does; see `fitting`.

        Args:
            pruned: all that are pruned, by full path, not stacked.
            dense: the same rows on their way through the dense model, at this stage.

        Raises:
            InputError: outputs that are not finite; names the block.
        """
        self._check_next(stage)
        dense._check_next(stage)
        stack, layer = self._stack(stage), stage.layer
        if stack is None or layer is None:
            raise ValueError(f"{stage.name} is no block")
        batches, of_dense = (
            list(zip(walk._batches, walk._leaving, walk._hidden, strict=True))
            for walk in (self, dense)
        )
        return fitting.fitted(
            fitting.fitting_of(self._parts, self._model.mesh),
            stack,
            layer,
            self._params,
            self._own(stage, None),
            self._placed(pruned),
            batches,
            of_dense,
        )

    def influence(self, stage: Stage) -> float:
        """Goes on behind a block, as `advance` does, and says how much the block
        changes what it is given: 1 - the mean cosine of its input and its output.

        Raises:
            InputError: that is not finite; names the block.

        Source: Men et al. (2024), "ShortGPT", block influence.
        """
        self._check_next(stage)
        self._next += 1
        stack, layer = self._stack(stage), stage.layer
        if stack is None or layer is None:
            raise ValueError(f"{stage.name} is no block")
        sums = self._run_block(stack, layer, self._own(stage, None), compare=True)
        mean = sum(map(float, sums)) / self._tokens(f"{stack.path}/")
        if not np.isfinite(mean):
            raise InputError(
                f"{stage.name}: its outputs at calibration rows are not finite; other "
                "text, or float32 weights, may keep them so"
            )
        self._progress.done(1)
        return 1 - mean

    def _gather(
        self, stage: Stage, sources: tuple[str, ...], gram: bool, leaves: Leaves | None
    ) -> dict[str, Statistics]:
        stack, own = self._stack(stage), self._own(stage, leaves)
        widths = {path: self._params[f"{path}/kernel"].shape[-2] for path in sources}
        sums = {
            path: parallel.place_everywhere(self._model.mesh, no_sums(width, gram))
            for path, width in widths.items()
        }
        for number, inputs in enumerate(self._batches):
            hidden = self._hidden[number] if stack else None
            with self._compiling(stage, number):
                sums = self._steps.gather(
                    stack,
                    sources,
                    sums,
                    self._params,
                    own,
                    stage.layer,
                    inputs,
                    self._leaving[number],
                    hidden,
                )
        return {path: self._finished(path, stage, sums[path]) for path in sources}

    def _finished(self, path: str, stage: Stage, sums: Sums) -> Statistics:
        tokens = self._tokens(path)
        totals = totals_of(sums)
        squares = totals["squares"]
        if not np.isfinite(np.asarray(squares)).all():
            layer = "" if stage.layer is None else f", layer {stage.layer}"
            raise InputError(
                f"{path}{layer}: its inputs at calibration rows are not finite, or too "
                "large for float32; other text, or float32 weights, may keep them small"
            )
        return Statistics(
            tokens=tokens,
            mean=totals["mean"] / tokens,
            squares=squares,
            gram=totals.get("gram"),
        )

    def _tokens(self, path: str) -> int:
        """The real ones that a linear layer is given; see `Parts.attended`."""
        return sum(
            int(np.count_nonzero(self._parts.attended(path, batch)))
            for batch in self._host_batches
        )

    def _run_block(
        self, stack: Stack, layer: int, own: Leaves, compare: bool = False
    ) -> list[Any]:
        """The sums of cosines of what enters it and what leaves it, where asked for,
        batch by batch."""
        sums = []
        step = self._steps.compare if compare else self._steps.advance
        for number, inputs in enumerate(self._batches):
            found = step(
                stack,
                self._params,
                own,
                layer,
                inputs,
                self._leaving[number],
                self._hidden[number],
            )
            if compare:
                found, cosines = found
                sums.append(cosines)
            self._hidden[number] = found
        if layer == stack.depth - 1:
            for leaving, hidden in zip(self._leaving, self._hidden, strict=True):
                leaving[stack.path] = hidden
            self._hidden = []
        return sums

    def _check_next(self, stage: Stage) -> None:
        """Also brings the rows to the first block of a stack."""
        if self._next >= len(self.stages) or stage != self.stages[self._next]:
            raise ValueError(f"{stage.name} is not the next stage")
        stack = self._stack(stage)
        if stack and not self._hidden:
            self._hidden = [
                self._steps.enter(stack, self._params, inputs, leaving)
                for inputs, leaving in zip(self._batches, self._leaving, strict=True)
            ]

    def _stack(self, stage: Stage) -> Stack | None:
        return next((s for s in self._parts.stacks if s.path == stage.stack), None)

    def _own(self, stage: Stage, leaves: Leaves | None) -> dict[str, Any]:
        """A stage's leaves, not stacked: those given, for the rest the dense ones."""
        given = self._placed(leaves)
        if stage.layer is None:
            return given
        dense = {
            path: leaf
            for path, leaf in self._params.items()
            if path.startswith(f"{stage.stack}/") and path not in given
        }
        return {**layer_of(dense, stage.layer), **given}

    def _placed(self, leaves: Leaves | None) -> dict[str, Any]:
        dtype, mesh = jnp.dtype(self._model.dtype), self._model.mesh
        if mesh is None:
            return {p: jnp.asarray(leaf, dtype) for p, leaf in (leaves or {}).items()}
        return {
            path: parallel.place_leaf(mesh, path, np.asarray(leaf).astype(dtype))
            for path, leaf in (leaves or {}).items()
        }

    def _compiling(self, stage: Stage, batch: int) -> AbstractContextManager[None]:
        first = batch == 0 and not stage.layer
        return self._progress.busy("compiling") if first else nullcontext()

    def _find_sources(self) -> dict[str, str]:
        """Linear layer -> the first that reads the same inputs; in order of calls.

        Layers of one block that are given the very same array share its statistics.
        """
        found: dict[str, str] = {}

        def trace(params: Leaves, inputs: Any) -> None:
            first: dict[int, str] = {}
            given = self._parts.linear_inputs(params, inputs, {})
            for path, values in given.items():
                found[path] = first.setdefault(id(values), path)

        jax.eval_shape(trace, self._params, self._batches[0])
        return found

    def _find_stages(self, prunable: str) -> tuple[Stage, ...]:
        paths = {_linear(path): path for path in self._model.prunable(prunable)}
        for linear, path in paths.items():
            if linear not in self._sources:
                raise InputError(
                    f"`prunable={prunable}`: {path} has no inputs to gather statistics "
                    "of; choose blocks or linear, or a method without calibration"
                )
        stages: list[Stage] = []
        for linear in self._sources:
            stack = self._stack_of(linear)
            if stack is None:
                own = [paths[linear]] if linear in paths else []
                stages += [Stage(linear, "", None, (path,)) for path in own]
            elif stack.path not in {stage.stack for stage in stages}:
                own = tuple(p for p in paths.values() if p.startswith(f"{stack.path}/"))
                stages += [
                    Stage(f"{stack.path}/{layer}", stack.path, layer, own)
                    for layer in range(stack.depth)
                ]
        return tuple(stages)

    def _stack_of(self, linear: str) -> Stack | None:
        return next(
            (s for s in self._parts.stacks if linear.startswith(f"{s.path}/")), None
        )


def _linear(path: str) -> str:
    return path.removesuffix("/kernel")


def _at_all_positions(inputs: Any) -> Any:
    """Heads are read at every token."""
    positions = np.arange(inputs.tokens.shape[1], dtype=np.int32)
    scored = np.broadcast_to(positions, inputs.tokens.shape)
    return dataclasses.replace(inputs, scored=scored)
