"""One model of a sweep: loaded, asked everything, and gone before the next comes."""

from dataclasses import dataclass

from experiments.flags import Settings
from experiments.inputs import Inputs, mesh_of
from experiments.progress import Shown
from jaxsparse import capacity, hosts
from jaxsparse.journal import Journal
from jaxsparse.model import Blueprint, Model, load
from jaxsparse.points import Point, Workload
from jaxsparse.sparse import Execution, check
from jaxsparse.sweep import sweep


@dataclass(frozen=True)
class ModelRun:
    """A model's points, and what they were made with."""

    points: list[Point]  # of many processes in the first
    digest: str
    mesh: dict[str, int] | None
    batch_tokens: int
    workloads: dict[str, Workload]  # by protocol

    @classmethod
    def of(cls, model: Model, points: list[Point], batch_tokens: int) -> "ModelRun":
        workloads = {
            point.setup.presentation.protocol: point.workload
            for point in points
            if point.workload
        }
        shape = None if model.mesh is None else dict(model.mesh.shape)
        return cls(points, model.digest, shape, batch_tokens, workloads)


def run_model(
    blueprint: Blueprint,
    settings: Settings,
    given: Inputs,
    execution: Execution,
    answers: Journal,
    shown: Shown,
) -> ModelRun:
    """The models of a run are asked in turn: only one has its weights loaded.

    Args:
        execution: the run's; what it found about this machine is said once.
    """
    shown.model(blueprint.name)
    levels = settings.levels_at_once or 1
    mesh = mesh_of(blueprint, settings.mesh, settings.dtype, levels)
    check(settings.execution, settings.dtype, mesh is not None)
    # What nobody prunes is loaded as it is executed, and never held dense.
    loaded = None if settings.prunes else execution
    with hosts.together():
        model = load(blueprint, settings.dtype, mesh, shown, execution=loaded)
    hosts.agree(f"weights of {model.name}", model.digest)
    prunable = settings.recipes[0].prunable
    tokens = settings.batch_tokens or capacity.batch_tokens(model, prunable)
    points = list(
        sweep(
            model,
            given.questions,
            settings.recipes,
            settings.sparsities,
            settings.presentations,
            calibration=given.calibrations.get(model.name),
            texts=given.texts,
            redraws={
                seed: rows.get(model.name) for seed, rows in given.redraws.items()
            },
            text_tokens=settings.text_tokens,
            text_details=settings.text_details,
            batch_tokens=tokens,
            levels_at_once=settings.levels_at_once,
            execution=execution,
            journal=answers,
            progress=shown,
        )
    )
    return ModelRun.of(model, points, tokens)
