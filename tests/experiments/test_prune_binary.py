"""Pruned checkpoints are what transformers loads, zero where they should be."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from experiments import prune
from tests import tiny
from tests.experiments import binary


def pruned(saved, variant, directory, *argv):
    """Runs the binary; gives the torch models before and after, and what it said."""
    ended = binary.run(
        prune, f"--model={saved(variant)}", f"--export={directory}", *argv
    )
    assert ended.status == 0, ended.stderr
    assert ended.stderr == ""
    kind = tiny.VARIANTS[variant].torch_class
    models = []
    for path in saved(variant), directory:
        model, loading = kind.from_pretrained(path, output_loading_info=True)
        models.append(model)
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not loading[problem]
    return *(dict(model.named_parameters()) for model in models), ended.stdout


def kernel_names(parameters):
    return [
        name
        for name, parameter in parameters.items()
        if parameter.ndim == 2
        and any(part in name for part in (".h.", "encoder.layer.", ".block."))
        and "relative" not in name
    ]


def assert_smallest_are_zero(dense, sparse, sparsity):
    """The smallest weights of a matrix are exactly zero, the others as they were."""
    dense, sparse = dense.detach().numpy(), sparse.detach().numpy()
    zero = sparse == 0
    assert zero.sum() == round(sparsity * zero.size)
    assert np.abs(dense)[zero].max() <= np.abs(dense)[~zero].min()
    np.testing.assert_array_equal(sparse[~zero], dense[~zero])


@pytest.mark.parametrize(
    "variant", ["gpt2", "electra-generator-projected", "t5-gated-untied"]
)
def test_kernels_of_blocks_are_zero_where_smallest_and_the_rest_as_it_was(
    saved, tmp_path, variant
):
    out = tmp_path / "deep" / "pruned"
    dense, sparse, said = pruned(saved, variant, out, "--sparsities=0.9")
    kernels = kernel_names(dense)
    assert len(kernels) >= 12
    for name, parameter in dense.items():
        if name in kernels:
            assert_smallest_are_zero(parameter, sparse[name], 0.9)
        else:
            np.testing.assert_array_equal(
                sparse[name].detach().numpy(), parameter.detach().numpy()
            )
    assert dense.keys() == sparse.keys()

    size = sum(dense[name].numel() for name in kernels)
    zero = sum(round(0.9 * dense[name].numel()) for name in kernels)
    total = sum(parameter.numel() for parameter in dense.values())
    assert f"magnitude, sparsity 0.9 requested, {zero / size:.6f} of the" in said
    assert f"(blocks) and {zero / total:.6f} of all; written to {out}" in said
    assert [path.name for path in out.parent.iterdir()] == ["pruned"]


@pytest.mark.parametrize("variant", ["gpt2", "t5"])
def test_a_tied_head_is_written_by_itself_where_it_is_pruned(saved, tmp_path, variant):
    out, embedding = tmp_path / "pruned", {"gpt2": "transformer.wte", "t5": "shared"}
    name = f"{embedding[variant]}.weight"
    flags = ("--sparsities=0.5", "--prunable=linear")
    dense, sparse, _ = pruned(saved, variant, out, *flags)
    assert "lm_head.weight" not in dense
    assert_smallest_are_zero(dense[name], sparse["lm_head.weight"], 0.5)
    np.testing.assert_array_equal(
        sparse[name].detach().numpy(), dense[name].detach().numpy()
    )


def test_seed_and_global_scope_reach_the_masks(saved, tmp_path):
    flags = ("--method=random", "--scope=global", "--sparsities=0.25")
    runs = {
        (seed, again): pruned(
            saved, "gpt2", tmp_path / f"{seed}{again}", *flags, f"--seed={seed}"
        )
        for seed, again in ((0, 0), (0, 1), (1, 0))
    }
    dense, _, _ = runs[0, 0]
    kernels = kernel_names(dense)
    zeros = {
        run: np.concatenate([(sparse[name] == 0).numpy().ravel() for name in kernels])
        for run, (_, sparse, _) in runs.items()
    }
    for zero in zeros.values():
        assert zero.sum() == round(0.25 * zero.size)
    np.testing.assert_array_equal(zeros[0, 0], zeros[0, 1])
    assert np.mean(zeros[0, 0] & zeros[1, 0]) == pytest.approx(0.25**2, abs=0.01)


def test_sparsity_0_is_a_copy_with_its_tokenizer(saved, tmp_path):
    out = tmp_path / "copy"
    dense, copied, said = pruned(saved, "gpt2", out, "--sparsities=0")
    for name, parameter in dense.items():
        np.testing.assert_array_equal(
            copied[name].detach().numpy(), parameter.detach().numpy()
        )
    assert "0.000000 of the prunable weights" in said
    text = "Ned ran over the bridge ."
    ids = [AutoTokenizer.from_pretrained(path)(text) for path in (saved("gpt2"), out)]
    assert ids[0]["input_ids"] == ids[1]["input_ids"]
    config = json.loads((out / "config.json").read_text())
    assert config == json.loads((saved("gpt2") / "config.json").read_text())


def test_help_in_a_process_of_its_own_names_its_flags_and_the_shared_ones(tmp_path):
    ended = binary.start("-m", "experiments.prune", "--help", cwd=tmp_path)
    assert (ended.status, ended.stderr) == (0, "")
    assert "flags of prune:" in ended.stdout
    assert "  --export: " in ended.stdout
    assert "  --prunable: " in ended.stdout
    assert not list(tmp_path.iterdir())


def test_zeros_of_the_file_are_told_and_count(saved, tmp_path):
    """Half of each matrix, which is more than is asked for."""
    half = tmp_path / "half"
    pruned(saved, "gpt2", half, "--sparsities=0.5")
    ended = binary.run(
        prune, f"--model={half}", f"--export={tmp_path / 'again'}", "--sparsities=0.3"
    )
    assert ended.status == 0
    assert "sparsity 0.3 requested, 0.500000 of the prunable weights" in ended.stdout
    assert "0.500000 of the prunable weights were zero already; they" in ended.stdout
