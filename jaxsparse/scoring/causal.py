"""Causal models: the option, then the rest of the query, given everything before."""

from collections.abc import Mapping

import numpy as np

from jaxsparse.scoring.encoded import QuestionRows, TokenRows, pack

START = "first"  # what stands in front of a row, see `weights.tokenizer.first_token`


def packed(tokens: TokenRows, special: Mapping[str, int]) -> QuestionRows:
    """One row for all options, scored from the option to the end of the text.

    Source: Radford et al. (2019), section 3.2.
    """
    head = tokens.head
    if any(len(head) + first == 0 for first in tokens.first):
        # A scored token would be a row's first, with nothing to predict it.
        head = np.array([special[START]], np.int32)
    row, terms = pack(head, tokens.texts(), tokens.first)
    return QuestionRows((row,), terms)
