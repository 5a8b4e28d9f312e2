"""Recipes: what a method's name stands for, what is filled in, and what is refused."""

import pytest

from jaxsparse.pruning import METHODS, UPDATES, Criterion, Recipe
from jaxsparse.types import InputError


def test_what_neither_draws_nor_is_calibrated_has_no_seed():
    assert Recipe("magnitude", seed=3).seed is None
    for method in "random", "wanda", "magnitude+bias", "gradient":
        assert Recipe(method, seed=3).seed == 3
    assert Recipe("magnitude", seed=3, allocation="owl").seed == 3
    assert Recipe("magnitude", seed=3, allocation="erk").seed is None
    with pytest.raises(InputError, match="`seed=-1`"):
        Recipe("wanda", seed=-1).check()


def test_scope_defaults_to_the_method_and_is_refused_by_name():
    assert Recipe("magnitude").scope == "matrix"
    assert Recipe("wanda").scope == "output"
    assert Recipe("ria+bias").scope == "matrix"
    assert Recipe("random", "global").scope == "global"
    message = "`scope=row`: method magnitude defines matrix, output, global"
    with pytest.raises(InputError, match=message):
        Recipe("magnitude", "row").check()
    with pytest.raises(InputError, match=r"`scope=global`: method wanda\+bias defines"):
        Recipe("wanda+bias", "global").check()


def test_what_is_unknown_is_told_what_there_is():
    for wrong in "fancy", "", "fancy+bias", "a+b.py", "my.py", "my:f":
        with pytest.raises(InputError, match=r"magnitude, random, .*, or FILE"):
            Recipe(wrong)
    for wrong in "wanda+", "wanda+obs", "wanda+bias+bias", "x.pyx+bias:f":
        with pytest.raises(InputError, match=f"there are .*{', '.join(UPDATES)}|FILE"):
            Recipe(wrong)


def test_what_solves_has_an_update_of_its_own(monkeypatch):
    solver = Criterion(lambda *given: None, ("block",), ("gram",), solves=True)
    monkeypatch.setitem(METHODS, "solver", solver)
    Recipe("solver").check()
    with pytest.raises(InputError, match=r"solver has .* own; leave \+bias out"):
        Recipe("solver+bias")


@pytest.mark.parametrize(
    ("pattern", "own"), [("2:4", 0.5), ("4:8", 0.5), ("1:4", 0.75), ("31:32", 1 / 32)]
)
def test_n_of_m_is_one_sparsity(pattern, own):
    recipe = Recipe("wanda", pattern=pattern)
    recipe.check()
    assert recipe.own_sparsity == own
    assert Recipe("wanda").own_sparsity is None


WRONG_PATTERNS = ("02:4", "2:04", "4:4", "4:2", "0:4", "1:33", "2:4 ", "2/4", "", "२:४")


@pytest.mark.parametrize("pattern", WRONG_PATTERNS)
def test_patterns_are_written_in_one_way(pattern):
    with pytest.raises(InputError, match=f"`pattern={pattern}`: neither unstructured"):
        Recipe("magnitude", pattern=pattern).check()


@pytest.mark.parametrize("allocation", ["erk", "owl"])
def test_allocation_is_over_matrices_that_do_not_compete(allocation):
    Recipe("magnitude", allocation=allocation).check()
    for given, message in (
        ({"scope": "global"}, "the scores allocate"),
        ({"pattern": "2:4"}, "takes the same of every matrix"),
    ):
        with pytest.raises(InputError, match=f"`allocation={allocation}`: .*{message}"):
            Recipe("magnitude", allocation=allocation, **given).check()
    with pytest.raises(InputError, match="`allocation=er`: there are uniform, erk"):
        Recipe("magnitude", allocation="er").check()


ORDERS = {
    "magnitude": ("", ()),
    "random": ("", ()),
    "wanda": ("sequential", ("squares",)),
    "ria+bias": ("sequential", ("mean", "squares")),
    "magnitude+bias": ("sequential", ("mean",)),
    "gradient": ("dense", ("gradient",)),
    "fisher": ("dense", ("fisher",)),
    "fisher+bias": ("sequential", ("mean", "fisher")),
    "magnitude+reconstruct": ("sequential", ()),
    "wanda+reconstruct": ("sequential", ("squares",)),
    "sparsegpt+reconstruct": ("sequential", ("gram",)),
}


@pytest.mark.parametrize("method", ORDERS)
def test_each_method_has_its_own_order_of_statistics(method):
    own, needs = ORDERS[method]
    recipe = Recipe(method)
    recipe.check()
    assert (recipe.statistics, recipe.needs) == (own, needs)
    assert recipe.calibrated == bool(own)
    for order in "sequential", "dense":
        given = Recipe(method, statistics=order)
        if own == "" or (own, order) == ("dense", "sequential"):
            with pytest.raises(InputError, match=f"`statistics={order}`: {method}"):
                given.check()
        else:
            given.check()
            assert given.statistics == order
    with pytest.raises(InputError, match="`statistics=both`: "):
        Recipe(method, statistics="both").check()


def test_owl_is_calibrated_whatever_the_method():
    assert Recipe("magnitude", allocation="owl").calibrated
    assert Recipe("magnitude", allocation="owl").statistics == ""


def test_a_table_may_name_a_method_of_a_newer_version_and_of_somebodys_file(tmp_path):
    """Neither is known here, and the file is not run for it."""
    file = tmp_path / "own.py"
    file.write_text("raise SystemExit('run')")
    for method in "newer", "wanda+newer", f"{file}:f":
        row = {
            "method": method, "scope": "block", "prunable": "blocks",
            "pattern": "2:4", "seed": 3, "allocation": "uniform", "statistics": "",
        }  # fmt: skip
        recipe = Recipe.written(**row)
        assert vars(recipe) == row
        assert recipe == Recipe.written(**row)
        assert len({recipe, Recipe.written(**row)}) == 1
    older = Recipe.written(method="magnitude", scope="matrix", prunable="all", seed=7)
    assert older == Recipe("magnitude", prunable="all")
