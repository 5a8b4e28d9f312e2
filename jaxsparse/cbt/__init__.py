"""Children's Book Test questions: from files or the hub to `Question` records."""

from jaxsparse.cbt.baselines import chance, frequency_prior, most_frequent_option
from jaxsparse.cbt.detokenize import STYLES, detokenize
from jaxsparse.cbt.questions import (
    BLANK,
    CLASS_NAMES,
    SPLITS,
    WORD_CLASSES,
    Malformed,
    Question,
    Reading,
    check,
    select,
)
from jaxsparse.cbt.readers import read

__all__ = [
    "BLANK",
    "CLASS_NAMES",
    "SPLITS",
    "STYLES",
    "WORD_CLASSES",
    "Malformed",
    "Question",
    "Reading",
    "chance",
    "check",
    "detokenize",
    "frequency_prior",
    "most_frequent_option",
    "read",
    "select",
]
