"""From a directory to a model: old files, dtypes, digests, heads."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from transformers import T5Config, T5ForConditionalGeneration

from jaxsparse import load_model, trees
from jaxsparse.model import check_values, load, open_model, save_leaves, untie
from jaxsparse.types import InputError
from tests import rows, tiny
from tests.oracle import load_file, save_file, torch
from tests.told import Told

SAFETENSORS = "model.safetensors"
FAMILIES = ("gpt2", "electra-generator", "electra-discriminator", "t5")
LATER = ("llama", "qwen3", "pythia", "opt-norm-behind", "roberta")


def edit(directory, change):
    tensors = load_file(directory / SAFETENSORS)
    change(tensors)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, directory / SAFETENSORS, metadata={"format": "pt"})
    return directory


def edit_config(directory, **values):
    path = directory / "config.json"
    config = json.loads(path.read_text()) | values
    config = {key: value for key, value in config.items() if value != "absent"}
    path.write_text(json.dumps(config))
    return directory


def renamed(*pairs):
    """A change of tensors that gives them older names."""

    def change(tensors):
        for name in list(tensors):
            new = name
            for current, old in pairs:
                new = new.replace(current, old)
            tensors[new] = tensors.pop(name)

    return change


def assert_same(model, other):
    """The same model, whatever file it came from."""
    assert model.config == other.config
    assert model.digest == other.digest
    one, two = model.params, other.params
    assert one.keys() == two.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], two[path])


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_a_model_says_what_it_is(variant, saved, loaded):
    model = loaded(variant)
    assert model.name == variant  # the directory's last component
    assert model.family == tiny.EVERY[variant].family
    assert model.dtype == "float32"
    assert model.blueprint.checkpoint.directory == saved(variant)
    assert model.tokenizer("XXXXX fox")["input_ids"]
    torchs = sum(
        parameter.numel() for parameter in tiny.torch_model(variant).parameters()
    )
    assert trees.size(model.params) == torchs  # a tied weight is one leaf


def test_the_last_component_is_the_name_even_after_a_slash(saved):
    assert open_model(f"{saved('gpt2')}/").name == "gpt2"


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", ""])
def test_a_dtype_that_is_not_offered_is_refused(dtype, saved):
    with pytest.raises(InputError, match="float32, bfloat16"):
        load(open_model(str(saved("gpt2"))), dtype)


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_bfloat16_holds_rounded_weights_and_answers_in_float32(variant, saved, loaded):
    exact, model = loaded(variant), load_model(str(saved(variant)), dtype="bfloat16")
    for path, leaf in model.params.items():
        expected = exact.params[path].astype(jnp.bfloat16)
        np.testing.assert_array_equal(leaf, expected)
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 9))
    got = jax.jit(model.apply)(model.params, made)
    expected = jax.jit(exact.apply)(exact.params, made)
    assert got.dtype == jnp.float32
    error = np.abs(got - expected)
    assert np.mean(error) < 0.1 * np.std(expected)
    assert np.max(error) > 1e-4  # it did not compute in float32


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_every_leaf_is_prunable_or_never_and_each_step_adds(variant, loaded):
    model = loaded(variant)
    leaves = model.params
    blocks, linear, every = map(model.prunable, ("blocks", "linear", "all"))
    assert set(blocks) <= set(linear) < set(every)
    assert all(leaves[path].ndim == 3 for path in blocks)
    assert all(path.endswith("kernel") for path in linear)
    rest = leaves.keys() - set(every)
    assert all(path.endswith(("bias", "scale")) for path in rest)
    assert all(leaves[path].ndim > 1 for path in every)


@pytest.mark.parametrize("variant", ["gpt2", "gpt2-untied"])
def test_gpt2_as_the_hub_has_it(variant, copied, loaded):
    """Without the prefix, with the attention's buffers."""

    def add_buffers(tensors):
        for i in range(3):
            mask = torch.ones(1, 1, 8, 8, dtype=torch.uint8).tril()
            tensors[f"h.{i}.attn.bias"] = mask
            tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)

    directory = edit(copied(variant), renamed(("transformer.", "")))
    assert_same(load_model(str(edit(directory, add_buffers))), loaded(variant))


def test_gpt2_with_the_prefix_and_the_buffers(copied, loaded):
    mask = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool)}
    directory = edit(copied("gpt2"), lambda tensors: tensors.update(mask))
    assert_same(load_model(str(directory)), loaded("gpt2"))


def test_electra_of_the_first_converters(copied, loaded):
    def change(tensors):
        norms = (
            ("LayerNorm.weight", "LayerNorm.gamma"),
            ("LayerNorm.bias", "LayerNorm.beta"),
        )
        renamed(*norms)(tensors)
        tensors["electra.embeddings.position_ids"] = torch.arange(512)[None]

    for variant in "electra-generator-projected", "electra-discriminator":
        directory = edit(copied(variant), change)
        assert "electra.embeddings.LayerNorm.gamma" in load_file(
            directory / SAFETENSORS
        )
        assert_same(load_model(str(directory)), loaded(variant))


@pytest.mark.parametrize("variant", ["t5", "t5-untied", "t5-gated-untied-scaled"])
def test_t5_with_the_repeats_of_older_files(variant, copied, loaded):
    def change(tensors):
        for stack in "encoder", "decoder":
            tensors[f"{stack}.embed_tokens.weight"] = tensors["shared.weight"].clone()
        stray = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        tensors[stray] = torch.ones(8, 4)

    directory = edit(copied(variant), change)
    assert_same(load_model(str(directory)), loaded(variant))


@pytest.mark.parametrize("check", [load, check_values])
def test_t5_with_encoder_tokens_of_its_own_is_refused(check, copied):
    def change(tensors):
        tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"] + 1

    blueprint = open_model(str(edit(copied("t5"), change)))
    with pytest.raises(InputError, match=r"encoder\.embed_tokens\.weight.*shared"):
        check(blueprint)


@pytest.mark.parametrize("variant", ["electra-generator", "electra-discriminator"])
def test_a_projection_between_equal_sizes_is_dropped(variant, copied, loaded):
    """Published files are said to have it; of whatever shape, and never read."""

    def change(tensors):
        tensors["electra.embeddings_project.weight"] = torch.full((32, 7), torch.nan)
        tensors["electra.embeddings_project.bias"] = torch.ones(3, dtype=torch.int8)

    assert_same(load_model(str(edit(copied(variant), change))), loaded(variant))


T5_OF_TRANSFORMERS_4 = {
    "t5": {},
    "t5-unscaled-tied": None,  # it could not say so
    "t5-untied": {"tie_word_embeddings": False},
    "t5-gated": {"feed_forward_proj": "gated-gelu"},
    "t5-gated-untied": {
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
}


@pytest.mark.parametrize(
    "variant",
    [name for name, config in T5_OF_TRANSFORMERS_4.items() if config is not None],
)
def test_t5_configured_by_transformers_4(variant, copied, loaded):
    since = ("scale_decoder_outputs", "tie_word_embeddings", "is_gated_act")
    values = dict.fromkeys((*since, "dense_act_fn"), "absent")
    directory = edit_config(copied(variant), **values)
    edit_config(directory, **T5_OF_TRANSFORMERS_4[variant])
    assert_same(load_model(str(directory)), loaded(variant))


HEADS = {
    "gpt2": ("lm_head.weight", "transformer.wte.weight"),
    "electra-generator": (
        "generator_lm_head.weight",
        "electra.embeddings.word_embeddings.weight",
    ),
    "t5": ("lm_head.weight", "shared.weight"),
}


@pytest.mark.parametrize("variant", HEADS)
def test_a_head_that_repeats_the_embedding_is_dropped(variant, copied, loaded):
    head, embedding = HEADS[variant]
    directory = edit(
        copied(variant),
        lambda tensors: tensors.update({head: tensors[embedding].clone()}),
    )
    model = load_model(str(directory))
    assert model.config.tied
    assert_same(model, loaded(variant))


@pytest.mark.parametrize("variant", HEADS)
def test_a_head_that_differs_is_a_head_of_its_own_as_transformers_has_it(
    variant, copied
):
    """Although config.json says tied."""
    head, embedding = HEADS[variant]
    directory = edit(
        copied(variant),
        lambda tensors: tensors.update({head: tensors[embedding] * 1.5}),
    )
    assert json.loads((directory / "config.json").read_text())["tie_word_embeddings"]
    assert not outputs_are_torchs(variant, directory).config.tied


def outputs_are_torchs(variant, directory):
    """Compares with transformers' own reading of the directory; returns our model."""
    model = load_model(str(directory))
    made = rows.random_rows(model.config.vocab, 9)
    oracle = tiny.VARIANTS[variant].torch_class.from_pretrained(directory).eval()
    with torch.no_grad():
        expected = rows.torch_output(oracle, made)
    got = jax.jit(model.apply)(model.params, rows.inputs(model.family, made))
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)  # logits are larger
    return model


ENCODER, DECODER = (f"{stack}.embed_tokens.weight" for stack in ("encoder", "decoder"))
TWINS = [
    ("gpt2", ["lm_head.weight"]),
    ("electra-generator", ["generator_lm_head.weight"]),
    *(("t5", [name]) for name in (ENCODER, DECODER, "lm_head.weight")),
    ("t5", [DECODER, ENCODER, "lm_head.weight"]),
]


def rename_embedding(variant, names):
    """A change of tensors: the embedding goes by other names, in as many copies."""

    def change(tensors):
        tensor = tensors.pop(HEADS[variant][1])
        tensors.update({name: tensor.clone() for name in names})

    return change


@pytest.mark.parametrize(("variant", "names"), TWINS)
def test_a_tied_tensor_serves_under_any_of_its_names(variant, names, copied, loaded):
    directory = edit(copied(variant), rename_embedding(variant, names))
    assert_same(outputs_are_torchs(variant, directory), loaded(variant))


@pytest.mark.parametrize("name", [ENCODER, DECODER])
def test_an_embedding_by_another_name_beside_a_head_of_its_own(name, copied, loaded):
    directory = edit(copied("t5-untied"), rename_embedding("t5", [name]))
    model = outputs_are_torchs("t5-untied", directory)
    assert not model.config.tied
    assert model.digest == loaded("t5-untied").digest


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
def test_an_untied_head_does_not_serve_as_embedding(variant, copied):
    head, embedding = HEADS[variant]
    directory = edit(copied(variant), rename_embedding(variant, [head]))
    edit_config(directory, tie_word_embeddings=False)
    with pytest.raises(InputError, match=re.escape(f"missing: {embedding};")):
        open_model(str(directory))


def test_t5_with_two_embeddings_is_refused(copied):
    directory = edit(copied("t5"), rename_embedding("t5", [ENCODER, DECODER]))
    edit(directory, lambda tensors: tensors[DECODER].mul_(2))
    with pytest.raises(InputError, match=re.escape(f"{DECODER} should repeat")):
        load_model(str(directory))


@pytest.mark.parametrize("variant", ["t5", "t5-gated"])
def test_t5_said_to_be_untied_without_a_head_lacks_it(variant, copied):
    """Only transformers 4 wrote that, and its models of version 1.1 have a head."""
    directory = edit_config(copied(variant), tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"missing: lm_head\.weight;"):
        open_model(str(directory))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("gated", [True, False])
def test_t5_as_transformers_5_writes_it_whatever_it_was_told(tied, gated, copied):
    directory = copied("t5-gated" if gated else "t5")
    values = json.loads((directory / "config.json").read_text())
    del values["scale_decoder_outputs"]
    config = T5Config(**values | {"tie_word_embeddings": tied})
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(directory)
    assert outputs_are_torchs("t5", directory).config.tied


def test_a_llama_saved_from_its_base_model_lacks_a_prefix(copied, loaded):
    directory = edit(copied("llama-tied"), renamed(("model.", "")))
    assert_same(load_model(str(directory)), loaded("llama-tied"))


@pytest.mark.parametrize("variant", [*FAMILIES, "electra-generator-projected", *LATER])
def test_a_tensor_less_is_one_line(variant, copied):
    """Whichever it is, of one layer of all; its name stands in the message unless it
    tells the role."""
    directory = copied(variant)
    whole = load_file(directory / SAFETENSORS)
    for name in whole:
        others = re.search(r"(h|block|layers?)\.[02]\.", name)
        if others and "relative" not in name:
            continue
        less = {key: tensor for key, tensor in whole.items() if key != name}
        save_file(less, directory / SAFETENSORS, metadata={"format": "pt"})
        with pytest.raises(InputError) as caught:
            open_model(str(directory))
        message = str(caught.value)
        assert "\n" not in message
        assert name in message or "_predictions.dense.weight" in name


def test_an_untied_head_that_is_not_there_is_named(copied):
    directory = edit_config(copied("gpt2"), tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"missing: lm_head\.weight") as caught:
        open_model(str(directory))
    assert str(directory) in str(caught.value)


def test_the_digest_tells_any_change_of_a_weight(copied, loaded):
    directory = copied("gpt2")
    original = load_file(directory / SAFETENSORS)
    names = [name for name in original if ".h." not in name or ".h.1." in name]
    digests = {loaded("gpt2").digest}
    for name in names:
        changed = {key: tensor.clone() for key, tensor in original.items()}
        changed[name].view(-1)[-1] += 1e-3
        save_file(changed, directory / SAFETENSORS, metadata={"format": "pt"})
        digests.add(load_model(str(directory)).digest)
    assert len(digests) == len(names) + 1


def test_the_digest_tells_two_layers_that_changed_places(copied, loaded):
    def swap(tensors):
        one, other = (f"transformer.h.{i}.ln_1.bias" for i in range(2))
        tensors[one], tensors[other] = tensors[other], tensors[one]

    directory = edit(copied("gpt2"), swap)
    assert load_model(str(directory)).digest != loaded("gpt2").digest


def test_the_digest_tells_a_configuration_that_computes_something_else(copied, loaded):
    directory = edit_config(copied("gpt2"), activation_function="relu")
    assert load_model(str(directory)).digest != loaded("gpt2").digest


def test_the_digest_ignores_a_configuration_that_does_not(copied, loaded):
    directory = edit_config(copied("gpt2"), attn_pdrop=0.3, transformers_version="4.0")
    assert load_model(str(directory)).digest == loaded("gpt2").digest


def test_the_digest_tells_another_tokenizer(copied, loaded):
    directory = copied("gpt2")
    made = json.loads((directory / "tokenizer.json").read_text())
    vocab = made["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    (directory / "tokenizer.json").write_text(json.dumps(made))
    assert load_model(str(directory)).digest != loaded("gpt2").digest


@pytest.mark.parametrize(
    ("variant", "form"),
    [
        *(
            ("t5-untied", form)
            for form in ("bin", "old bin", "shards", "another place")
        ),
        *((variant, "shards") for variant in LATER),
        *(("llama", "bin"), ("roberta", "old bin")),
    ],
)
def test_the_digest_is_that_of_the_content_in_any_file(
    variant, form, copied, loaded, tmp_path
):
    directory = copied(variant)
    if form == "shards":
        directory = tmp_path / "shards"
        tiny.save(variant, directory, max_shard_size="40KB")
        assert len([*directory.glob("*.safetensors")]) > 1
    elif form == "another place":
        directory = directory.rename(tmp_path / "moved")
    else:
        torch.save(
            load_file(directory / SAFETENSORS),
            directory / "pytorch_model.bin",
            _use_new_zipfile_serialization=form == "bin",
        )
        (directory / SAFETENSORS).unlink()
    assert_same(load_model(str(directory)), loaded(variant))


@pytest.mark.parametrize("variant", FAMILIES)
def test_values_can_be_checked_without_loading(variant, copied):
    blueprint = open_model(str(copied(variant)))
    check_values(blueprint)
    *_, last = blueprint.plan.tensors().values()
    directory = blueprint.checkpoint.directory
    edit(directory, lambda tensors: tensors[last].view(-1)[-1:].fill_(torch.nan))
    with pytest.raises(InputError, match="NaN") as caught:
        check_values(open_model(str(directory)))
    assert last in str(caught.value)
    assert str(directory) in str(caught.value)


@pytest.mark.parametrize("variant", ["gpt2", "t5"])
def test_reading_and_writing_tell_bytes_until_all_are_done(variant, saved, tmp_path):
    told, blueprint = Told(), open_model(str(saved(variant)))
    check_values(blueprint, progress=told)
    model = load(blueprint, progress=told)
    size = 4 * trees.size(model.params)
    save_leaves(model, model.params, tmp_path / "out", told)
    assert told.stages == [
        (f"{blueprint.name} · checking weights", size, "bytes", True),
        ("loading", size, "bytes", True),
        ("writing", size, "bytes", True),
    ]
    assert told.counts == [size] * 3


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator-projected", "t5"])
def test_untying_changes_no_output(variant, loaded):
    model, own = loaded(variant), untie(loaded(variant))
    assert model.config.tied
    assert not own.config.tied
    assert set(own.prunable("linear")) - set(model.prunable("linear")) == {
        own.blueprint.family.head[0]
    }
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 9))
    got = jax.jit(own.apply)(own.params, made)
    expected = jax.jit(model.apply)(model.params, made)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "variant", ["gpt2-untied", "electra-discriminator", "t5-untied"]
)
def test_what_has_no_tied_head_is_left_as_it_is(variant, loaded):
    assert untie(loaded(variant)) is loaded(variant)
