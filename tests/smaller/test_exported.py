"""transformers loads smaller models, and they say what ours do."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from jaxsparse.model import load_model
from jaxsparse.one_shot import prune
from jaxsparse.variants import save
from tests import rows, tiny
from tests.one_shot.test_pruner import calibration_of
from tests.oracle import load_file, save_file, torch
from tests.smaller.test_units import logits

SAID = {  # what config.json says of each pattern, at half of everything
    "gpt2": {"neurons": {"n_inner": 64}, "layers": {"n_layer": 1}},
    "electra-generator-projected": {
        "neurons": {"intermediate_size": 28}, "layers": {"num_hidden_layers": 1},
    },
    "electra-discriminator": {
        "neurons": {"intermediate_size": 28}, "layers": {"num_hidden_layers": 1},
    },
    "t5": {
        "neurons": {"d_ff": 28},
        "layers": {"num_layers": 1, "num_decoder_layers": 1},
        "heads": {"num_heads": 2, "d_kv": 6},
    },
}  # fmt: skip
SAID["t5-gated-untied"] = SAID["t5"]
SAID |= dict.fromkeys(
    ("llama-biased", "pythia", "bert", "roberta"), SAID["electra-discriminator"]
)
SAID["qwen3"] = {
    "neurons": {"intermediate_size": 28},
    "layers": {"num_hidden_layers": 1, "layer_types": ["full_attention"]},
}
SAID["opt-norm-behind"] = {
    "neurons": {"ffn_dim": 28}, "layers": {"num_hidden_layers": 1},
}  # fmt: skip
CASES = [(variant, pattern) for variant, of in SAID.items() for pattern in of]


def torch_logits(variant, directory, made):
    model, loading = tiny.EVERY[variant].torch_class.from_pretrained(
        directory, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[problem]
    with torch.no_grad():
        return model, rows.torch_output(model.eval(), made).numpy()


@pytest.mark.parametrize(("variant", "pattern"), CASES)
def test_transformers_loads_what_is_left_with_equal_logits(
    variant, pattern, loaded, tmp_path
):
    model = loaded(variant)
    pruned = prune(
        model, "magnitude", pattern=pattern, calibration=calibration_of(model)
    )
    save(pruned, tmp_path / "smaller")
    save(model, tmp_path / "dense")
    before, after = (
        json.loads((tmp_path / name / "config.json").read_text())
        for name in ("dense", "smaller")
    )
    assert after == {**before, **SAID[variant][pattern]}
    made = rows.random_rows(model.config.vocab, 40)
    oracle, expected = torch_logits(variant, tmp_path / "smaller", made)
    assert sum(p.numel() for p in oracle.parameters()) == pruned.parameters
    got = logits(pruned.model, pruned.leaves())
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)
    assert np.abs(expected - logits(model)).max() > 0.01
    again = load_model(str(tmp_path / "smaller"))
    assert again.config == pruned.model.config
    for path, leaf in {**model.params, **pruned.leaves()}.items():
        np.testing.assert_array_equal(again.params[path], leaf)


def test_a_tensor_keeps_its_dtype_whatever_its_layers_number_is_now(copied, tmp_path):
    """Each layer of this file has another."""
    directory = copied("gpt2")
    file = directory / "model.safetensors"
    tensors = load_file(file)
    dtypes = torch.float32, torch.float16, torch.bfloat16
    for number, dtype in enumerate(dtypes):
        name = f"transformer.h.{number}.mlp.c_fc.weight"
        tensors[name] = tensors[name].to(dtype)
    save_file(tensors, file, {"format": "pt"})
    model = load_model(str(directory))
    pruned = prune(
        model, sparsity=0.34, pattern="layers", calibration=calibration_of(model)
    )
    save(pruned, tmp_path / "smaller")
    kept = [
        number
        for number in range(3)
        if any(
            np.array_equal(leaf, model.params["h/mlp/c_fc/kernel"][number])
            for leaf in pruned.leaf("h/mlp/c_fc/kernel")
        )
    ]
    assert len(kept) == 2
    with safe_open(tmp_path / "smaller/model.safetensors", "pt") as written:
        found = [
            written.get_tensor(f"transformer.h.{number}.mlp.c_fc.weight").dtype
            for number in range(2)
        ]
    assert found == [dtypes[number] for number in kept]


@pytest.mark.parametrize("pattern", ["neurons", "layers", "heads"])
def test_bfloat16_stays_bit_for_bit(pattern, saved, tmp_path):
    model = load_model(str(saved("t5")), "bfloat16")
    pruned = prune(
        model, "magnitude", pattern=pattern, calibration=calibration_of(model)
    )
    save(pruned, tmp_path / "smaller")
    again = load_model(str(tmp_path / "smaller"), "bfloat16")
    assert pruned.bytes == 2 * pruned.parameters
    for path, leaf in pruned.leaves().items():
        assert leaf.dtype == np.dtype("bfloat16")
        np.testing.assert_array_equal(again.params[path], leaf)


def test_no_leaf_is_made_as_a_whole_to_be_written(loaded, tmp_path, monkeypatch):
    pruned = prune(loaded("gpt2"), "magnitude", pattern="neurons")
    expected = pruned.leaf("h/mlp/c_fc/kernel")
    save(pruned, tmp_path / "first")
    monkeypatch.setattr("jaxsparse.parallel.place_leaf", None)
    save(pruned, tmp_path / "smaller")
    monkeypatch.undo()
    again = load_model(str(tmp_path / "smaller"))
    np.testing.assert_array_equal(again.params["h/mlp/c_fc/kernel"], expected)


def test_bitmask_says_shapes_itself(loaded, tmp_path):
    model = loaded("t5")
    pruned = prune(model, "magnitude", pattern="heads")
    save(pruned, tmp_path / "smaller", format="bitmask")
    again = load_model(str(tmp_path / "smaller"))
    for path, leaf in {**model.params, **pruned.leaves()}.items():
        np.testing.assert_array_equal(again.params[path], leaf)
