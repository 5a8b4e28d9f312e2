"""A criterion of one's own, without touching the package."""

import hashlib

import numpy as np
import pytest

from jaxsparse.pruning import Recipe, prune_matrix
from jaxsparse.types import InputError
from tests.pruning.test_criteria import layer, statistics_of

WANDA = """
import dataclasses
import numpy as np

@dataclasses.dataclass
class Unused:
    power: "float" = 1.0

def mine(weights, statistics, generator):
    return abs(weights) * statistics.norms[:, None]
mine.needs = ("squares",)
mine.scopes = ["output"]

def drawn(weights, statistics, generator):
    return generator.random(weights.shape, "float32")
drawn.draws = True

def plain(weights, statistics, generator):
    return np.where(weights > 1, -np.inf, abs(weights)).astype("float32")

def wide(weights, statistics, generator):
    return weights.astype("float64")

def flat(weights, statistics, generator):
    return weights.ravel()

def nothing(weights, statistics, generator):
    pass

def writes(weights, statistics, generator):
    weights *= 2
    return weights

def hollow(weights, statistics, generator):
    return weights * np.float32("nan")

def asks(weights, statistics, generator): ...
asks.needs = ("norms",)

def text(weights, statistics, generator): ...
text.needs = "squares"

def nowhere(weights, statistics, generator): ...
nowhere.scopes = ()

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my+scores:1.py"
    path.write_text(WANDA, encoding="utf-8")
    return path


def pruned(method, seed=0):
    weights, seen, rows = layer(3)
    recipe, known = Recipe(method, seed=seed), statistics_of(seen, rows)
    return prune_matrix(recipe, weights, known, 0.5, "h/w", 2)


def test_a_function_is_taken_from_a_path_of_any_letters(file, monkeypatch):
    recipe = Recipe(f"{file}:mine+bias")
    recipe.check()
    assert (recipe.scope, recipe.needs) == ("output", ("mean", "squares"))
    assert recipe.source == hashlib.sha256(WANDA.encode()).hexdigest()
    expected = pruned("wanda+bias")
    monkeypatch.chdir(file.parent)
    for method in f"{file}:mine+bias", f"{file.name}:mine+bias":
        ours = pruned(method)
        np.testing.assert_array_equal(ours.mask, expected.mask)
        np.testing.assert_array_equal(ours.bias, expected.bias)


def test_attributes_are_those_of_a_criterion(file):
    plain, drawn = Recipe(f"{file}:plain", seed=3), Recipe(f"{file}:drawn", seed=3)
    assert (plain.scope, plain.needs, plain.seed) == ("matrix", (), None)
    Recipe(f"{file}:plain", "output").check()
    with pytest.raises(InputError, match="defines matrix, output"):
        Recipe(f"{file}:plain", "global").check()
    assert drawn.seed == 3
    expected = pruned("random", seed=3).mask
    np.testing.assert_array_equal(pruned(f"{file}:drawn", seed=3).mask, expected)
    assert (pruned(f"{file}:drawn", seed=4).mask != expected).any()


def test_no_weight_but_a_zero_is_scored_as_one(file):
    """Whoever gives minus infinity gets exact counts all the same."""
    mask = pruned(f"{file}:plain").mask
    assert np.count_nonzero(~mask) == mask.size // 2


WRONG = {
    "wide": r"gave float64 of shape \(32, 24\); float32 of",
    "flat": r"gave float32 of shape \(768,\); .*\(32, 24\)",
    "nothing": "gave object",
    "writes": "failed .ValueError: .*read-only",
    "hollow": "scores hold NaN",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_gives_is_looked_at(file, name):
    with pytest.raises(InputError, match=WRONG[name]) as told:
        pruned(f"{file}:{name}")
    assert str(told.value).startswith("h/w, layer 2: ")
    assert "\n" not in str(told.value)


NOT_USABLE = {
    "asks": r"its needs are \('norms',\); a tuple of mean, squares, gram",
    "nowhere": r"its scopes are \(\); a tuple of matrix, output, global",
    "missing": "has no function 'missing'; it has .*mine, drawn, plain",
    "number": "has no function 'number'",
    "": "has no function ''",
}


@pytest.mark.parametrize("name", NOT_USABLE)
def test_what_it_says_of_itself_is_looked_at(file, name):
    with pytest.raises(InputError, match=NOT_USABLE[name]):
        Recipe(f"{file}:{name}")


def test_one_need_may_be_a_text(file):
    assert Recipe(f"{file}:text").needs == ("squares",)


BROKEN = {
    "f(": "SyntaxError",
    "import nothing_such": "ModuleNotFoundError",
    "raise ValueError('a\\nb')": "ValueError: a b",
    "raise SystemExit(3)": "SystemExit",
    "\0": "does not run",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_does_not_run_is_one_line(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError, match=BROKEN[text]) as told:
        Recipe(f"{path}:f")
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in tmp_path / "none.py", tmp_path:
        with pytest.raises(InputError, match=r"cannot be read .*working"):
            Recipe(f"{path / 'none.py'}:f")
    (tmp_path / "directory.py").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        Recipe(f"{tmp_path / 'directory.py'}:f")
