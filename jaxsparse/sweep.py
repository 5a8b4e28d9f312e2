"""The whole accuracy-versus-sparsity curve in one job: variants of one model, all
questions, and a journal of what is known already.

Nothing here knows how a variant came to be. Dense is scored once and is the point at
sparsity 0 of every method.
"""

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from types import ModuleType

from jaxsparse import capacity, hosts, parallel, sparse, text_loss, variants
from jaxsparse import texts as text_reading
from jaxsparse.calibration import Calibration, bundled
from jaxsparse.cbt import Question
from jaxsparse.draws import with_redraw
from jaxsparse.evaluation import Scorer, ScoringPlan
from jaxsparse.execution import executed
from jaxsparse.inquiry import Inquiry, answer_key
from jaxsparse.journal import Journal
from jaxsparse.model import Model
from jaxsparse.one_shot import OneShot
from jaxsparse.points import Point, TextLoss
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Recipe
from jaxsparse.sparse import Execution
from jaxsparse.texts import Text
from jaxsparse.types import Presentation
from jaxsparse.variants import Variant


def sweep(
    model: Model,
    questions: Sequence[Question],
    methods: str | Recipe | Sequence[str | Recipe] = ("magnitude",),
    sparsities: Sequence[float] = (0, 0.1, 0.5, 0.9, 0.99),
    presentations: Sequence[Presentation] = (Presentation(),),
    *,
    calibration: Calibration | None = None,
    texts: Sequence[str | Text] = (),
    redraws: Mapping[int, Calibration | None] | None = None,
    text_tokens: int = 0,
    text_details: bool = False,
    batch_tokens: int = 0,
    levels_at_once: int = 0,
    execution: str | Execution = "dense",
    journal: Journal | None = None,
    progress: Progress = NOBODY,
) -> Iterator[Point]:
    """Prunes one model by every method at every sparsity, and evaluates all of them.

    Args:
        methods: by name, or recipes where there is more to say than the method; with
            one prunable set.
        sparsities: fractions; 0 means dense, which is scored in any case. A pattern N:M
            has one of its own instead.
        presentations: how the questions are put to the model, one after another.
        calibration: the rows that methods with statistics are told by; None: windows
            of the bundled stories, where there are such methods. With it, errors of
            reconstruction are measured, see `one_shot.reconstruction`.
        texts: running text that is predicted, beside the questions, at every point.
        redraws: further seeds, and rows of calibration where there are such methods:
            with each, texts alone are predicted by what draws or is calibrated.
        text_tokens: of a window; 0: the model's limit, at most 1,024.
        text_details: whether points keep the nats of every token.
        batch_tokens: rows x length that a batch may have; 0: what suits the device.
        levels_at_once: variants evaluated by one call, of any method and seed; memory
            grows with them. 0: as many as the device takes.
        execution: dense; sparse, where linear layers multiply only the weights that are
            kept; or auto, where those do that gain by it.
        journal: where answers are looked up first and kept; without one, in memory.
        progress: is told how far things are.

    Yields:
        the points of each presentation, recipe by recipe, sparsity ascending from
        dense; of several processes, in the first one, which alone has the old answers.

    Raises:
        InputError: what a method does not define; scores that are not finite; a journal
            that cannot be written; a text shorter than a window, or no token predicted;
            what is not executed so.
        ValueError: no method, several prunable sets, or a negative `levels_at_once`.
    """
    if isinstance(methods, str | Recipe):
        methods = [methods]
    recipes = [
        method if isinstance(method, Recipe) else Recipe(method) for method in methods
    ]
    recipes = list(dict.fromkeys(recipes))
    if len({recipe.prunable for recipe in recipes}) != 1:
        raise ValueError("a sweep takes methods of one prunable set, at least one")
    if isinstance(execution, str):
        asked, execution = execution, Execution.of(execution, model.dtype, model.mesh)
        if asked != execution.kind and progress is NOBODY:
            warnings.warn(execution.notes[0], stacklevel=2)
    divided = model.mesh is not None
    sparse.check(execution.kind, model.dtype, divided, levels_at_once)
    read = text_reading.read(texts, model.config, model.tokenizer, text_tokens)
    model = variants.prunable_model(model, recipes[0].prunable)
    dense = variants.dense(model, recipes[0])
    if calibration is None:
        seeds = [recipe.seed or 0 for recipe in recipes if recipe.calibrated]
        calibration = bundled(model, seed=seeds[0]) if seeds else None
    pruner = OneShot(model, calibration, journal and journal.directory, progress)
    pruner.expect(recipes, sparsities)
    pruned = [pruner.variants(recipe, sparsities) for recipe in recipes]
    measured = pruner.measured(list(chain.from_iterable(pruned)))
    if model.execution == "dense":
        dense, *measured = executed([dense, *measured], execution)
    in_order = iter(measured)
    curves: list[Variant] = []
    for recipe, of_recipe in zip(recipes, pruned, strict=True):
        curves.append(replace(dense, recipe=recipe))
        curves += islice(in_order, len(of_recipe))
    while execution.notes:
        progress.note(execution.notes.pop(0))
    options = {
        "batch_tokens": batch_tokens, "levels_at_once": levels_at_once,
        "journal": journal, "progress": progress,
    }  # fmt: skip
    losses = text_loss.evaluate(curves, read, details=text_details, **options)
    for seed, rows in (redraws or {}).items() if read else ():
        directory = journal and journal.directory
        losses = with_redraw(
            losses, curves, read, seed, rows, directory, execution, **options
        )
    for presentation in presentations:
        yield from evaluate(curves, questions, presentation, losses, **options)
    pruner.forget()


def evaluate(
    curves: Sequence[Variant],
    questions: Sequence[Question],
    presentation: Presentation,
    losses: Mapping[str, tuple[TextLoss, ...]] | None = None,
    *,
    batch_tokens: int = 0,
    levels_at_once: int = 0,
    journal: Journal | None = None,
    progress: Progress = NOBODY,
    scorer: Scorer | None = None,
) -> Iterator[Point]:
    """Asks variants of one model all questions; see `sweep`.

    Args:
        curves: the first is the dense model, with which all are compared. Those of one
            identity are scored once.
        losses: on running text, as `text_loss.evaluate` gives them.
        scorer: that of an earlier call, with what it has compiled; then
            `levels_at_once` is its own.

    Yields:
        the point of each variant, in their order.
    """
    if levels_at_once < 0:
        raise ValueError(f"levels_at_once is {levels_at_once}; at least 1, or 0")
    dense = curves[0]
    model = dense.model
    plan = ScoringPlan.of(
        questions,
        presentation,
        model.blueprint.family,
        model.config,
        model.tokenizer,
        batch_tokens=batch_tokens
        or capacity.batch_tokens(model, dense.recipe.prunable),
        rows_multiple=parallel.rows_multiple(model.mesh),
        form=model.form,
        readings=journal.readings if journal else None,
        progress=progress,
    )
    unique: dict[str, Variant] = {}
    for variant in curves:
        unique.setdefault(answer_key(variant, presentation), variant)
    if scorer is None:
        most = len(unique)
        at_once = min(levels_at_once, most) or capacity.levels_at_once(
            model, max((v.shapes for v in unique.values()), key=len), plan.shapes, most
        )
        scorer = Scorer(
            at_once, model.compiler_options, model.mesh, progress, model.form
        )
    inquiry = Inquiry(unique, plan, journal or Journal(), progress)
    inquiry.score_unknown(scorer)
    points: list[Point] = []
    with hosts.together():
        if hosts.is_first():
            points += inquiry.points(curves, scorer, losses or {})
    yield from points


class _Callable(ModuleType):
    """`jaxsparse.sweep` names this module once it is imported, and the function where
    it is asked for first; so the module may be called like the function."""

    __call__ = staticmethod(sweep)


sys.modules[__name__].__class__ = _Callable
