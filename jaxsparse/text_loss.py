"""How well variants predict running text: the second measure of a sweep.

A text is tokenized as a whole and cut into windows, which are fed as `running_text`
says. Of every target the nats, -log p, are kept; a text's figure is their mean.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from jaxsparse import capacity, hosts, parallel, portions
from jaxsparse.device import CPU, Form
from jaxsparse.evaluation import Scorer, WaitForScores
from jaxsparse.journal import Journal, key_of
from jaxsparse.losses import Losses
from jaxsparse.model import Model
from jaxsparse.models.attention import log_sum_exp
from jaxsparse.models.inputs import CausalInputs
from jaxsparse.points import TextLoss, TokenLosses
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.running_text import Examples
from jaxsparse.texts import ReadText
from jaxsparse.types import InputError, Leaves
from jaxsparse.variants import Variant


def evaluate(
    curves: Sequence[Variant],
    texts: Sequence[ReadText],
    *,
    batch_tokens: int = 0,
    levels_at_once: int = 0,
    journal: Journal | None = None,
    details: bool = False,
    progress: Progress = NOBODY,
) -> dict[str, tuple[TextLoss, ...]]:
    """The losses of variants of one model on texts, window by window.

    Args:
        curves: those of one identity are computed once.
        batch_tokens, levels_at_once: as of `sweep`.
        journal: where windows are looked up first and kept; without one, in memory.
        details: whether every target's nats are kept, too.

    Returns:
        the losses on all texts by `key_of` a variant's identity; of several processes,
        in the first one, which alone has the journal.

    Raises:
        InputError: nats that are not finite; a journal that cannot be written.
    """
    if not texts:
        return {}
    unique: dict[str, Variant] = {}
    for variant in curves:
        unique.setdefault(key_of(variant.identity), variant)
    examples: Examples = jax.tree.map(
        lambda *fields: np.concatenate(fields), *(text.examples for text in texts)
    )
    losses = (journal or Journal()).losses
    job = _Job(unique, tuple(texts), examples, losses, progress)
    job.compute_unknown(batch_tokens, levels_at_once)
    found: dict[str, tuple[TextLoss, ...]] = {}
    with hosts.together():
        if hosts.is_first():
            found = {key: job.losses_of(key, details) for key in unique}
    return found


def target_nats(
    apply: Callable[[Leaves, Any], jax.Array],
    params: Leaves,
    examples: Examples,
    form: Form = CPU,
) -> Float[jax.Array, "row scored"]:
    """-log p of every target, in nats."""
    logits = apply(params, examples.inputs)
    targets = jnp.asarray(examples.targets)[..., None]
    of_targets = jnp.take_along_axis(logits, targets, axis=-1)[..., 0]
    return jnp.asarray(log_sum_exp(logits, form)) - of_targets


@dataclass(frozen=True)
class _Job:
    """Which variants read what, and where the losses go. Windows of all texts are
    numbered one after another: they have one shape."""

    variants: Mapping[str, Variant]  # by the identity's key, each once
    texts: tuple[ReadText, ...]
    examples: Examples
    losses: Losses
    progress: Progress

    def compute_unknown(self, batch_tokens: int, levels_at_once: int) -> None:
        """Computes what the journal lacks; leaves live no longer than their portion."""
        model = next(iter(self.variants.values())).model
        lacking = self._lacking()
        total = len(self.variants) * len(self.examples.targets)
        left = sum(map(len, lacking))
        self.progress.stage("text", total, known=total - left, unit="windows")
        if not left:
            return
        shape = self._shape(model, batch_tokens)
        at_once = min(levels_at_once, len(self.variants)) or capacity.levels_at_once(
            model, self._changed, [shape], len(self.variants)
        )
        scorer = Scorer(
            at_once, model.compiler_options, model.mesh, self.progress, model.form,
            measure=target_nats,
        )  # fmt: skip
        for keys, wanted, levels in portions.divided(self.variants, lacking, at_once):
            portion = [self.variants[key] for key in keys]
            names = dict.fromkeys([portion[0].name, portion[-1].name])
            self.progress.point(" … ".join(names))
            of_portion = portion[0].model
            # No name, so that the leaves are gone before the next.
            batches = self._batches(
                scorer, of_portion, portions.stacked(portion, levels), levels, wanted,
                shape.rows,
            )  # fmt: skip
            for places, nats in batches:
                self._record(keys, places, nats[: len(keys)])

    @property
    def _changed(self) -> Mapping[str, Any]:
        """The leaves that may differ, of the variant with most of them."""
        return max((variant.shapes for variant in self.variants.values()), key=len)

    def _shape(self, model: Model, batch_tokens: int) -> capacity.Rows:
        """The rows of every batch: one shape, as evenly filled as they divide."""
        prunable = next(iter(self.variants.values())).recipe.prunable
        inputs, number = self.examples.inputs, len(self.examples.targets)
        fields = ("tokens", "encoder_tokens", "scored")
        lengths = tuple(
            (name, getattr(inputs, name).shape[1])
            for name in fields if hasattr(inputs, name)
        )  # fmt: skip
        tokens = batch_tokens or capacity.batch_tokens(model, prunable)
        most = capacity.rows_of_length(model, prunable, lengths, tokens)
        multiple = parallel.rows_multiple(model.mesh)
        even = -(-number // -(-number // most))
        return capacity.Rows(-(-even // multiple) * multiple, lengths)

    def _lacking(self) -> list[frozenset[int]]:
        """The windows that the journal, process 0's, does not have, of each variant."""
        lacking = np.ones((len(self.variants), len(self.examples.targets)), np.uint8)
        with hosts.together():
            for row, key in zip(lacking, self.variants, strict=True):
                begin = 0
                for text in self.texts:
                    known = self.losses.windows(_journal_key(key, text))
                    row[[begin + window for window in known]] = 0
                    begin += text.windows
        lacking = hosts.from_first(lacking)
        return [frozenset(np.flatnonzero(row).tolist()) for row in lacking]

    def _batches(
        self,
        scorer: Scorer,
        model: Model,
        changed: Leaves,
        levels: int,
        wanted: frozenset[int],
        rows: int,
    ) -> Iterator[tuple[dict[int, int], Float32[np.ndarray, "variant row scored"]]]:
        """The nats of a batch, and at which rows the wanted windows are. Batches are
        those that were planned for all windows, so that a run which goes on computes
        what it would have; the last row is repeated. While the device is at one, the
        last is recorded."""
        running: tuple[dict[int, int], WaitForScores] | None = None
        number = len(self.examples.targets)
        for begin in range(0, number, rows):
            members = np.minimum(np.arange(begin, begin + rows), number - 1)
            places = {n: at for at, n in enumerate(members.tolist()) if n in wanted}
            if not places:
                continue
            batch = jax.tree.map(lambda field, at=members: field[at], self.examples)
            batch = parallel.place_rows(scorer.mesh, batch)
            wait = scorer.score(model.apply, model.params, changed, batch, levels)
            if running:
                yield running[0], running[1]()[0]
            running = places, wait
        if running:
            yield running[0], running[1]()[0]

    def _record(
        self,
        keys: Sequence[str],
        places: Mapping[int, int],
        nats: Float32[np.ndarray, "variant row scored"],
    ) -> None:
        """Keeps the losses of a batch, in one transaction."""
        windows = [(text, n) for text in self.texts for n in range(text.windows)]
        losses = []
        for key, of_variant in zip(keys, nats, strict=True):
            for number, row in places.items():
                text, window = windows[number]
                if not np.isfinite(of_variant[row]).all():
                    variant = self.variants[key]
                    raise InputError(
                        f"`dtype={variant.model.dtype}`: nats of {text.name} are not "
                        f"finite with {variant.model.name}, {variant.name}; try "
                        "`dtype=float32`, or leave the model out"
                    )
                losses.append((_journal_key(key, text), window, of_variant[row]))
        with hosts.together():
            self.losses.record(losses)
        self.progress.done(len(losses))

    def losses_of(self, key: str, details: bool) -> tuple[TextLoss, ...]:
        """What a variant's targets cost, text by text."""
        return tuple(self._loss_of(key, text, details) for text in self.texts)

    def _loss_of(self, key: str, text: ReadText, details: bool) -> TextLoss:
        """Raises KeyError for a window that has not been computed."""
        known = self.losses.nats(_journal_key(key, text))
        nats = np.stack([known[window] for window in range(text.windows)])
        mean = float(nats.mean(dtype=np.float64))
        causal = isinstance(text.examples.inputs, CausalInputs)
        return TextLoss(
            text=text.name,
            windows=text.windows,
            targets=nats.size,
            nats=mean,
            perplexity=exp(mean) if causal else None,
            tokens_left_out=text.tokens_left_out,
            tokens=TokenLosses(text.positions, text.pieces(), nats)
            if details
            else None,
        )


def _journal_key(key: str, text: ReadText) -> str:
    """All that decides what a variant's window of a text costs, but for its number."""
    return f"{key} {json.dumps(text.conditions, sort_keys=True)}"


def exp(value: float) -> float:
    """Infinite where no float is so large."""
    return math.exp(value) if value < math.log(sys.float_info.max) else math.inf
