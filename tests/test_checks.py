"""The net under all other tests: shapes, types and warnings are really checked."""

import os
import warnings

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from jaxsparse.models import attention
from jaxsparse.models.inputs import CausalInputs

IDS = jnp.zeros((2, 3), jnp.int32)


def test_a_call_with_a_wrong_shape_or_type_is_an_error():
    attention.branch_mask(IDS)
    for wrong in (IDS[0], IDS.astype(float), [[0]]):
        with pytest.raises(TypeCheckError):
            attention.branch_mask(wrong)


def test_fields_that_disagree_about_an_axis_are_an_error():
    CausalInputs(IDS, IDS, IDS, IDS[:, :1])
    with pytest.raises(TypeCheckError):
        CausalInputs(IDS, IDS, IDS[:, :2], IDS)


def test_jax_may_rebuild_inputs_with_anything_for_arrays():
    made = CausalInputs(IDS, IDS, IDS, IDS)
    assert jax.tree.map(lambda _: None, made).tokens is None
    axes = jax.tree.map(lambda _: 0, made)
    summed = jax.vmap(lambda one: one.tokens.sum(), in_axes=(axes,))(made)
    assert summed.shape == (2,)


def test_warnings_are_errors():
    with pytest.raises(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_the_hub_is_out_of_reach():
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.skipif("JAXSPARSE_SEARCH" in os.environ, reason="a search is asked for")
def test_examples_are_the_same_every_day():
    drawn = []

    @given(st.integers())
    def draw(number):
        drawn.append(number)

    draw()
    first, drawn = drawn, []
    draw()
    assert drawn == first
    assert settings.default.database is None
