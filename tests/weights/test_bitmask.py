"""What is stored as bits and values comes back bit for bit, and damage is told."""

import json
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file

from jaxsparse import load_model, prune, save
from jaxsparse.model import check_values, open_model, save_leaves
from jaxsparse.types import InputError
from jaxsparse.weights import bitmask, writing
from jaxsparse.weights.reading import BITMASK, SAFETENSORS, open_checkpoint
from tests import tiny
from tests.oracle import torch

DTYPES = ("float32", "float16", "bfloat16")
NAME = "transformer.h.1.mlp.c_fc.weight"


def written(arrays, directory, format="bitmask"):
    """A directory of these tensors, and what it takes."""
    tensors = {
        name: writing.Tensor(array.shape, array.dtype, lambda array=array: array)
        for name, array in arrays.items()
    }
    source = directory.with_name("source")
    source.mkdir(exist_ok=True)
    return writing.write_checkpoint(directory, source, {}, tensors, format=format)


def sparse_array(dtype, shape, density=0.3, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) * (generator.random(shape) < density)
    return values.astype(np.dtype(dtype))


def read_all(directory):
    checkpoint = open_checkpoint(directory)
    return {name: checkpoint.read(name) for name in checkpoint.shapes}


def assert_same(got, expected):
    """Names, dtypes, shapes and bits."""
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        assert got[name].shape == tensor.shape
        assert got[name].tobytes() == tensor.tobytes()


@given(
    bits=arrays.arrays(
        st.sampled_from([np.uint16, np.uint32]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
        elements=st.sampled_from([0, 0, 1, 2**15, 2**16 - 1]),
    ),
    narrow=st.sampled_from([np.float16, ml_dtypes.bfloat16]),
)
def test_any_bits_come_back(bits, narrow):
    """Minus zero, NaN and denormal numbers among them."""
    dtype = np.dtype(np.float32 if bits.dtype == np.uint32 else narrow)
    tensor = bits.view(dtype)
    kept = bitmask.kept(tensor)
    values = tensor.reshape(-1)[kept]
    mask = bitmask.packed(kept)
    assert mask.size == math.ceil(bits.size / 8)
    assert values.size == np.count_nonzero(bits)
    size = mask.nbytes + values.nbytes
    assert bitmask.stored_bytes(kept, dtype.itemsize) == size
    again = bitmask.restored(mask, values, tensor.shape)
    assert again.dtype == dtype
    np.testing.assert_array_equal(again.view(bits.dtype), bits)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_holds_what_its_words_say(dtype, tmp_path):
    tensor = sparse_array(dtype, (3, 7))
    tensor[0, 0] = -0.0
    dense = np.ones(5, np.dtype(dtype))
    written({"a": tensor, "b": dense}, tmp_path / "out")
    stored = load_file(tmp_path / "out" / BITMASK)
    assert stored.keys() == {"a.bitmask", "a.values", "b"}
    bits = [
        int(stored["a.bitmask"][number // 8]) >> number % 8 & 1 for number in range(24)
    ]
    kept = [value != 0 or np.signbit(value) for value in tensor.reshape(-1)]
    assert bits == [*map(int, kept), 0, 0, 0]
    expected = tensor.reshape(-1)[np.array(kept)]
    assert stored["a.values"].tobytes() == expected.tobytes()
    assert_same(read_all(tmp_path / "out"), {"a": tensor, "b": dense})


def test_what_would_not_shrink_is_stored_as_it_is(tmp_path):
    """Of 64 float32 a mask takes 8 bytes: two of them."""
    arrays = {str(zeros): np.ones(64, np.float32) for zeros in range(5)}
    for name, array in arrays.items():
        array[: int(name)] = 0
    sizes = written(arrays, tmp_path / "out")
    stored = load_file(tmp_path / "out" / BITMASK)
    assert {name for name in arrays if name in stored} == {"0", "1", "2"}
    assert sizes == writing.Sizes(5 * 256, 3 * 256 + 8 + 61 * 4 + 8 + 60 * 4)
    assert sum(tensor.nbytes for tensor in stored.values()) == sizes.bitmask
    assert written(arrays, tmp_path / "dense", "dense") == sizes
    assert_same(read_all(tmp_path / "out"), arrays)


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [("gpt2", "float32"), ("electra-generator", "float16"), ("t5", "bfloat16")],
)
def test_a_pruned_model_is_restored_with_its_digest(variant, dtype, tmp_path):
    tiny.save(variant, tmp_path / "saved", dtype=getattr(torch, dtype))
    pruned = prune(load_model(str(tmp_path / "saved")), "magnitude", 0.7)
    sizes = save(pruned, tmp_path / "dense")
    assert save(pruned, tmp_path / "bitmask", format="bitmask") == sizes
    assert sizes.bitmask < 0.8 * sizes.dense
    assert_same(read_all(tmp_path / "bitmask"), read_all(tmp_path / "dense"))
    models = [load_model(str(tmp_path / name)) for name in ("dense", "bitmask")]
    assert models[0].digest == models[1].digest
    for path, leaf in models[0].params.items():
        np.testing.assert_array_equal(models[1].params[path], leaf)
    save(models[1], tmp_path / "again", format="bitmask")
    save(models[1], tmp_path / "back")
    for again, first in ("again", "bitmask"), ("back", "dense"):
        files = {path.name: path for path in (tmp_path / first).iterdir()}
        assert {path.name for path in (tmp_path / again).iterdir()} == {*files}
        for name, path in files.items():
            assert (tmp_path / again / name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("pattern", ["neurons", "layers"])
def test_smaller_shapes_are_restored_too(loaded, tmp_path, pattern):
    """The format says shapes itself. Half of what is left is zero."""
    smaller = prune(loaded("gpt2"), "magnitude", 0.5, pattern=pattern)
    save(smaller, tmp_path / "smaller")
    pruned = prune(load_model(str(tmp_path / "smaller")), "magnitude", 0.5)
    for variant, name in (smaller, "full"), (pruned, "half"):
        save(variant, tmp_path / f"{name}-dense")
        save(variant, tmp_path / f"{name}-bitmask", format="bitmask")
        models = [load_model(str(tmp_path / f"{name}-{f}")) for f in writing.FORMATS]
        assert models[0].digest == models[1].digest
        assert models[0].config != loaded("gpt2").config


def test_values_loaded_in_bfloat16_stay_as_they_are(tmp_path):
    tiny.save("gpt2", tmp_path / "saved", dtype=torch.bfloat16)
    model = load_model(str(tmp_path / "saved"), dtype="bfloat16")
    pruned = prune(model, "magnitude", 0.5)
    save(pruned, tmp_path / "dense")
    save(pruned, tmp_path / "bitmask", format="bitmask")
    assert_same(read_all(tmp_path / "bitmask"), read_all(tmp_path / "dense"))


@pytest.mark.parametrize(("sparsity", "most"), [(0.5, 0.58), (0.9, 0.18)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_files_are_as_small_as_promised(sparsity, most, dtype, tmp_path):
    """With room for names: real matrices are larger than these."""
    tiny.save("gpt2", tmp_path / "saved", dtype=getattr(torch, dtype), vocab=5000)
    model = load_model(str(tmp_path / "saved"))
    pruned = prune(model, "magnitude", sparsity, prunable="all")
    files = []
    for format in writing.FORMATS:
        save(pruned, tmp_path / format, format=format)
        file = tmp_path / format / writing.FORMATS[format]
        files.append(file.stat().st_size)
    assert files[1] <= most * files[0]


def test_transformers_finds_no_weights_rather_than_wrong_ones(loaded, tmp_path):
    pruned = prune(loaded("gpt2"), "magnitude", 0.5)
    save(pruned, tmp_path / "out", format="bitmask")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        tiny.VARIANTS["gpt2"].torch_class.from_pretrained(tmp_path / "out")


@pytest.fixture
def packed(loaded, tmp_path):
    """A directory in bitmasks, for the test to damage."""
    pruned = prune(loaded("gpt2"), "magnitude", 0.5)
    save(pruned, tmp_path / "packed", format="bitmask")
    return tmp_path / "packed"


def test_large_ones_are_sharded_and_an_index_names_them(
    loaded, packed, tmp_path, monkeypatch
):
    monkeypatch.setattr(writing, "SHARD_BYTES", 40_000)
    pruned = prune(loaded("gpt2"), "magnitude", 0.5)
    sizes = save(pruned, tmp_path / "shards", format="bitmask")
    files = sorted(path.name for path in (tmp_path / "shards").glob("*.safetensors"))
    assert len(files) > 1
    assert files[0] == f"model-00001-of-{len(files):05d}.bitmask.safetensors"
    stored = [load_file(tmp_path / "shards" / name) for name in files]
    taken = [sum(tensor.nbytes for tensor in shard.values()) for shard in stored]
    assert sum(taken) == sizes.bitmask
    assert max(taken) < 70_000  # an embedding has 65,536
    index = json.loads((tmp_path / "shards" / f"{BITMASK}.index.json").read_text())
    assert index["metadata"]["total_size"] == sizes.bitmask
    assert {*index["weight_map"].values()} == {*files}
    checkpoint = open_checkpoint(tmp_path / "shards")
    assert checkpoint.shapes.keys() == index["weight_map"].keys()
    assert_same(read_all(tmp_path / "shards"), read_all(packed))
    expected = load_model(str(packed)).digest
    model = load_model(str(tmp_path / "shards"))
    assert model.digest == expected
    monkeypatch.undo()
    save(model, tmp_path / "one")  # the index stays behind
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        "config.json", "tokenizer.json", "tokenizer_config.json", SAFETENSORS,
        *(path.name for path in packed.glob("generation_config.json")),
    }  # fmt: skip


def edit(directory, change):
    """Changes the tensors and the metadata of the file."""
    path = directory / BITMASK
    tensors, said = load_file(path), metadata(path)
    shapes = json.loads(said["shapes"])
    change(tensors, said, shapes)
    if said.get("shapes"):
        said = {**said, "shapes": json.dumps(shapes)}
    save_file(tensors, path, metadata=said)


def metadata(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def refused(directory, *words, read=open_model):
    """`read` says in one line what is wrong with the file."""
    with pytest.raises(InputError) as caught:
        read(str(directory))
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(directory / BITMASK), *words):
        assert word in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors, said, shapes: said.update(version="2"), ["'2'", "update"]),
        (lambda tensors, said, shapes: said.update(format="pt"), ["'pt'"]),
        (lambda tensors, said, shapes: said.pop("format"), ["format"]),
        (lambda tensors, said, shapes: said.pop("shapes"), ["shapes"]),
        (lambda tensors, said, shapes: tensors.pop(f"{NAME}.bitmask"), ["missing"]),
        (lambda tensors, said, shapes: tensors.pop(f"{NAME}.values"), ["missing"]),
        (
            lambda tensors, said, shapes: tensors.update({NAME: np.ones(3)}),
            ["stored twice"],
        ),
        (lambda tensors, said, shapes: shapes.update({NAME: [7, 9]}), ["(7, 9)"]),
        (lambda tensors, said, shapes: shapes.update({NAME: [-32, -128]}), ["shapes"]),
        (lambda tensors, said, shapes: shapes.update({NAME: 4096}), ["shapes"]),
        (lambda tensors, said, shapes: shapes.update({NAME: [True]}), ["shapes"]),
        (
            lambda tensors, said, shapes: tensors.update(
                {f"{NAME}.values": np.ones(4097, np.float32)}
            ),
            ["(4097,)"],
        ),
        (
            lambda tensors, said, shapes: tensors.update(
                {f"{NAME}.values": np.ones((2, 4), np.float32)}
            ),
            ["(2, 4)"],
        ),
        (
            lambda tensors, said, shapes: tensors.update(
                {f"{NAME}.bitmask": np.ones(512, np.int8)}
            ),
            ["int8"],
        ),
    ],
)
def test_headers_that_do_not_fit_are_told_at_opening(packed, change, words):
    edit(packed, change)
    refused(packed, *words)


def test_another_version_is_not_told_to_be_damaged(packed):
    edit(packed, lambda tensors, said, shapes: said.update(version="2"))
    with pytest.raises(InputError, match=r"update jaxsparse$"):
        open_model(str(packed))


def test_a_file_under_the_name_of_a_dense_one_is_told_its_own(packed):
    """transformers' name, as if it read this."""
    (packed / BITMASK).rename(packed / SAFETENSORS)
    with pytest.raises(InputError, match=rf"{SAFETENSORS}: .* name it {BITMASK}"):
        open_model(str(packed))


@pytest.mark.parametrize("shapes", ["", "[]", "{", "null", "[" * 100_000])
def test_shapes_that_are_no_json_object(packed, shapes):
    path = packed / BITMASK
    said = metadata(path) | {"shapes": shapes}
    save_file(load_file(path), path, metadata=said)
    refused(packed, "shapes")


def test_a_count_that_does_not_fit_its_mask_is_told_before_anything_is_scored(packed):
    def drop(tensors, said, shapes):
        tensors[f"{NAME}.values"] = tensors[f"{NAME}.values"][1:]

    edit(packed, drop)
    check = lambda name: check_values(open_model(name))  # noqa: E731
    for read in load_model, check:
        refused(packed, NAME, "2047 values", "keeps 2048", read=read)


def test_bits_behind_the_last_weight(tmp_path):
    kept = np.array([True, False, True])
    mask = bitmask.packed(kept)
    values = np.ones(3, np.float32)
    assert bitmask.restored(mask, values[:2], (3,)).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="behind the last"):
        bitmask.restored(mask | np.uint8(8), values, (3,))


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_file_cut_short(packed, kept):
    whole = (packed / BITMASK).read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(whole))
    (packed / BITMASK).write_bytes(whole[:length])
    refused(packed, "copy it again")


def test_weights_that_are_not_finite_are_named_as_in_dense_files(packed):
    def damage(tensors, said, shapes):
        tensors[f"{NAME}.values"] = np.full(2048, np.nan, np.float32)

    edit(packed, damage)
    with pytest.raises(InputError, match=rf"{NAME} holds 2048 values that are NaN"):
        load_model(str(packed))


def test_a_dense_file_comes_first(packed, loaded, tmp_path):
    save(loaded("gpt2"), tmp_path / "dense")
    (packed / SAFETENSORS).write_bytes((tmp_path / "dense" / SAFETENSORS).read_bytes())
    assert load_model(str(packed)).digest == loaded("gpt2").digest


def test_an_unknown_format_writes_nothing(loaded, tmp_path):
    model = loaded("gpt2")
    with pytest.raises(InputError, match=r"`format=zip`: choose one of dense, bitmask"):
        save(model, tmp_path / "out", format="zip")
    with pytest.raises(InputError, match="`format=zip`"):
        save_leaves(model, model.params, tmp_path / "out", format="zip")
    assert not list(tmp_path.iterdir())


def test_tensors_are_read_one_at_a_time(tmp_path):
    arrays = {
        str(number): sparse_array("float32", (500, 1000), seed=number)
        for number in range(6)
    }
    written(arrays, tmp_path / "out")
    checkpoint = open_checkpoint(tmp_path / "out")
    tracemalloc.start()
    try:
        for name in arrays:
            checkpoint.read(name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = arrays["0"].nbytes
    assert one < peak < 3 * one
