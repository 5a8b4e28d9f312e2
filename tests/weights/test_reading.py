"""Checkpoint directories, good and bad, in every format; no values before they are
asked for."""

import builtins
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest

from jaxsparse import load_model
from jaxsparse.model import open_model
from jaxsparse.types import InputError
from jaxsparse.weights.reading import open_checkpoint
from tests import tiny
from tests.oracle import load_file, save_file, torch

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
SHARDS = {"max_shard_size": "40KB"}


def refused(directory, *names):
    """Checks that loading says, in one line, what is wrong with which file."""
    with pytest.raises(InputError) as caught:
        load_model(str(directory))
    message = str(caught.value)
    assert "\n" not in message
    for name in (directory, *names):
        assert str(name) in message
    return message


def edit(directory, change):
    """Changes the tensors of a single safetensors file."""
    tensors = load_file(directory / SAFETENSORS)
    change(tensors)
    save_file(tensors, directory / SAFETENSORS, metadata={"format": "pt"})


def to_bin(directory, **options):
    """Replaces a single safetensors file by torch's format."""
    torch.save(load_file(directory / SAFETENSORS), directory / BIN, **options)
    (directory / SAFETENSORS).unlink()


def to_sharded_bin(directory):
    tensors = load_file(directory / SAFETENSORS)
    (directory / SAFETENSORS).unlink()
    weight_map = {}
    for number, name in enumerate(tensors):
        weight_map[name] = f"pytorch_model-{number % 3}.bin"
    for file in set(weight_map.values()):
        shard = {name: tensors[name] for name in tensors if weight_map[name] == file}
        torch.save(shard, directory / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / f"{BIN}.index.json").write_text(json.dumps(index))


def edit_index(directory, change):
    path = directory / f"{SAFETENSORS}.index.json"
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))


@pytest.fixture
def sharded(tmp_path):
    directory = tmp_path / "sharded"
    tiny.save("gpt2", directory, **SHARDS)
    assert len(list(directory.glob("*.safetensors"))) > 2
    return directory


@pytest.fixture
def gpt2(copied):
    return copied("gpt2")


@pytest.fixture(scope="module")
def expected(saved):
    return load_file(saved("gpt2") / SAFETENSORS)


def check(directory, expected):
    """Every tensor is there, with its dtype and its bits."""
    checkpoint = open_checkpoint(directory)
    assert checkpoint.shapes.keys() == expected.keys()
    for name, tensor in expected.items():
        got = checkpoint.read(name)
        assert checkpoint.shapes[name] == got.shape == tuple(tensor.shape)
        assert checkpoint.dtypes[name] == got.dtype
        assert str(got.dtype) == str(tensor.dtype).removeprefix("torch.")
        assert got.tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes()


def test_reads_one_safetensors_file(gpt2, expected):
    check(gpt2, expected)


def test_reads_shards(sharded, expected):
    check(sharded, expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_bin_in_the_present_and_the_old_format(gpt2, expected, zipped):
    to_bin(gpt2, _use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(gpt2 / BIN) == zipped
    check(gpt2, expected)


def test_reads_shards_of_bin(gpt2, expected):
    to_sharded_bin(gpt2)
    check(gpt2, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", [SAFETENSORS, BIN])
def test_reads_other_dtypes_bit_for_bit(gpt2, expected, dtype, form):
    tensors = {name: tensor.to(dtype) for name, tensor in expected.items()}
    save_file(tensors, gpt2 / SAFETENSORS)
    if form == BIN:
        to_bin(gpt2)
    check(gpt2, tensors)


def test_safetensors_come_before_bin(gpt2, expected):
    (gpt2 / BIN).write_bytes(b"not looked at")
    check(gpt2, expected)


def test_opening_reads_no_values(gpt2):
    """A tensor damaged in its values is found by its header alone to be in order."""
    edit(gpt2, lambda tensors: tensors["transformer.ln_f.bias"].fill_(torch.nan))
    open_model(str(gpt2))
    refused(gpt2, "transformer.ln_f.bias", "NaN")


def test_bin_without_torch_names_the_install_command(gpt2, monkeypatch):
    to_bin(gpt2)
    real = builtins.__import__

    def no_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_torch)
    with pytest.raises(InputError, match=r"pip install .*jaxsparse\[bin\]") as caught:
        open_checkpoint(gpt2)
    assert str(gpt2 / BIN) in str(caught.value)


class Payload:
    """Pickled, it is an order to create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_bin_is_never_run(gpt2, tmp_path, zipped):
    evil = tmp_path / "evil"
    torch.save(
        {"transformer.wte.weight": Payload(evil)},
        gpt2 / BIN,
        _use_new_zipfile_serialization=zipped,
    )
    (gpt2 / SAFETENSORS).unlink()
    refused(gpt2, BIN)
    assert not evil.exists()


def test_code_in_a_plain_pickle_is_never_run(gpt2, tmp_path):
    evil = tmp_path / "evil"
    (gpt2 / SAFETENSORS).unlink()
    (gpt2 / BIN).write_bytes(pickle.dumps({"transformer.wte.weight": Payload(evil)}))
    refused(gpt2, BIN)
    assert not evil.exists()
    pickle.loads((gpt2 / BIN).read_bytes())["transformer.wte.weight"].close()
    assert evil.exists()  # the payload would have worked


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: torch.ones(2)}])
def test_a_bin_of_anything_but_named_tensors_is_refused(gpt2, content):
    (gpt2 / SAFETENSORS).unlink()
    torch.save(content, gpt2 / BIN)
    assert "not a dictionary of tensors" in refused(gpt2, BIN)


@pytest.mark.parametrize("form", [SAFETENSORS, BIN, "old"])
@pytest.mark.parametrize("kept", [0, 1, 7, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_before_any_weight_is_read(gpt2, form, kept):
    if form != SAFETENSORS:
        to_bin(gpt2, _use_new_zipfile_serialization=form == BIN)
    path = gpt2 / (SAFETENSORS if form == SAFETENSORS else BIN)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(InputError, match="copy it again") as caught:
        open_model(str(gpt2))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_of_impossible_size_is_refused(gpt2):
    (gpt2 / SAFETENSORS).write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    refused(gpt2, SAFETENSORS)


def test_weights_that_are_a_directory_are_refused(gpt2):
    (gpt2 / SAFETENSORS).unlink()
    (gpt2 / SAFETENSORS).mkdir()
    refused(gpt2, SAFETENSORS)


def test_no_weights_at_all(gpt2):
    (gpt2 / SAFETENSORS).unlink()
    refused(gpt2, SAFETENSORS, BIN)


def test_no_config(gpt2):
    (gpt2 / "config.json").unlink()
    assert "missing" in refused(gpt2, "config.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe{}", b"{'a': 1}"]
)
def test_a_config_that_is_no_json_object(gpt2, content):
    (gpt2 / "config.json").write_bytes(content)
    refused(gpt2, "config.json", "JSON")


@pytest.mark.parametrize(
    "shard",
    ["../evil.safetensors", "/etc/passwd", "sub/model.safetensors", "..", ".", ""],
)
def test_a_shard_outside_the_directory_is_not_opened(sharded, shard):
    (sharded.parent / "evil.safetensors").write_bytes(b"")
    (sharded / "sub").mkdir()
    edit_index(sharded, lambda index: index.update({"transformer.wpe.weight": shard}))
    assert "beside" in refused(sharded, "index.json", shard)


def test_a_missing_shard(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    assert "missing" in refused(sharded, shard)


def test_a_truncated_shard(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    refused(sharded, shard)


def test_a_shard_without_a_tensor_the_index_gives_it(sharded):
    shards = sorted(path.name for path in sharded.glob("*.safetensors"))
    edit_index(sharded, lambda index: index.update({"more": shards[0]}))
    assert "more" in refused(sharded, shards[0], "disagrees")


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("t5", [f"{part}.embed_tokens.weight" for part in ("encoder", "decoder")]),
        ("t5", ["lm_head.weight"]),
        ("gpt2", ["lm_head.weight", "h.0.attn.bias"]),
        ("electra-discriminator", ["electra.embeddings_project.weight"]),
    ],
)
def test_an_index_may_name_twins_and_buffers_that_no_shard_holds(
    variant, names, tmp_path, loaded
):
    directory = tmp_path / "sharded"
    tiny.save(variant, directory, **SHARDS)
    shard = min(path.name for path in directory.glob("*.safetensors"))
    edit_index(directory, lambda index: index.update(dict.fromkeys(names, shard)))
    assert load_model(str(directory)).digest == loaded(variant).digest


def test_an_index_may_not_name_a_tensor_that_is_needed_and_nowhere(sharded):
    first = min(sharded.glob("*.safetensors"))
    tensors = load_file(first)
    name = sorted(tensors)[-1]
    save_file({key: tensors[key] for key in tensors if key != name}, first)
    refused(sharded, name)


def test_a_tensor_in_another_shard_than_the_index_says(sharded):
    shards = {path: load_file(path) for path in sharded.glob("*.safetensors")}
    *_, most = sorted(shards, key=lambda path: len(shards[path]))
    first, *_ = (path.name for path in shards if path != most)
    name = min(shards[most])
    edit_index(sharded, lambda index: index.update({name: first}))
    refused(sharded, name, "disagrees")


def test_a_shard_with_a_tensor_the_index_does_not_know(sharded):
    edit_index(sharded, lambda index: index.pop("transformer.ln_f.bias"))
    refused(sharded, "disagrees", "transformer.ln_f.bias")


def test_a_tensor_in_two_shards(sharded):
    first, second, *_ = sorted(sharded.glob("*.safetensors"))
    doubled = dict(list(load_file(first).items())[:1])
    save_file(load_file(second) | doubled, second)
    refused(sharded, *doubled)


@pytest.mark.parametrize("index", [b"{}", b'{"weight_map": {}}', b'{"weight_map": 1}'])
def test_an_index_without_a_map(sharded, index):
    (sharded / f"{SAFETENSORS}.index.json").write_bytes(index)
    refused(sharded, "index.json", "weight_map")


def test_a_missing_tensor(gpt2):
    edit(gpt2, lambda tensors: tensors.pop("transformer.h.1.mlp.c_fc.bias"))
    assert "missing" in refused(gpt2, "transformer.h.1.mlp.c_fc.bias")


def test_a_tensor_of_a_layer_too_many(gpt2):
    extra = {"transformer.h.3.ln_1.bias": torch.ones(32)}
    edit(gpt2, lambda tensors: tensors.update(extra))
    refused(gpt2, *extra)


def test_a_tensor_of_the_wrong_shape(gpt2):
    extra = {"transformer.h.1.ln_1.bias": torch.ones(31)}
    edit(gpt2, lambda tensors: tensors.update(extra))
    refused(gpt2, *extra, "(31,)", "(32,)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", [SAFETENSORS, BIN])
def test_weights_that_are_not_finite(gpt2, value, form):
    def damage(tensors):
        tensors["transformer.h.2.attn.c_attn.weight"][3, 4:6] = value

    edit(gpt2, damage)
    if form == BIN:
        to_bin(gpt2)
    assert " 2 values" in refused(gpt2, "transformer.h.2.attn.c_attn.weight")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_that_are_not_finite(gpt2, dtype):
    bad = {"transformer.ln_f.bias": torch.full((32,), torch.inf, dtype=dtype)}
    edit(gpt2, lambda tensors: tensors.update(bad))
    refused(gpt2, *bad)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
@pytest.mark.parametrize("form", [SAFETENSORS, BIN])
def test_weights_that_are_not_floats(gpt2, dtype, form):
    bad = {"transformer.ln_f.bias": torch.ones(32, dtype=dtype)}
    edit(gpt2, lambda tensors: tensors.update(bad))
    if form == BIN:
        to_bin(gpt2)
    name = str(dtype).removeprefix("torch.")
    assert name in refused(gpt2, *bad)


@pytest.mark.parametrize("form", [SAFETENSORS, BIN])
def test_weights_in_a_dtype_that_is_not_known(gpt2, form):
    bad = {"transformer.ln_f.bias": torch.ones(32).to(torch.float8_e4m3fn)}
    edit(gpt2, lambda tensors: tensors.update(bad))
    if form == BIN:
        to_bin(gpt2)
    refused(gpt2, form, *bad, "F8_E4M3" if form == SAFETENSORS else "float8_e4m3fn")


def test_sparse_weights(gpt2):
    tensors = load_file(gpt2 / SAFETENSORS)
    tensors["transformer.ln_f.bias"] = tensors["transformer.ln_f.bias"].to_sparse()
    (gpt2 / SAFETENSORS).unlink()
    torch.save(tensors, gpt2 / BIN)
    refused(gpt2, BIN, "transformer.ln_f.bias", "sparse")


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
def test_no_tokenizer(variant, copied):
    """transformers would make an empty one."""
    directory = copied(variant)
    (directory / "tokenizer.json").unlink()
    refused(directory, "tokenizer.json")
    (directory / "tokenizer_config.json").unlink()
    refused(directory, "tokenizer.json")


def test_half_a_tokenizer(gpt2):
    vocab = json.loads((gpt2 / "tokenizer.json").read_text())["model"]["vocab"]
    (gpt2 / "tokenizer.json").unlink()
    (gpt2 / "vocab.json").write_text(json.dumps(vocab))
    refused(gpt2, "tokenizer")


def test_a_broken_tokenizer(gpt2):
    (gpt2 / "tokenizer.json").write_text('{"version": 1')
    refused(gpt2, "tokenizer")
