"""What is executed sparsely, and what is refused."""

import jax
import numpy as np
import pytest

from jaxsparse import sparse
from jaxsparse.sparse import execution
from jaxsparse.types import InputError

FASTER = "smaller shapes are faster there: `pattern=neurons` or `pattern=layers`"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("fast", "float32", False), "choose one of dense, sparse, auto"),
        (("sparse", "bfloat16", False), "float32 only, not `dtype=bfloat16`"),
        (("auto", "float32", True), f"`mesh=data:1` has it, not on several; {FASTER}"),
        (("sparse", "float32", False, 2), "not `levels_at_once=2`; leave it out"),
    ],
)
def test_what_is_not_executed_so_is_refused(given, said):
    with pytest.raises(InputError, match=rf"`execution={given[0]}`: .*{said}"):
        sparse.check(*given)
    sparse.check("dense", *given[1:])


def test_accelerators_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(InputError, match=f"on CPUs only, not on tpu; {FASTER}"):
        sparse.Execution.of("auto", "float32", None)


def test_a_mesh_is_refused():
    mesh = jax.make_mesh((1, 1), ("data", "model"))
    with pytest.raises(InputError, match="on one device"):
        sparse.Execution.of("sparse", "float32", mesh)


def test_without_a_kernel_all_is_dense_and_it_is_said(monkeypatch):
    def unavailable():
        raise sparse.Unavailable("no compiler")

    monkeypatch.setattr(execution, "library", unavailable)
    found = sparse.Execution.of("sparse", "float32", None)
    assert found.kind == "dense"
    assert found.notes == ["all execution is dense instead of sparse: no compiler"]


@pytest.mark.usefixtures("library")
def test_a_leaf_is_divided_by_the_zeros_of_its_layers(monkeypatch):
    monkeypatch.setattr(execution, "crossover", lambda *_: 0.5)
    random = np.random.default_rng(0)
    draws = random.random((3, 20, 10))
    bounds = np.array([0.9, 0.2, 0.4])[:, None, None]
    leaf = np.where(draws < bounds, draws, 0).astype(np.float32)
    auto = sparse.Execution("auto")
    kernel = sparse.by_zeros(leaf, auto)
    assert kernel.place.tolist() == [0, -1, -1]
    np.testing.assert_array_equal(kernel.dense, leaf[:1])
    assert sparse.kept(kernel) == np.count_nonzero(leaf)
    assert not isinstance(sparse.by_zeros(leaf[0], auto), sparse.SparseKernel)
    everything = sparse.by_zeros(leaf, sparse.Execution("sparse"))
    assert everything.dense.shape == (0, 20, 10)
    assert sparse.by_zeros(leaf, sparse.Execution()) is leaf
