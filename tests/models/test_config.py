"""config.json: what changes the maths is honoured or refused by name."""

import json

import pytest
from transformers import AutoConfig

from jaxsparse.model import open_model
from jaxsparse.models import FAMILIES, Tensors
from jaxsparse.models.config import INERT, Reader
from jaxsparse.types import InputError

TENSORS = {
    **{kind: {} for kind in FAMILIES},
    "gpt2": {"transformer.wte.weight": (3, 3)},
    "electra": {"generator_predictions.dense.weight": (3, 3)},
    "t5": {"shared.weight": (3, 3)},
}


def defaults(family):
    return AutoConfig.for_model(family).to_dict()


def configured(family, tensors=None, /, **values):
    """The configuration of a config.json that holds these values."""
    reader = Reader(values | {"model_type": family})
    shapes = TENSORS[family] if tensors is None else tensors
    tensors = Tensors(shapes, lambda one, other: True)
    config = FAMILIES[family].read_config(reader, tensors)
    reader.finish()
    return config


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 1
    if isinstance(value, float):
        return value + 0.5
    if isinstance(value, dict):
        return {**value, "more": 1}
    if isinstance(value, list):
        return value[1:]
    return {"gelu_new": "relu", "gelu": "relu", "relu": "gelu"}.get(value, "another")


# What changes nothing in one family, and much in another.
OF_NO_USE = {
    ("llama", "pretraining_tp"),
    ("gpt_neox", "is_decoder"),
    ("mistral", "max_position_embeddings"),  # by default its window is shorter
    ("qwen2", "max_window_layers"),  # no window is in use
    ("qwen3", "max_window_layers"),
    ("qwen2", "sliding_window"),
    ("qwen3", "sliding_window"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_key_of_transformers_is_ignored_unless_it_is_known_to_be_inert(family):
    plain = configured(family)
    for key, value in defaults(family).items():
        if key in INERT or (family, key) in OF_NO_USE:
            continue
        try:
            config = configured(family, **{key: changed(value)})
        except InputError:
            continue
        assert config != plain, key


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_own_defaults_are_the_published_shapes(family):
    assert configured(family) == configured(family, **defaults(family))
    sizes = {
        "gpt2": (50257, 768),
        "electra": (30522, 256),
        "t5": (32128, 512),
        "llama": (32000, 4096),
        "mistral": (32000, 4096),
        "qwen2": (151936, 4096),
        "qwen3": (151936, 4096),
        "gpt_neox": (50432, 6144),
        "opt": (50272, 768),
        "bert": (30522, 768),
        "roberta": (50265, 768),
    }
    config = configured(family)
    assert (config.vocab, config.hidden) == sizes[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_that_older_transformers_wrote_do_no_harm(family):
    old = {
        "_name_or_path": "somewhere/else",
        "torch_dtype": "float32",
        "gradient_checkpointing": False,
        "n_ctx": 1024,
        "output_past": True,
        "task_specific_params": {"text-generation": {"max_length": 50}},
    }
    assert configured(family, **old) == configured(family)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("gpt2", "activation_function", "swoosh"),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "n_head", 5),
        ("gpt2", "n_layer", "3"),
        ("gpt2", "n_embd", 0),
        ("gpt2", "n_inner", -1),
        ("gpt2", "n_positions", True),
        ("gpt2", "scale_attn_weights", None),
        ("gpt2", "tie_word_embeddings", "yes"),
        ("gpt2", "layer_norm_epsilon", 0),
        ("gpt2", "layer_norm_epsilon", "1e-5"),
        ("gpt2", "layer_norm_epsilon", float("nan")),
        ("electra", "hidden_act", "swoosh"),
        ("electra", "hidden_act", ["gelu"]),
        ("electra", "is_decoder", True),
        ("electra", "num_attention_heads", 3),
        ("electra", "position_embedding_type", "relative_key"),
        ("t5", "feed_forward_proj", "gated-swoosh"),
        ("t5", "feed_forward_proj", "twice-gelu"),
        ("t5", "dense_act_fn", "silu"),
        ("t5", "is_gated_act", True),
        ("t5", "is_decoder", True),
        ("t5", "num_decoder_layers", 1.5),
        ("t5", "scale_decoder_outputs", "no"),
        ("t5", "relative_attention_num_buckets", 3),
        ("t5", "relative_attention_max_distance", 16),
    ],
)
def test_a_value_that_is_not_implemented_is_refused_by_name(family, key, value):
    with pytest.raises(InputError, match=rf"^config\.json: .*{key}") as caught:
        configured(family, **{key: value})
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("flag", [{}, *({"tie_word_embeddings": x} for x in (0, 1))])
@pytest.mark.parametrize("scale", [{}, *({"scale_decoder_outputs": x} for x in (0, 1))])
def test_t5_scales_its_output_when_transformers_does(flag, scale):
    values = {key: bool(value) for key, value in (flag | scale).items()}
    expected = AutoConfig.for_model("t5", **values).scale_decoder_outputs
    assert configured("t5", **values).scaled == expected


@pytest.mark.parametrize("flag", [True, False])
def test_t5_is_untied_when_the_file_holds_another_head_whatever_the_flag(flag):
    head = {**TENSORS["t5"], "lm_head.weight": (3, 3)}
    assert configured("t5", tie_word_embeddings=flag).tied == flag  # none: it lacks it
    assert not configured("t5", head, tie_word_embeddings=flag).tied


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "gelu_new"])
@pytest.mark.parametrize("gate", ["", "gated-"])
def test_t5_feed_forwards_are_transformers(name, gate):
    theirs = AutoConfig.for_model("t5", feed_forward_proj=gate + name)
    ours = configured("t5", feed_forward_proj=gate + name)
    assert (ours.activation, ours.gated) == (theirs.dense_act_fn, theirs.is_gated_act)


def test_t5_decoder_is_as_deep_as_the_encoder_unless_it_is_said():
    assert configured("t5", num_layers=7).decoder_layers == 7
    config = configured("t5", num_layers=7, num_decoder_layers=2)
    assert (config.encoder_layers, config.decoder_layers) == (7, 2)


def test_limits_are_the_configurations():
    assert configured("gpt2", n_positions=77).positions == 77
    assert configured("electra", max_position_embeddings=77).positions == 77
    assert configured("t5", n_positions=77).positions == 77
    assert configured("t5").positions == 512


@pytest.mark.parametrize("both", [True, False])
def test_electra_needs_exactly_one_of_its_two_heads(both):
    heads = ("generator_predictions", "discriminator_predictions") if both else ()
    tensors = {f"{head}.dense.weight": (3, 3) for head in heads} or {"x": (1,)}
    with pytest.raises(InputError, match="both" if both else "none"):
        configured("electra", tensors)


@pytest.mark.parametrize("model_type", ["bloom", None, ["gpt2"]])
def test_an_unknown_architecture_is_refused_with_the_known_ones(model_type, copied):
    directory = copied("gpt2")
    config = json.loads((directory / "config.json").read_text())
    config["model_type"] = model_type
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json.*gpt2, electra, t5") as caught:
        open_model(str(directory))
    assert str(directory) in str(caught.value)
    assert repr(model_type) in str(caught.value)
