"""One model of `finetune`: loaded, pruned, trained back and asked, and gone before the
next comes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments import trained_exports
from experiments.finetune_settings import EVENTS, FineTuning
from experiments.inputs import Inputs, mesh_of
from experiments.model_run import ModelRun
from experiments.progress import Shown
from experiments.training_questions import Lessons
from jaxsparse import capacity, text_loss, texts, variants
from jaxsparse.calibration import Calibration
from jaxsparse.finetuning import Finetuning, Job, schedules
from jaxsparse.journal import Journal
from jaxsparse.model import Blueprint, Model, load
from jaxsparse.one_shot import OneShot
from jaxsparse.points import Point
from jaxsparse.sweep import evaluate
from jaxsparse.variants import Variant, dense, prunable_model

# The dense model, and in float32 what is trained, two gradients of it and two moments:
# as much as three levels of a sweep take.
LEVELS = 3


@dataclass(frozen=True)
class TunedModel:
    run: ModelRun
    metrics: list[dict[str, Any]]  # a row a step of every training
    seconds: float  # that these trainings took
    learning_rates: dict[float, float]  # by sparsity; the family's own where 0 is given
    digest: str  # of all that decides training but the seed


def tune_model(
    blueprint: Blueprint,
    settings: FineTuning,
    given: Inputs,
    lessons: Lessons,
    answers: Journal,
    shown: Shown,
) -> TunedModel:
    shown.model(blueprint.name)
    sweep = settings.sweep
    mesh = mesh_of(blueprint, sweep.mesh, "float32", LEVELS)
    model = load(blueprint, sweep.dtype, mesh, shown)
    model = prunable_model(model, sweep.recipes[0].prunable)
    tuning = Finetuning(
        model,
        lessons.train.asked,
        lessons.validation.asked,
        settings.numbers,
        settings.work / model.name,
        sweep.out / EVENTS / model.name,
        answers.readings,
        shown,
    )
    tuning.claim()
    pruners, curves, jobs = [], [], []
    for seed, rows in _draws(given, model.name, settings):
        pruner = OneShot(model, rows, answers.directory, shown)
        pruners.append(pruner)
        one_shot = list(_pruned(model, pruner, settings, seed))
        curves += one_shot
        jobs += _jobs(model, one_shot, rows, settings)
    if settings.export:
        trained_exports.check_same(settings.export, tuning, jobs)
    trained = tuning.tuned(jobs)
    if settings.export:
        trained_exports.check_weights(settings.export, jobs, trained)
    points = _points([*curves, *trained], settings, given, answers, shown)
    if settings.export:
        of_trained = points[len(curves) :]
        trained_exports.write(settings, tuning, jobs, trained, of_trained, shown)
    for pruner in pruners:
        pruner.forget()
    tokens = sweep.batch_tokens or capacity.batch_tokens(
        model, sweep.recipes[0].prunable
    )
    rows = list(_metrics(model.name, tuning, jobs))
    seconds = sum(row["seconds"] for row in rows)
    rates = {job.variant.sparsity: job.schedule.learning_rate for job in jobs}
    return TunedModel(
        ModelRun.of(model, points, tokens), rows, seconds, rates,
        _digest(tuning, settings, rates),
    )  # fmt: skip


def _digest(
    tuning: Finetuning, settings: FineTuning, rates: Mapping[float, float]
) -> str:
    """Of all that decides training but the seed. A pace that is the same everywhere
    says nothing of the sparsities, so that runs of some each are of one training."""

    def pace(values: Mapping[float, float]) -> Any:
        different = {*values.values()}
        return sorted(values.items()) if len(different) > 1 else [*different]

    training = settings.trainings[0]
    common = tuning.common(training, grows=training.schedule == "gradual")
    steps = {level: settings.steps[level] for level in rates}
    return variants.digest_of({**common, "steps": pace(steps), "rates": pace(rates)})


def _draws(
    given: Inputs, name: str, settings: FineTuning
) -> Iterator[tuple[int, Calibration | None]]:
    """Each seed, and the rows of calibration that it draws, where there are such."""
    seeds = settings.sweep.seeds
    yield seeds[0], given.calibrations.get(name)
    for seed in seeds[1:]:
        if any(recipe.seed is not None for recipe in settings.sweep.recipes):
            yield seed, given.redraws[seed].get(name)


def _pruned(
    model: Model, pruner: OneShot, settings: FineTuning, seed: int
) -> Iterator[Variant]:
    """Dense and one-shot, recipe by recipe; of further seeds those that draw."""
    first, sparsities = seed == settings.sweep.seed, settings.sweep.sparsities
    unpruned = dense(model, settings.sweep.recipes[0])
    recipes = [
        replace(recipe, seed=seed)
        for recipe in settings.sweep.recipes
        if first or recipe.seed is not None
    ]
    pruner.expect(recipes, sparsities)
    pruned = [pruner.variants(recipe, sparsities) for recipe in recipes]
    measured = iter(pruner.measured([variant for each in pruned for variant in each]))
    for recipe, of_recipe in zip(recipes, pruned, strict=True):
        yield replace(unpruned, recipe=recipe)
        for _ in of_recipe:
            yield next(measured)


def _jobs(
    model: Model,
    curves: list[Variant],
    rows: Calibration | None,
    settings: FineTuning,
) -> Iterator[Job]:
    """What is pruned by a seed is trained by it; what draws nothing, by each."""
    sparsities = settings.sweep.sparsities
    wanted = [v for v in curves if v.sparsity or 0 in sparsities]
    planned = schedules(
        model,
        settings.trainings[0].objective,
        len(wanted),
        [settings.steps[variant.sparsity] for variant in wanted],
        [settings.learning_rates[variant.sparsity] for variant in wanted],
        settings.numbers.warmup,
    )
    for variant, schedule in zip(wanted, planned, strict=True):
        for training in settings.trainings:
            if variant.recipe.seed in (None, training.seed):
                calibrated = variant.sparsity and variant.recipe.calibrated
                own = rows if calibrated else None
                yield Job.of(model, variant, training, schedule, own)


def _points(
    variants: list[Variant],
    settings: FineTuning,
    given: Inputs,
    answers: Journal,
    shown: Shown,
) -> list[Point]:
    """The answers to the test questions, as the sweep asks them."""
    sweep, model = settings.sweep, variants[0].model
    options = {
        "batch_tokens": sweep.batch_tokens, "journal": answers, "progress": shown,
    }  # fmt: skip
    read = texts.read(given.texts, model.config, model.tokenizer, sweep.text_tokens)
    losses = text_loss.evaluate(variants, read, details=sweep.text_details, **options)
    (presentation,) = sweep.presentations
    return list(evaluate(variants, given.questions, presentation, losses, **options))


def _metrics(
    name: str, tuning: Finetuning, jobs: list[Job]
) -> Iterator[dict[str, Any]]:
    """Rows of metrics.jsonl, those of a training once."""
    done = set()
    for job in jobs:
        if (key := tuning.key(job)) in done:
            continue
        done.add(key)
        recipe = job.variant.recipe
        # Trained whole, the model is no method's yet: several prune it afterwards.
        dense = not job.variant.sparsity or job.training.schedule == "dense"
        for row in tuning.metrics(job):
            yield {
                "step": row["step"],
                "model": name,
                "method": "dense" if dense else recipe.method,
                "pattern": None if dense else recipe.pattern,
                **row,
            }
