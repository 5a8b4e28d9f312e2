"""The flags of what a sweep, or a report, leaves behind: where, and what it claims."""

from absl import flags

from jaxsparse.types import InputError

flags.DEFINE_string(
    "out", None, "directory of the results (default, of a sweep: results/…)"
)
flags.DEFINE_float(
    "margin", None, "points of accuracy, 0 to 100: say up to which sparsity a loss of "
    "more than that is excluded"
)  # fmt: skip
flags.DEFINE_boolean("verbose", False, "print every table, not the summary alone")


def margin() -> float | None:
    """--margin as a fraction.

    Raises:
        InputError: it is no number from 0 to 100.
    """
    points = flags.FLAGS.margin
    if points is None:
        return None
    if not 0 <= points <= 100:
        raise InputError(f"--margin={points:g}: give points of accuracy, 0 to 100")
    return points / 100
