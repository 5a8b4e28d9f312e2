"""Questions of the Children's Book Test or any cloze, as `Question` records."""

from jaxsparse.cbt.baselines import chance, frequency_prior, most_frequent_option
from jaxsparse.cbt.detokenize import STYLES, detokenize
from jaxsparse.cbt.overlap import overlaps, refuse_overlap
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
from jaxsparse.cbt.shortcuts import commonest_answer
from jaxsparse.cbt.texts import bundled_texts, context_texts, read_texts

__all__ = [
    "BLANK",
    "CLASS_NAMES",
    "SPLITS",
    "STYLES",
    "WORD_CLASSES",
    "Malformed",
    "Question",
    "Reading",
    "bundled_texts",
    "chance",
    "commonest_answer",
    "check",
    "context_texts",
    "detokenize",
    "frequency_prior",
    "may_hold_a_task",
    "most_frequent_option",
    "overlaps",
    "read",
    "read_questions",
    "read_texts",
    "refuse_overlap",
    "select",
]
