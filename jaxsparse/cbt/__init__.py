"""Questions of the Children's Book Test or any cloze, as `Question` records."""

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
from jaxsparse.cbt.readers import may_hold_a_task, read, read_questions

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
    "may_hold_a_task",
    "most_frequent_option",
    "read",
    "read_questions",
    "select",
]
