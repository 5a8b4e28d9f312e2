"""Rows computed in parts are the rows together."""

import jax
import numpy as np
import pytest

from jaxsparse.models.apply import in_parts
from tests import rows


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
@pytest.mark.parametrize("tokens", [1, 25, 60, 1000])
def test_rows_in_parts_are_the_rows_together(variant, tokens, loaded):
    """Parts of one row, of two, of all; of four, the last of which is filled up."""
    model = loaded(variant)
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 10))
    made = jax.tree.map(lambda leaf: np.concatenate([leaf] * 4)[:7], made)
    assert len(made.tokens) == 7
    found = jax.jit(in_parts(model.apply, tokens))(model.params, made)
    expected = jax.jit(model.apply)(model.params, made)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
