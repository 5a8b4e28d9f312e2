"""How points were trained, as tables say it: words, titles, and no JAX."""

import subprocess
import sys

import pytest

from jaxsparse.training.training import LEGAL, Training
from jaxsparse.types import InputError


@pytest.mark.parametrize(
    ("training", "title"),
    [
        (Training(), "choice"),
        (Training("both", "norms,biases", seed=3), "both, norms,biases"),
        (
            Training("lm", "masklora", "hidden", "gradual"),
            "lm, masklora, distill=hidden, gradual",
        ),
        (Training(schedule="dense"), "choice, dense"),
    ],
)
def test_a_title_says_the_objective_and_what_is_no_default(training, title):
    assert training.title == title


@pytest.mark.parametrize("name", LEGAL)
def test_words_that_are_not_legal_are_refused_with_those_that_are(name):
    for value in LEGAL[name]:
        assert getattr(Training(**{name: value}), name) == value
    listed = r" \| ".join(LEGAL[name])
    with pytest.raises(
        InputError, match=f"^`{name}=none such`: choose one .* {listed}$"
    ):
        Training(**{name: "none such"})


@pytest.mark.parametrize("seed", [-1, True])
def test_a_seed_is_an_integer_from_0_on(seed):
    with pytest.raises(InputError, match=f"^`seed={seed}`: not an integer"):
        Training(seed=seed)


def test_who_reads_tables_does_without_jax():
    said = "import sys, jaxsparse.training.training; print('jax' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
