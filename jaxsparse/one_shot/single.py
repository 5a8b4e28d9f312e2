"""One model at one sparsity."""

from jaxsparse import pruning, variants
from jaxsparse.calibration import Calibration, bundled
from jaxsparse.model import Model
from jaxsparse.one_shot.pruner import OneShot
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Recipe
from jaxsparse.types import InputError
from jaxsparse.variants import Variant


def prune(
    model: Model,
    method: str = "magnitude",
    sparsity: float | None = None,
    *,
    scope: str = "",
    prunable: str = "blocks",
    pattern: str = pruning.UNSTRUCTURED,
    seed: int = 0,
    allocation: str = "uniform",
    statistics: str = "",
    calibration: Calibration | None = None,
    progress: Progress = NOBODY,
) -> Variant:
    """Prunes a model at one sparsity.

    Args:
        method: `criterion[+update]`, of `pruning.METHODS` and `pruning.UPDATES`, or
            FILE.py:NAME for a criterion of one's own.
        sparsity: the fraction of the prunable weights to zero, or of the neurons,
            layers or heads to remove; at 0 the dense model. By default 0.5, or that of
            a pattern N:M, which takes no other.
        scope: the weights that compete: matrix, output or global; or the method's own.
        prunable: blocks, linear or all.
        pattern: unstructured; N:M: at most N of M consecutive inputs are kept; or
            neurons, layers or heads (of T5), which are removed: see `smaller`.
        seed: of methods that draw random numbers, and of the default calibration.
        allocation: the same for every matrix, uniform; or erk or owl.
        statistics: sequential or dense; or the method's own.
        calibration: the rows that methods with statistics are told by, as
            `jaxsparse.calibrate` makes them; None: windows of the bundled stories.

    Raises:
        InputError: what the method does not define; a sparsity that is no fraction, or
            not that of the pattern; inputs that the pattern does not divide.
    """
    recipe = Recipe(method, scope, prunable, pattern, seed, allocation, statistics)
    recipe.check()
    own = recipe.own_sparsity
    if own is not None and sparsity not in (None, own):
        raise InputError(
            f"`sparsity={sparsity}`: `pattern={pattern}` has {own:g} of its own; leave "
            "sparsity out"
        )
    if sparsity is None:
        sparsity = 0.5 if own is None else own
    sparsity = float(sparsity)
    if not sparsity:
        return variants.dense(model, recipe)
    model = variants.prunable_model(model, prunable)
    if calibration is None and recipe.calibrated:
        calibration = bundled(model, seed=seed)
    pruner = OneShot(model, calibration, progress=progress)
    (variant,) = pruner.measured(pruner.variants(recipe, [sparsity]))
    return variant
