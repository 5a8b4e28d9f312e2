"""What training takes, against arrays that are there; and what is said of it."""

import jax
import numpy as np
import pytest

from jaxsparse.finetuning import memory
from jaxsparse.finetuning.memory import Need
from jaxsparse.finetuning.trained import trained_shapes
from jaxsparse.training.training import LEGAL, Training
from jaxsparse.types import InputError
from tests.finetuning.school import (
    NUMBERS,
    pruned,
    run_of,
    trainer_of,
    tuned,
    watch,
)

GB = 10**9


@pytest.mark.parametrize("train", LEGAL["train"])
def test_the_state_is_as_many_bytes_as_it_says(loaded, monkeypatch, train):
    """State, sums of the gradient and what is not trained; while a gradient is taken
    it is there too, and kernels that had to be made for it."""
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    trainer = trainer_of(model, start, Training(train=train))
    there = []

    def look(_, state):
        there.append(state)

    watch(monkeypatch, look)
    trainer.run([run_of(start, steps=1)], None)
    (state,) = there
    trained = state["trained"]
    arrays = [*jax.tree.leaves(state), *trained.values()]  # and sums of the gradient
    if train != "all":
        arrays += [leaf for path, leaf in model.params.items() if path not in trained]
    if train == "masklora":
        assert not trained.keys() & model.params.keys()
    actual = sum(leaf.nbytes for leaf in arrays if leaf.ndim)  # but for a counter
    gradient = sum(leaf.nbytes for leaf in trained.values())
    shapes = {path: leaf.shape for path, leaf in model.params.items()}
    paths = model.prunable("blocks")
    assert {path: leaf.shape for path, leaf in trained.items()} == trained_shapes(
        shapes, paths, train, NUMBERS.rank
    )
    said = memory.state_bytes(
        shapes, {path: leaf.shape for path, leaf in trained.items()}, paths
    )
    merged = {"all": 0, "norms,biases": 1, "masklora": 2}[train]
    merged *= sum(model.params[path].nbytes for path in paths)
    assert said == actual + gradient + merged


def test_a_need_names_what_would_fit():
    need = Need(2 * GB, 3 * GB, 4 * GB)
    fits, does_not = Need(2 * GB, 3 * GB, GB), Need(2 * GB, 3 * GB, 5 * GB)
    instead = [("`a=4`", does_not), ("`a=2`", fits), ("`a=1`", fits), ("`b`", does_not)]
    memory.check(need, 0, instead, "m")  # nothing says how much there is
    memory.check(need, 10 * GB, instead, "m")
    said = (
        r"^m: training takes about 9\.0 GB \(weights and moments 5\.0 GB, activations "
        r"4\.0 GB\), and 8\.0 GB are there; `a=2` would fit$"
    )
    with pytest.raises(InputError, match=said):
        memory.check(need, 8 * GB, instead, "m")
    with pytest.raises(InputError, match=r"; no change here fits$"):
        memory.check(need, GB, instead, "m")
    assert need.of(3) == Need(2 * GB, 9 * GB, 12 * GB)


@pytest.mark.parametrize(
    ("share", "fitting"),
    [
        (0.999, "`remat=true` or `train=norms,biases` or both `train.* would fit"),
        (0.01, "no change here fits"),
    ],
)
def test_training_that_does_not_fit_is_refused_before_it_starts(
    loaded, monkeypatch, share, fitting
):
    model = loaded("gpt2")
    needs, check = [], memory.check
    monkeypatch.setattr(memory, "check", lambda *given: needs.append(given))
    monkeypatch.setattr("jaxsparse.finetuning.run.Trainer.run", nothing)
    with pytest.raises(StopIteration):
        tuned(model, pruned(model, 0.5))
    ((need, _, instead, _),) = needs
    assert need.model == sum(leaf.nbytes for leaf in model.params.values())
    others = dict(instead)
    assert all(0 < other.total <= need.total for other in others.values())
    assert others["`remat=true`"].total < need.total
    monkeypatch.setattr(memory, "check", check)
    there = share * need.total / memory.USABLE
    monkeypatch.setattr(memory, "available", lambda _: int(there))
    with pytest.raises(InputError, match=f"{fitting}$"):
        tuned(model, pruned(model, 0.5))
    # As many at once as are asked for count.
    monkeypatch.setattr(memory, "available", lambda _: int(1.5 * need.total))
    several = type(NUMBERS)(**{**vars(NUMBERS), "at_once": 3})
    with pytest.raises(InputError, match=r"; `at_once=1` (or .*)?would fit$"):
        tuned(model, pruned(model, 0.3, 0.4, 0.5), settings=several)


def nothing(*_):
    raise StopIteration


def test_what_a_machine_says_of_its_memory(monkeypatch, tmp_path):
    about = tmp_path / "meminfo"
    about.write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\n")
    limits = [tmp_path / name for name in ("one", "two", "three")]
    limits[0].write_text("max\n")
    limits[1].write_text("300000\n")
    monkeypatch.setattr(memory, "_MEMORY", about)
    monkeypatch.setattr(memory, "_LIMITS", tuple(limits[:1]))
    assert memory.available() == 500 * 1024
    assert memory.available(7) == 500 * 1024 + 7  # loaded before it was asked
    monkeypatch.setattr(memory, "_LIMITS", tuple(limits))
    assert memory.available() == 300000
    monkeypatch.setattr("jaxsparse.device.memory", lambda: 7)
    assert memory.available() == 7
    monkeypatch.undo()
    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "none")
    monkeypatch.setattr(memory, "_LIMITS", ())
    assert memory.available() == 0


def test_layers_computed_again_keep_less_and_more_rows_more(loaded):
    config = loaded("gpt2").config
    lengths = {"tokens": 64, "scored": 8}

    def of(rows, remat=False, layers=3):
        return memory.activation_bytes(config, layers, lengths, rows, 4, remat)

    assert of(2, remat=True) < of(2) == of(4) / 2
    # Behind the first, a layer adds what goes into it alone.
    added = of(1, True, 4) - of(1, True, 3)
    assert added == 64 * config.hidden * 4
    assert np.isclose(of(1, layers=6) - of(1), of(1) - of(1, layers=0))


def test_who_is_asked_beside_counts_and_logits_at_once(loaded):
    config = loaded("gpt2").config
    lengths = {"tokens": 64, "scored": 8}

    def of(distill="none", targets=None):
        return memory.activation_bytes(
            config, 3, lengths, 2, 4, False, distill, targets
        )

    states = 2 * 3 * 2 * 64 * config.hidden * 4  # both models', of every layer
    assert of() < of("options")
    assert of() + states < of("hidden")
    assert of() - of(targets=4) == 3 * 4 * (16 - 4) * config.vocab
    assert of(targets=99) == of()
