"""A part of what a step learns from: a batch whose gradient is taken at once."""

from dataclasses import dataclass, replace
from typing import Any

import jax
from jaxtyping import Int32

from jaxsparse import parallel, scoring
from jaxsparse.evaluation import placed as placed_batch
from jaxsparse.running_text import Examples
from jaxsparse.types import Array

NO_ANSWER = -1  # of a question that only fills a shape up


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QuestionPart:
    """Questions whose gradient is taken at once."""

    batch: scoring.Batch
    answers: Int32[Array, " question"]  # the option that is right, or NO_ANSWER
    weight: Any  # float32, of each question in the step's mean
    row_weight: Any  # float32, of each row


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StoryPart:
    """Windows of stories whose gradient is taken at once."""

    examples: Examples
    weight: Any  # float32, of each target in the step's mean
    row_weight: Any  # float32, of each row


Part = QuestionPart | StoryPart


def placed(mesh: Any, part: Part) -> Part:
    """A part on its devices: rows are divided, what is read of them is not."""
    if mesh is None:
        return part
    if isinstance(part, QuestionPart):
        return replace(
            part,
            batch=placed_batch(mesh, part.batch),
            answers=parallel.place_everywhere(mesh, part.answers),
        )
    return replace(part, examples=parallel.place_rows(mesh, part.examples))
