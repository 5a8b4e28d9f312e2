"""Models and questions, checked in that order, before any weights are loaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jax.sharding import Mesh

from experiments import calibrating, paths
from experiments.flags import Settings
from experiments.prune_settings import Asking
from experiments.values import comma_hint
from jaxsparse import cbt, one_shot, parallel, scoring, texts
from jaxsparse.calibration import Calibration
from jaxsparse.model import Blueprint, check_values, open_model, parameter_bytes
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Recipe
from jaxsparse.texts import Text
from jaxsparse.types import InputError


@dataclass(frozen=True)
class Inputs:
    models: tuple[Blueprint, ...]  # names unique within the run
    questions: tuple[cbt.Question, ...]
    usable: int  # questions that could be asked
    malformed: tuple[cbt.Malformed, ...]  # left out
    unread: tuple[str, ...]  # keys of a task's rows, and how many have each
    texts: tuple[Text, ...]
    calibrations: Mapping[
        str, Calibration
    ]  # by model; none where nothing is calibrated
    redraws: Mapping[int, Mapping[str, Calibration]]  # the same, by further seeds
    overlap: int  # matches of the questions' sentences in the text they are made of


@dataclass(frozen=True)
class Questions:
    """Of one split."""

    asked: tuple[cbt.Question, ...]
    usable: int  # that could be asked
    malformed: tuple[cbt.Malformed, ...]  # left out
    unread: tuple[str, ...]  # keys of a task's rows, and how many have each
    read: tuple[cbt.Question, ...]  # all that are not malformed by themselves


def open_models(names: Sequence[str]) -> tuple[Blueprint, ...]:
    """Opens every model, by headers only, and makes their names unique."""
    models: list[Blueprint] = []
    for name in names:
        try:
            model = open_model(name)
        except InputError as error:
            raise InputError(f"{error}{comma_hint(names, name, hub=True)}") from None
        try:
            scoring.check_tokenizer(model.tokenizer, model.config)
        except InputError as error:
            raise InputError(f"{model.checkpoint.directory}: {error}") from None
        taken = {other.name for other in models}
        number, unique = 1, model.name
        while unique in taken:
            number += 1
            unique = f"{model.name}-{number}"
        models.append(replace(model, name=unique))
    return tuple(models)


def read_inputs(
    settings: Settings,
    progress: Progress = NOBODY,
) -> Inputs:
    """Raises InputError for the first thing that is wrong: models, how they are to be
    pruned, texts, questions.

    Values of weights are looked at here only if there are several models: the last
    must be known to be sound before the first is scored.
    """
    models = open_models(settings.models)
    check_recipes(models, settings.recipes, settings.sparsities)
    predicted = _read_texts(models, settings)
    progress.stage("reading calibration", patient=True)
    calibrated_on = calibrating.texts_of(settings)
    calibrations = calibrating.rows_of(models, calibrated_on, settings)
    redraws = {
        seed: calibrating.rows_of(models, calibrated_on, replace(settings, seed=seed))
        for seed in settings.seeds[1:]
    }
    questions = read_questions(models, settings, settings.split, progress)
    # Those that are not asked this time are questions of the same stories.
    overlap = calibrating.overlap(calibrated_on, questions.read, settings)
    if len(models) > 1:
        for model in models:
            check_values(model, settings.dtype, progress)
    return Inputs(
        models,
        questions.asked,
        usable=questions.usable,
        malformed=questions.malformed,
        unread=questions.unread,
        texts=predicted,
        calibrations=calibrations,
        redraws=redraws,
        overlap=overlap,
    )


def read_questions(
    models: Sequence[Blueprint],
    settings: Settings | Asking,
    split: str | None,
    progress: Progress = NOBODY,
) -> Questions:
    """Raises InputError for what is wrong with the questions of a split."""
    progress.stage("reading questions", patient=True)
    reading = cbt.read(settings.data, split, settings.word_classes)
    progress.stage("checking questions", len(reading.questions), patient=True)
    unusable = {}
    for question in reading.questions:
        if (reason := _unusable(question, models, settings)) is not None:
            unusable[question.id] = reason
        progress.done(1)
    malformed = (*reading.malformed, *unusable.values())
    cbt.check(malformed, settings.skip_malformed)
    usable = [q for q in reading.questions if q.id not in unusable]
    seed = settings.seed if settings.sample == "random" else None
    questions = cbt.select(usable, settings.num_examples, seed)
    if not questions:
        raise InputError(
            f"--data={settings.data}: every question is malformed, such as "
            f"{malformed[0]}; mend the data"
        )
    for model in models:
        _check_tokens(model, questions, settings)
    return Questions(
        questions, len(usable), malformed, reading.unread, reading.questions
    )


def check_recipes(
    models: Sequence[Blueprint],
    recipes: Sequence[Recipe],
    sparsities: Sequence[float],
) -> None:
    """Raises InputError for a recipe that a model lacks something for."""
    asking = [
        recipe
        for recipe in recipes
        if recipe.calibrated or recipe.structured or recipe.own_sparsity is not None
    ]
    for model in models if asking else ():
        shapes = one_shot.leaf_shapes(model, asking[0].prunable)
        try:
            for recipe in asking:
                one_shot.check_recipe(model, recipe, shapes, sparsities)
        except InputError as error:
            raise InputError(f"{model.name}: {error}") from None


def _read_texts(models: Sequence[Blueprint], settings: Settings) -> tuple[Text, ...]:
    """The texts, called by the last component of their path where one alone has it."""
    files = [Path(name) for name in settings.texts if name != paths.BUNDLED_TEXT]
    often = Counter(file.name for file in files)
    found = tuple(
        Text(
            file.name if often[file.name] == 1 else str(file),
            paths.read_text("text", file),
        )
        for file in files
    )
    if paths.BUNDLED_TEXT in settings.texts:
        stories = "\n".join(cbt.bundled_texts("validation"))
        found = (Text(paths.BUNDLED_TEXT, stories), *found)
    for model in models:
        try:
            texts.read(found, model.config, model.tokenizer, settings.text_tokens)
        except InputError as error:
            raise InputError(f"{model.name}: {error}") from None
    return found


def _check_tokens(
    model: Blueprint, questions: Sequence[cbt.Question], settings: Settings | Asking
) -> None:
    """Words added to a tokenizer must not stand in any text of the run."""
    try:
        scoring.check_tokens(
            questions,
            model.tokenizer,
            model.config,
            settings.presentations,
        )
    except InputError as error:
        raise InputError(f"{model.checkpoint.directory}: {error}") from None


def mesh_of(
    model: Blueprint, axes: parallel.Axes | None, dtype: str, levels: int = 1
) -> Mesh | None:
    """--mesh, or what suits the model: at each level beside its dense parameters there
    are pruned ones, and twice those while several levels are stacked."""
    copies = 2 if levels == 1 else 1 + 2 * levels
    return parallel.mesh_for(axes, copies * parameter_bytes(model, dtype))


def _unusable(
    question: cbt.Question, models: Sequence[Blueprint], settings: Settings | Asking
) -> cbt.Malformed | None:
    """Why one of the run's models cannot answer a question, if so: then none is asked,
    so that all answer the same questions."""
    for model in models:
        for presentation in settings.presentations:
            try:
                scoring.check_usable(
                    question, model.tokenizer, model.config, presentation
                )
            except scoring.Unusable as error:
                file, _, line = question.source.rpartition(":")
                reason = f"{model.name}, {presentation.protocol}: {error}"
                if presentation.context_tokens:
                    reason += f" (--context_tokens={presentation.context_tokens})"
                return cbt.Malformed(file, int(line), reason, question.id)
            except InputError as error:
                raise InputError(f"{model.checkpoint.directory}: {error}") from None
    return None
