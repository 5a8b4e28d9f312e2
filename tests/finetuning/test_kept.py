"""The best leaves: in memory or in a file alike."""

import json

import numpy as np
import pytest

from jaxsparse import whole
from jaxsparse.finetuning.kept import FINISHED, NAME, Kept
from jaxsparse.types import InputError


def leaves(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "h/attn/kernel": (3, 4, 5),
        "h/attn/bias": (3, 5),
        "wte/embedding": (7, 4),
    }
    return {
        path: rng.normal(size=shape).astype(np.float32)
        for path, shape in shapes.items()
    }


@pytest.mark.parametrize("in_file", [False, True])
def test_leaves_come_back_bit_for_bit_whole_or_by_layers(tmp_path, in_file):
    directory = tmp_path if in_file else None
    kept = Kept(directory)
    assert not kept.finished
    assert not kept.measured
    kept.write(leaves(1), {"step": 1})
    kept.write(leaves(2), {"step": 2})
    kept.finish(12.5)
    found = Kept(directory) if in_file else kept
    assert found.finished == in_file
    assert found.measured == kept.measured
    assert (found.measured["step"], found.measured["seconds"]) == (2, 12.5)
    for path, leaf in leaves(2).items():
        np.testing.assert_array_equal(found.leaf(path), leaf)
    kernel = leaves(2)["h/attn/kernel"]
    for number in range(3):
        layer = found.layer("h/attn/kernel", number)
        np.testing.assert_array_equal(layer, kernel[number])
        bias = found.layer("h/attn/bias", number)
        np.testing.assert_array_equal(bias, leaves(2)["h/attn/bias"][number])
    whole_leaf = found.layer("wte/embedding", 0)
    np.testing.assert_array_equal(whole_leaf, leaves(2)["wte/embedding"])


def test_the_digest_is_of_the_leaves(tmp_path):
    digests = set()
    for seed, directory in ((0, None), (0, tmp_path), (1, None)):
        kept = Kept(directory)
        kept.write(leaves(seed), {"step": seed})
        digests.add(kept.measured["digest"])
    assert len(digests) == 2


def test_a_full_disk_leaves_the_best_before(tmp_path, monkeypatch):
    kept = Kept(tmp_path)
    kept.write(leaves(1), {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "replace", full)
    said = f"^{tmp_path / NAME} could not be written .*No space.*; make room, and rep"
    with pytest.raises(InputError, match=said):
        kept.write(leaves(2), {"step": 2})
    with pytest.raises(
        InputError, match=f"^{tmp_path / FINISHED} could not be written"
    ):
        kept.finish(1.0)
    monkeypatch.undo()
    found = Kept(tmp_path)
    assert not found.finished
    assert found.measured["step"] == 1
    np.testing.assert_array_equal(found.leaf("h/attn/bias"), leaves(1)["h/attn/bias"])


@pytest.mark.parametrize("name", [NAME, FINISHED])
def test_damage_is_refused_by_the_file(tmp_path, name):
    kept = Kept(tmp_path)
    kept.write(leaves(), {"step": 1})
    kept.finish(1.0)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match=f"^{tmp_path / NAME} cannot be read .*remove"):
        Kept(tmp_path)


@pytest.mark.parametrize("said", ["", "[1]", "{}", "null", "\\xff", '{"digest": "0"}'])
def test_an_end_that_says_no_more_is_refused(tmp_path, said):
    kept = Kept(tmp_path)
    kept.write(leaves(), {"step": 1})
    (tmp_path / FINISHED).write_bytes(said.encode().replace(b"\\xff", b"\xff"))
    with pytest.raises(InputError, match=f"^{tmp_path / NAME} cannot be read .*remove"):
        Kept(tmp_path)


def test_weights_that_are_not_what_was_written_are_refused(tmp_path):
    for seed, name in enumerate(("one", "other")):
        (tmp_path / name).mkdir()
        kept = Kept(tmp_path / name)
        kept.write(leaves(seed), {"step": 1})
        kept.finish(1.0)
    file = tmp_path / "one" / NAME
    content = bytearray(file.read_bytes())
    content[-9] ^= 64
    file.write_bytes(content)
    with pytest.raises(InputError, match="its weights are damaged"):
        Kept(tmp_path / "one")
    file.write_bytes((tmp_path / "other" / NAME).read_bytes())
    with pytest.raises(InputError, match=f"{FINISHED} is of other weights"):
        Kept(tmp_path / "one")


def test_better_weights_take_the_end_before_away(tmp_path):
    """It says the digest of weights, and would be refused with others."""
    kept = Kept(tmp_path)
    kept.write(leaves(), {"step": 1})
    kept.finish(1.0)
    Kept(tmp_path).write(leaves(1), {"step": 2})
    found = Kept(tmp_path)
    assert not found.finished
    assert found.measured["step"] == 2


def test_what_was_measured_is_json(tmp_path):
    kept = Kept(tmp_path)
    kept.write(leaves(), {"step": 1, "accuracy": 0.5})
    kept.finish(2.0)
    told = json.loads((tmp_path / FINISHED).read_text())
    assert told == kept.measured
