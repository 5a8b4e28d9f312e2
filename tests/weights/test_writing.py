"""Exports: bit for bit what was read, loaded by transformers without a complaint."""

import json
import os
import stat
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxsparse import load_model
from jaxsparse.model import save_leaves, untie
from jaxsparse.types import InputError
from jaxsparse.weights import writing
from tests import rows, tiny
from tests.oracle import load_file, save_file, torch

SAFETENSORS = "model.safetensors"
TIED = ("gpt2", "electra-generator-projected", "t5", "t5-unscaled-tied")
DTYPES = ("float32", "float16", "bfloat16")


def bits(directory):
    """Every tensor of a directory: its dtype, shape and bytes."""
    return {
        name: (tensor.dtype, tensor.shape, tensor.view(torch.uint8).numpy().tobytes())
        for file in directory.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def reload(variant, directory):
    """The directory as transformers loads it, which must have nothing to say."""
    model, info = tiny.EVERY[variant].torch_class.from_pretrained(
        directory, output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def exported(model, directory):
    save_leaves(model, model.params, directory)
    return directory


@torch.no_grad()
def assert_same_outputs(one, other):
    made = rows.random_rows(one.config.vocab_size, 20)
    expected = rows.torch_output(one, made)
    torch.testing.assert_close(rows.torch_output(other, made), expected, rtol=0, atol=0)


@pytest.mark.parametrize("variant", tiny.EVERY)
def test_an_export_is_bit_for_bit_what_was_read(variant, loaded, saved, tmp_path):
    directory = exported(loaded(variant), tmp_path / "export")
    assert bits(directory) == bits(saved(variant))
    assert_same_outputs(tiny.torch_model(variant), reload(variant, directory))
    again = load_model(str(directory))
    assert again.config == loaded(variant).config
    assert again.digest == loaded(variant).digest


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("variant", tiny.EVERY)
def test_an_export_keeps_a_narrow_dtype(variant, dtype, tmp_path):
    tiny.save(variant, tmp_path / "saved", dtype=getattr(torch, dtype))
    model = load_model(str(tmp_path / "saved"))
    directory = exported(model, tmp_path / "export")
    assert bits(directory) == bits(tmp_path / "saved")
    assert reload(variant, directory).dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    "variant", ["gpt2", "electra-discriminator", "t5-gated-untied"]
)
def test_bfloat16_in_a_bfloat16_file_is_untouched(variant, tmp_path):
    tiny.save(variant, tmp_path / "saved", dtype=torch.bfloat16)
    model = load_model(str(tmp_path / "saved"), dtype="bfloat16")
    leaves = model.params.values()
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("bfloat16")}
    assert bits(exported(model, tmp_path / "export")) == bits(tmp_path / "saved")


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_loaded_in_bfloat16_are_what_transformers_gets_back(dtype, tmp_path):
    """Whatever the dtype of the file, none of them may be rounded once more."""
    oracle = tiny.save("gpt2", tmp_path / "saved", dtype=getattr(torch, dtype))
    model = load_model(str(tmp_path / "saved"), dtype="bfloat16")
    directory = exported(model, tmp_path / "export")
    kept = torch.float32 if dtype == "float32" else torch.bfloat16
    assert {kind for kind, *_ in bits(directory).values()} == {kept}
    again = reload("gpt2", directory)
    for name, parameter in again.named_parameters():
        rounded = oracle.get_parameter(name).to(torch.bfloat16)
        assert torch.equal(parameter.float(), rounded.float()), name


def test_a_file_of_several_dtypes_keeps_each(copied, tmp_path):
    directory = copied("gpt2")
    tensors = load_file(directory / SAFETENSORS)
    for name, tensor in tensors.items():
        wide = "ln" in name
        tensors[name] = tensor if wide else tensor.half()
    save_file(tensors, directory / SAFETENSORS, metadata={"format": "pt"})
    export_of = exported(load_model(str(directory)), tmp_path / "export")
    assert bits(export_of) == bits(directory)


@pytest.mark.parametrize("form", ["shards", "bin", "old bin"])
def test_whatever_the_format_read_the_export_is_the_same(form, saved, copied, tmp_path):
    if form == "shards":
        source = tmp_path / "saved"
        tiny.save("t5-untied", source, max_shard_size="40KB")
    else:
        source = copied("t5-untied")
        torch.save(
            load_file(source / SAFETENSORS),
            source / "pytorch_model.bin",
            _use_new_zipfile_serialization=form == "bin",
        )
        (source / SAFETENSORS).unlink()
    directory = exported(load_model(str(source)), tmp_path / "export")
    assert bits(directory) == bits(saved("t5-untied"))
    names = {path.name for path in directory.iterdir()}
    assert SAFETENSORS in names
    assert not any("index" in name or "bin" in name for name in names)


def test_large_exports_are_sharded(loaded, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 40_000)
    directory = exported(loaded("gpt2"), tmp_path / "export")
    sizes = [path.stat().st_size for path in directory.glob("*.safetensors")]
    assert len(sizes) > 2
    index = json.loads((directory / f"{SAFETENSORS}.index.json").read_text())
    expected = {name: data for name, (*_, data) in bits(saved("gpt2")).items()}
    assert index["metadata"]["total_size"] == sum(map(len, expected.values()))
    assert bits(directory) == bits(saved("gpt2"))
    assert_same_outputs(tiny.torch_model("gpt2"), reload("gpt2", directory))
    assert load_model(str(directory)).digest == loaded("gpt2").digest


@pytest.mark.parametrize("variant", TIED)
def test_a_head_of_its_own_is_exported_and_loaded(variant, loaded, tmp_path):
    model = untie(loaded(variant))
    kernel, embedding = model.blueprint.family.head
    leaves = model.params
    np.testing.assert_array_equal(leaves[kernel], leaves[embedding].T)
    halved = leaves[kernel].at[::2].set(0)  # as pruning would
    params = {**leaves, kernel: halved}
    save_leaves(model, params, tmp_path / "export")

    theirs = reload(variant, tmp_path / "export")
    head, embedded = theirs.get_output_embeddings(), theirs.get_input_embeddings()
    np.testing.assert_array_equal(head.weight.detach(), halved.T)
    np.testing.assert_array_equal(embedded.weight.detach(), leaves[embedding])
    made = rows.random_rows(model.config.vocab, 20)
    with torch.no_grad():
        expected = rows.torch_output(theirs, made)
    got = jax.jit(model.apply)(params, rows.inputs(model.family, made))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)

    again = load_model(str(tmp_path / "export"))
    assert again.config == model.config
    got = again.params
    np.testing.assert_array_equal(got[kernel], halved)


@pytest.mark.parametrize("variant", TIED)
def test_a_head_untied_but_not_pruned_is_exported_and_loaded(variant, loaded, tmp_path):
    directory = exported(untie(loaded(variant)), tmp_path / "export")
    assert_same_outputs(tiny.torch_model(variant), reload(variant, directory))


@pytest.mark.parametrize("variant", ["t5", "t5-untied", "t5-gated"])
def test_a_t5_of_transformers_4_is_exported_and_loaded(variant, copied, tmp_path):
    """Its config.json says nothing of the scale, and tells the truth of the head."""
    path = copied(variant) / "config.json"
    config = json.loads(path.read_text())
    for key in ("scale_decoder_outputs", "dense_act_fn", "is_gated_act"):
        config.pop(key, None)
    config["tie_word_embeddings"] = "untied" not in variant
    path.write_text(json.dumps(config))
    directory = exported(load_model(str(path.parent)), tmp_path / "export")
    assert_same_outputs(tiny.torch_model(variant), reload(variant, directory))


def test_tokenizer_and_generation_settings_come_along(loaded, saved, tmp_path):
    directory = exported(loaded("gpt2"), tmp_path / "export")
    names = {path.name for path in saved("gpt2").iterdir()}
    assert {path.name for path in directory.iterdir()} == names
    for name in names - {"config.json", SAFETENSORS}:
        assert (directory / name).read_bytes() == (saved("gpt2") / name).read_bytes()
    config = [
        json.loads((x / "config.json").read_text()) for x in (directory, saved("gpt2"))
    ]
    assert config[0] == config[1]


def test_an_export_is_readable_by_whom_other_new_files_are(loaded, tmp_path):
    previous = os.umask(0o022)
    try:
        directory = exported(loaded("gpt2"), tmp_path / "export")
    finally:
        os.umask(previous)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {0o644}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_an_existing_directory_is_refused_and_left_as_it_is(loaded, tmp_path):
    (tmp_path / "export").mkdir()
    with pytest.raises(InputError, match="exists already") as caught:
        exported(loaded("gpt2"), tmp_path / "export")
    assert str(tmp_path / "export") in str(caught.value)
    assert not list((tmp_path / "export").iterdir())


def test_a_failure_in_the_middle_leaves_nothing(loaded, tmp_path, monkeypatch):
    real, calls = writing.save_file, []

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(writing, "SHARD_BYTES", 40_000)
    monkeypatch.setattr(writing, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        exported(loaded("gpt2"), tmp_path / "export")
    assert len(calls) == 2
    assert not list(tmp_path.iterdir())


def test_a_file_is_byte_for_byte_what_safetensors_writes(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        f"{name}ö": generator.normal(size=shape).astype(np.float32)
        for name, shape in (("b", (3, 5)), ("a", (7,)), ("c.1", (2, 1)))
    }
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    safetensors.numpy.save_file(arrays, theirs, metadata={"format": "pt"})
    writing.save_file(lazily(arrays), ours)
    assert ours.read_bytes() == theirs.read_bytes()


def test_tensors_of_several_dtypes_are_aligned_and_read_again(tmp_path):
    arrays = {
        dtype: np.arange(1, 4, dtype=np.float32).astype(jnp.dtype(dtype))
        for dtype in DTYPES
    }
    writing.save_file(lazily(arrays), tmp_path / "file")
    for name, tensor in load_file(tmp_path / "file").items():
        assert tensor.dtype == getattr(torch, name)
        assert tensor.tolist() == [1, 2, 3]


def test_one_tensor_at_a_time_is_held(tmp_path):
    alive: list[weakref.ref] = []

    def values():
        assert not any(reference() is not None for reference in alive)
        made = np.ones(1000, np.float32)
        alive.append(weakref.ref(made))
        return made

    tensor = writing.Tensor((1000,), np.dtype(np.float32), values)
    writing.save_file({str(number): tensor for number in range(5)}, tmp_path / "file")
    assert len(alive) == 5


def lazily(arrays):
    return {
        name: writing.Tensor(array.shape, array.dtype, lambda array=array: array)
        for name, array in arrays.items()
    }


def test_parents_are_made(loaded, tmp_path):
    assert exported(loaded("gpt2"), tmp_path / "a" / "b" / "export").is_dir()
