"""Rotary positions and windows as config.json has them, now and in older files."""

import json

import numpy as np
import pytest
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from jaxsparse.model import open_model
from jaxsparse.types import InputError
from tests import tiny
from tests.models.test_config import configured

LLAMA_3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"type": "yarn", "factor": 4.0}
SCALED = {
    "linear": {"factor": 4.0},
    "llama3": LLAMA_3,
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 2048},
    "yarn, all of it": {
        "factor": 16.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "mscale": 0.7,
        "mscale_all_dim": 1.2,
        "truncate": False,
    },
    "yarn, its own attention": {"factor": 2.0, "attention_factor": 1.3},
}


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
@pytest.mark.parametrize("name", SCALED)
def test_frequencies_are_transformers(name, theta):
    kind = name.split(",")[0]
    parameters = {"rope_type": kind, "rope_theta": theta, **SCALED[name]}
    values = {"max_position_embeddings": 16384, "rope_parameters": parameters}
    theirs = AutoConfig.for_model("llama", **values)
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](theirs)
    ours = configured("llama", **values).rotary
    np.testing.assert_allclose(ours.frequencies, frequencies.numpy(), rtol=1e-6)
    assert ours.scale == pytest.approx(scale, rel=1e-12)


def test_older_files_say_the_same_in_other_keys():
    now = {"rope_type": "llama3", "rope_theta": 500_000.0, **LLAMA_3}
    new = configured("llama", rope_parameters=now)
    for key in "type", "rope_type":
        scaling = {key: "llama3", **LLAMA_3}
        assert configured("llama", rope_theta=5e5, rope_scaling=scaling) == new
    plain = configured("llama", rope_theta=5e5, rope_scaling=None).rotary
    now = {"rope_type": "default", "rope_theta": 5e5}
    assert plain == configured("llama", rope_parameters=now).rotary
    half = {"rope_type": "default", "rope_theta": 5e3, "partial_rotary_factor": 0.5}
    assert configured("gpt_neox", rope_parameters=half) == configured(
        "gpt_neox", rotary_emb_base=5000, rotary_pct=0.5
    )
    assert len(configured("gpt_neox").rotary.frequencies) == 12  # a quarter of 96


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' is not impl"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "'longrope' is not implemented"),
        ({"rope_scaling": {"type": "linear"}}, "factor must be a positive number"),
        (
            {"rope_scaling": {"type": "linear", "factor": 0}},
            "factor must be a positive",
        ),
        ({"rope_scaling": "linear"}, "must be an object"),
        ({"rope_parameters": {"mrope_section": [1]}}, "not implemented: mrope_section"),
        ({"rope_parameters": {"full_attention": {}}}, "not implemented: full_attent"),
        ({"rope_theta": -1.0}, "rope_theta must be a positive number"),
        ({"rope_theta": 10**400}, "rope_theta must be a positive number that float32"),
        ({"rms_norm_eps": 1e300}, "rms_norm_eps must be a positive number that float3"),
        ({"rms_norm_eps": 1e-46}, "rms_norm_eps must be a positive number that float3"),
        ({"vocab_size": 2**31 - 1}, "vocab_size must be a whole number from 1 to 1,07"),
        ({"vocab_size": 10**5000}, "vocab_size .*: a number with too many digits"),
        ({"partial_rotary_factor": 0.5}, "factor 0.5 is not implemented of llama"),
        ({"rope_scaling": {**YARN, "truncate": None}}, "truncate must be true or fal"),
        ({"rope_scaling": YARN, "rope_theta": 1}, "rope_theta must be more than 1: 1"),
        (
            {"rope_scaling": {"type": "llama3", **LLAMA_3, "low_freq_factor": 4.0}},
            "high_freq_factor 4 must be more than low_freq_factor 4",
        ),
        ({"head_dim": 7, "hidden_size": 28, "num_attention_heads": 4}, "even number"),
        ({"num_key_value_heads": 5}, "num_key_value_heads must divide"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(values, said):
    with pytest.raises(InputError, match=rf"^config\.json: .*{said}"):
        configured("llama", **values)


def test_more_features_than_a_head_has_are_refused():
    with pytest.raises(InputError, match=r"partial_rotary_factor 1\.5 of 96 features"):
        configured("gpt_neox", rotary_pct=1.5)


def test_another_size_of_heads_is_refused_of_gpt_neox():
    assert configured("gpt_neox", head_dim=96) == configured("gpt_neox")
    with pytest.raises(InputError, match="head_dim 4 is not implemented of gpt_neox"):
        configured("gpt_neox", head_dim=4)


def test_a_word_that_says_nothing_of_the_maths_is_read_over():
    plain = configured("llama", rope_scaling=YARN)
    assert configured("llama", rope_scaling={**YARN, "finetuned": True}) == plain


@pytest.mark.parametrize("layers", [None, "28", -1])
def test_a_number_of_layers_without_windows_is_one(layers):
    with pytest.raises(InputError, match="max_window_layers must be a whole number"):
        configured("qwen2", use_sliding_window=True, max_window_layers=layers)


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_a_window_that_no_row_reaches_is_none(family):
    use = {} if family == "mistral" else {"use_sliding_window": True}
    use |= {} if family == "mistral" else {"max_window_layers": 3}
    config = configured(family, sliding_window=8192, **use)
    assert config.positions == 8192  # a longer row would be cut
    assert config.numbered == ("" if family == "mistral" else "max_window_layers")
    with pytest.raises(InputError, match="sliding_window 1024 is less than a row of"):
        configured(family, sliding_window=1024, **use)
    fits = configured(family, sliding_window=1024, max_position_embeddings=512, **use)
    assert fits.positions == 512
    longest = 131072 if family == "mistral" else 32768
    assert configured(family, sliding_window=None, **use).positions == longest


def test_windows_of_some_layers_are_found_in_their_list():
    kinds = ["full_attention"] * 31 + ["sliding_attention"]
    short = {"layer_types": kinds, "use_sliding_window": True, "sliding_window": 100}
    with pytest.raises(InputError, match="sliding_window 100 is less than a row"):
        configured("qwen3", **short)
    with pytest.raises(InputError, match="no window is in use"):
        configured("qwen3", layer_types=kinds)
    with pytest.raises(InputError, match="layer_types must say"):
        configured("qwen3", layer_types=kinds[1:])
    full = ["full_attention"] * 32
    assert configured("qwen3", layer_types=full, sliding_window=100) == configured(
        "qwen3"
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("quantization_config", {"quant_method": "gptq"}, "quantized weights are"),
        ("text_config", {"model_type": "llama"}, "multimodal wrappers are"),
        ("num_local_experts", 8, "mixtures of experts are"),
        ("n_routed_experts", 8, "mixtures of experts are"),
    ],
)
def test_other_kinds_of_models_are_refused_before_weights_are_read(
    key, value, said, tmp_path
):
    tiny.save("llama", tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, key: value, "model_type": "mixtral"}))
    with pytest.raises(InputError, match=rf"config\.json: {key}: {said} not impl"):
        open_model(str(tmp_path))
