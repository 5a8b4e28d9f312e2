"""What points lose on running text: rows of files, read again, and tables for people.

A model reads a text in one way, whatever the protocol of its questions, so that points
that differ in nothing else are one here.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxsparse import arrays, text_loss
from jaxsparse.points import Curve, Point, TextLoss, by_curve
from jaxsparse.report import repeats
from jaxsparse.report.cells import TextTable
from jaxsparse.report.columns import FROM_TEXT, OF_TEXTS, OLDER, TEXT_TOKENS, TEXTS
from jaxsparse.report.grid import grid
from jaxsparse.report.labels import Labels

Key = tuple[str, ...]  # the columns OF_TEXTS, as a csv file has them


def distinct(points: Sequence[Point]) -> list[Point]:
    """Points that differ in how questions are put alone are one; those without texts
    are left out."""
    return [point for point in repeats.distinct(points, OF_TEXTS) if point.texts]


def rows(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Rows of text.csv: of each point one for each text; then those of further draws,
    which differ in seed, nats and perplexity."""
    of_draws: list[dict[str, Any]] = []
    for point in distinct(points):
        columns = point.columns()
        of_point = {name: columns[name] for name in OF_TEXTS}
        for loss in point.texts:
            row = {
                **of_point, "text": loss.text, "windows": loss.windows,
                "targets": loss.targets, "nats": loss.nats,
                "perplexity": loss.perplexity,
                "tokens_left_out": loss.tokens_left_out, "draw": 0,
            }  # fmt: skip
            yield row
            for draw, (seed, nats) in enumerate(loss.redrawn, 1):
                perplexity = None if loss.perplexity is None else text_loss.exp(nats)
                told = {"seed": seed, "nats": nats, "perplexity": perplexity}
                of_draws.append({**row, **told, "draw": draw})
    yield from of_draws


def token_tables(points: Sequence[Point]) -> Iterator[pa.Table]:
    """Rows of text_tokens.parquet, point by point: one for each target.

    `point` counts from 0: of T texts, its rows in text.csv are T * point to
    T * point + T - 1. `file` is the text's name there, `window` counts from 0, and
    `position` is in the window; of T5 it is in what the decoder says, where sentinels
    and </s> are targets as well. `token` is written as the vocabulary has it.
    """
    for number, point in enumerate(distinct(points)):
        for loss in point.texts:
            if loss.tokens is None:
                continue
            windows, targets = loss.tokens.nats.shape
            size = windows * targets
            window = np.repeat(np.arange(windows, dtype=np.int32), targets)
            columns = {
                "point": arrays.same(number, TEXT_TOKENS["point"], size),
                "file": arrays.same(loss.text, TEXT_TOKENS["file"], size),
                "window": arrays.numbers(window),
                "position": arrays.numbers(loss.tokens.positions.ravel()),
                "token": arrays.texts(loss.tokens.tokens),
                "nats": arrays.numbers(loss.tokens.nats.ravel()),
            }
            yield pa.table(
                [columns[name] for name in TEXT_TOKENS], schema=pa.schema(TEXT_TOKENS)
            )


def read(path: Path) -> dict[Key, tuple[TextLoss, ...]]:
    """The rows of text.csv by their point; none where there is no such file."""
    if not path.is_file():
        return {}
    found: dict[Key, list[tuple[Key, TextLoss]]] = {}
    redrawn: dict[Key, list[tuple[int, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for found_row in csv.DictReader(file):
            row = {**OLDER, **found_row}
            values: dict[str, Any] = {
                name: FROM_TEXT[TEXTS[name]](row[name]) if row[name] else None
                for name in set(TEXTS) - set(OF_TEXTS)
            }
            shared = _but_for_seed(row)
            if values.pop("draw"):
                drawn = int(row["seed"]), values["nats"]
                redrawn.setdefault(shared, []).append(drawn)
            else:
                found.setdefault(key(row), []).append((shared, TextLoss(**values)))
    return {
        place: tuple(
            replace(loss, redrawn=tuple(redrawn.get(shared, ())))
            for shared, loss in losses
        )
        for place, losses in found.items()
    }


def _but_for_seed(row: Mapping[str, str]) -> tuple[str, ...]:
    """What rows of all draws of a point and a text share."""
    return tuple(row[name] for name in (*OF_TEXTS, "text") if name != "seed")


def key(row: Mapping[str, str]) -> Key:
    """Where the point of a csv file's row stands in `read`."""
    return tuple(row[name] for name in OF_TEXTS)


def names(points: Sequence[Point]) -> list[str]:
    """Those of all texts, in the order of the run."""
    return list(dict.fromkeys(loss.text for point in points for loss in point.texts))


def of_text(point: Point, name: str) -> TextLoss | None:
    return next((loss for loss in point.texts if loss.text == name), None)


def columns(points: Sequence[Point]) -> Iterator[tuple[str, Callable[[Point], str]]]:
    """Of a table of points: a name, and its cell of a point. Nothing where no point has
    read a text; no perplexity where no point has one. Several texts are numbered."""
    texts = names(points)
    for at, text in enumerate(texts, 1):
        suffix = f" {at}" if len(texts) > 1 else ""
        losses = [of_text(point, text) for point in points]
        yield f"nats{suffix}", _cell(text, nats)
        if any(loss and loss.perplexity is not None for loss in losses):
            yield f"perplexity{suffix}", _cell(text, perplexity)


def numbers(points: Sequence[Point]) -> Iterator[str]:
    """Which number is which text, where `columns` has numbers."""
    if len(texts := names(points)) > 1:
        listed = ", ".join(f"{at} {text}" for at, text in enumerate(texts, 1))
        yield f"running text: {listed}"


def _cell(text: str, told: Callable[[TextLoss], str]) -> Callable[[Point], str]:
    def of_point(point: Point) -> str:
        loss = of_text(point, text)
        return "" if loss is None else told(loss)

    return of_point


def nats(loss: TextLoss) -> str:
    """The mean of all draws, and where there are several the lowest and highest."""
    if not loss.redrawn:
        return number(loss.nats)
    return f"{number(loss.mean)} [{number(min(loss.draws))}–{number(max(loss.draws))}]"


def perplexity(loss: TextLoss) -> str:
    """exp of the mean nats of all draws; empty where there is none."""
    if loss.perplexity is None or not loss.redrawn:
        return number(loss.perplexity)
    return number(text_loss.exp(loss.mean))


def number(value: float | None) -> str:
    """Nats to three decimals, large perplexities to fewer; none is empty."""
    if value is None:
        return ""
    if value < 100:
        return f"{value:.3f}"
    return f"{value:,.1f}" if value < 1e6 else f"{value:.2e}"


def overview(points: Sequence[Point], labels: Labels) -> Iterator[TextTable]:
    """Of each text a table, every line of its plot a row: nats at each sparsity."""
    for text in names(points):
        known = [point for point in distinct(points) if of_text(point, text)]
        yield grid(
            f"Nats (and perplexity) of {text} at each sparsity",
            known,
            labels.pruned,
            _cell(text, _both),
            (
                "nats: the mean of -log p over the targets: of a causal model all "
                "tokens but a window's first, of a masked one the masked tokens, of T5 "
                "the spans. Models have tokens and targets of their own: compare "
                "within a model.",
                *_on_draws(known, text),
            ),
        )


def _on_draws(points: Sequence[Point], text: str) -> Iterator[str]:
    losses = [loss for point in points if (loss := of_text(point, text))]
    draws = max(len(loss.draws) for loss in losses)
    if draws > 1:
        yield (
            f"in brackets: the lowest and the highest of {draws} draws of calibration "
            "rows and random numbers, behind their mean"
        )


def _both(loss: TextLoss) -> str:
    """Nats and, of one draw, perplexity."""
    if loss.redrawn or loss.perplexity is None:
        return nats(loss)
    return f"{nats(loss)} ({perplexity(loss)})"


def curves(
    points: Sequence[Point], text: str
) -> Iterator[tuple[Curve, list[tuple[Point, TextLoss]]]]:
    """The lines of a text's plot and their points, sparsity ascending."""
    for curve, members in by_curve(distinct(points)):
        found = [(point, of_text(point, text)) for point in members]
        known = [(point, loss) for point, loss in found if loss is not None]
        if known:
            yield curve, known
