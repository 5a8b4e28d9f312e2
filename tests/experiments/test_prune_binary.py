"""Pruned checkpoints are what transformers loads, zero where they should be."""

import json
import math
import re

import numpy as np
import pyarrow.parquet
import pytest
from transformers import AutoTokenizer

import jaxsparse
from experiments import calibrating, prune, sweep
from jaxsparse import calibration
from jaxsparse.one_shot.leaves import PrunedLeaves
from tests import tiny
from tests.experiments import binary
from tests.slices import slow


@pytest.fixture
def few_rows(monkeypatch):
    def few(model, texts, rows, tokens, *args, **kwargs):
        return calibration.calibrate(model, texts, 3, 24, *args, **kwargs)

    monkeypatch.setattr(calibrating, "calibrate", few)


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
    assert f"(blocks) and {zero / total:.6f} of all\n" in said
    assert said.endswith(f"\nwritten to {out}\n")
    bits = sum(
        min(4 * p.numel(), math.ceil(p.numel() / 8) + 4 * p.count_nonzero().item())
        for p in sparse.values()
    )
    assert (
        f"weights: {4 * total:,} bytes before; after it {4 * total:,} dense, " in said
    )
    assert f" dense, {bits:,} as bitmask\n" in said
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


def test_a_bitmask_is_as_small_as_it_says_and_holds_the_same_model(saved, tmp_path):
    common = f"--model={saved('gpt2')}", "--sparsities=0.9", "--prunable=all"
    said = {}
    for form in "dense", "bitmask":
        ended = binary.run(
            prune, *common, f"--format={form}", f"--export={tmp_path / form}"
        )
        assert (ended.status, ended.stderr) == (0, "")
        (said[form],) = re.findall(r"^weights: .*$", ended.stdout, re.M)
    assert said["dense"] == said["bitmask"]
    dense, bitmask = re.search(
        r"it ([\d,]+) dense, ([\d,]+) as", said["dense"]
    ).groups()
    for form, file, size in (
        ("dense", "model.safetensors", dense),
        ("bitmask", "model.bitmask.safetensors", bitmask),
    ):
        length = (tmp_path / form / file).read_bytes()
        header = 8 + int.from_bytes(length[:8], "little")
        assert len(length) - header == int(size.replace(",", ""))
    models = [jaxsparse.load_model(str(tmp_path / form)) for form in said]
    assert models[0].digest == models[1].digest
    card = (tmp_path / "bitmask" / "README.md").read_text()
    assert "library_name: jaxsparse\n" in card
    assert "--format=bitmask" in card


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


def zeros_of(parameters):
    """Where a kernel is zero, (in, out) or (out, in) as torch has it."""
    return {
        name: parameters[name].detach().numpy() == 0
        for name in kernel_names(parameters)
    }


METHODS = ("magnitude", "wanda", "sparsegpt", "admm", "wanda+pcg")


@pytest.mark.parametrize("method", slow(METHODS, METHODS[1:]))
def test_what_is_zero_already_stays_zero_and_counts(saved, tmp_path, few_rows, method):
    flags = f"--method={method}", "--sparsities=0.5"
    _, half, _ = pruned(saved, "gpt2", tmp_path / "half", *flags)
    for sparsity, achieved in (0.7, 0.7), (0.3, 0.5):
        out = tmp_path / f"{sparsity}"
        of_half = lambda _: tmp_path / "half"  # noqa: E731
        flags = f"--method={method}", f"--sparsities={sparsity}"
        _, more, said = pruned(of_half, "gpt2", out, *flags)
        for name, zero in zeros_of(more).items():
            assert (zero | ~zeros_of(half)[name]).all()
            assert zero.mean() == pytest.approx(achieved, abs=0.02)
        stated = re.search(r"requested, ([\d.]+) of the prunable", said)
        assert float(stated[1]) == pytest.approx(achieved, abs=0.01)
        assert "of the prunable weights were zero already; they" in said


@pytest.mark.parametrize(
    ("variant", "axis"), [("gpt2", 0), ("electra-generator-projected", 1)]
)
@pytest.mark.parametrize("method", slow(METHODS, METHODS[1:]))
def test_n_of_m_holds_over_the_inputs_in_torchs_layout(
    saved, tmp_path, few_rows, method, variant, axis
):
    """GPT-2's Conv1D is (in, out), a Linear (out, in)."""
    flags = f"--method={method}", "--pattern=2:4"
    _, sparse, said = pruned(saved, variant, tmp_path / "out", *flags)
    assert "sparsity 0.5 requested, 0.500000 of the prunable weights" in said
    zeros = zeros_of(sparse)
    assert len(zeros) >= 12
    for zero in zeros.values():
        groups = np.moveaxis(zero, axis, 0).reshape(-1, 4, zero.shape[1 - axis])
        assert (groups.sum(axis=1) == 2).all()


@pytest.mark.parametrize(
    ("variant", "method", "pattern"),
    slow(
        [
            ("gpt2", "wanda+bias", "neurons"),
            ("electra-discriminator", "magnitude", "layers"),
            ("t5-gated", "magnitude", "heads"),
        ],
        [("electra-discriminator", "magnitude", "layers")],
    ),
)
def test_a_smaller_model_is_written_with_its_card(
    saved, tmp_path, few_rows, variant, method, pattern
):
    out = tmp_path / "out"
    flags = f"--method={method}", f"--pattern={pattern}", "--sparsities=0.5"
    dense, sparse, said = pruned(saved, variant, out, *flags)
    before, after = (sum(p.numel() for p in of.values()) for of in (dense, sparse))
    assert f"sparsity 0.5 requested, 0.500000 of the {pattern} and " in said
    assert f"{(before - after) / before:.6f} of all\n" in said
    assert f"parameters: {before:,} before, {after:,} after\n" in said
    assert f"weights: {4 * before:,} bytes before; after it {4 * after:,} dense" in said
    card = (out / "README.md").read_text("utf-8")
    config = json.loads((out / "config.json").read_text("utf-8"))
    key = {
        "neurons": "n_inner", "layers": "num_hidden_layers", "heads": "num_heads",
    }[pattern]  # fmt: skip
    assert f"Whole {pattern} were removed, not zeroed, so that the arrays are" in card
    assert f"`{key}` is {config[key]}" in card
    assert f"| parameters | {after:,} |" in card
    assert f"| pattern | {pattern} |" in card
    assert "stored as zeros" not in card
    calibrated = pattern == "layers" or method != "magnitude"
    assert (out / "calibration.parquet").exists() == calibrated
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_it_goes_on_where_it_was_killed(saved, tmp_path, few_rows, monkeypatch):
    """In the middle of pruning, and then in the middle of writing."""
    flags = f"--model={saved('gpt2')}", "--method=sparsegpt", "--sparsities=0.5"
    whole, out = tmp_path / "whole", tmp_path / "deep" / "out"
    assert binary.run(prune, *flags, f"--export={whole}").status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]

    class Killed(BaseException):
        pass

    blocks = []
    block_done = PrunedLeaves.block_done

    def counted(self, matrices):
        block_done(self, matrices)
        blocks.append(matrices)
        if len(blocks) == 2:
            raise Killed

    def killed(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(PrunedLeaves, "block_done", counted)
    with pytest.raises(Killed):
        binary.run(prune, *flags, f"--export={out}")
    assert [path.name for path in out.parent.iterdir()] == [".out.work"]
    with monkeypatch.context() as patch:
        patch.setattr(prune.model_card, "text", killed)
        with pytest.raises(Killed):
            binary.run(prune, *flags, f"--export={out}")
    assert len(blocks) == 3  # of three, the first two were known
    assert [path.name for path in out.parent.iterdir()] == [".out.work"]
    assert binary.run(prune, *flags, f"--export={out}").status == 0
    assert len(blocks) == 3
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    files = sorted(path.name for path in whole.iterdir())
    assert files == sorted(path.name for path in out.iterdir())
    for name in files:
        expected = (whole / name).read_bytes().replace(bytes(whole), bytes(out))
        assert (out / name).read_bytes() == expected


def test_bad_input_leaves_no_work_behind(saved, tmp_path, few_rows, monkeypatch):
    def fail(self, matrices):
        raise jaxsparse.InputError("statistics are not finite")

    monkeypatch.setattr(PrunedLeaves, "block_done", fail)
    out = tmp_path / "deep" / "out"
    ended = binary.run(
        prune, f"--model={saved('gpt2')}", "--method=wanda", "--sparsities=0.5",
        f"--export={out}",
    )  # fmt: skip
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr == "error: statistics are not finite\n"
    assert not list(tmp_path.iterdir())


def test_a_card_and_what_the_model_was_fed_are_beside_the_weights(
    saved, tmp_path, few_rows
):
    out = tmp_path / "out"
    flags = "--method=magnitude+pcg", "--sparsities=0.5", "--seed=4"
    _, _, said = pruned(saved, "gpt2", out, *flags)
    errors = re.search(
        r"^reconstruction error: (\S+) on average, at most (\S+) in (\S+), layer \d$",
        said,
        re.M,
    )
    assert 0 < float(errors[1]) < float(errors[2]) < 1
    assert "\ndamping was raised 0 times\n" in said
    card = (out / "README.md").read_text()
    assert f"| reconstruction error, mean | {errors[1]} |" in card
    assert f"| largest | {errors[2]} of `{errors[3]}`, layer" in card
    assert f"\n./run.sh prune --model={saved('gpt2')} --export={out} --me" in card
    model = jaxsparse.load_model(str(saved("gpt2")))
    fed = calibration.bundled(model, rows=3, tokens=24, seed=4)
    assert f"| SHA-256 of what was fed | {fed.digest} |" in card
    assert "| test questions in it | 0 matches with the 568 bundled ones |" in card
    table = pyarrow.parquet.read_table(out / "calibration.parquet")
    assert table["tokens"].to_pylist() == fed.examples.inputs.tokens.tolist()
    assert "AutoModelForCausalLM" in card
    again = jaxsparse.load_model(str(out))
    assert again.digest != model.digest


OWN = """
def by_chance(weights, statistics, generator):
    return generator.random(weights.shape, "float32")

by_chance.draws, by_chance.scopes = True, ("matrix", "global")
"""


def test_scores_of_a_run_that_measured_this_model_go_into_the_card(saved, tmp_path):
    """By a method of one's own, of which the run says which text it was."""
    (tmp_path / "own.py").write_text(OWN)
    method = f"{tmp_path}/own.py:by_chance"
    binary.write_directory(tmp_path / "data", each=1)
    run, model = tmp_path / "run", f"--model={saved('gpt2')}"
    ended = binary.run(
        sweep, model, f"--data={tmp_path}/data", "--context=query",
        f"--method=magnitude,{method}", "--sparsities=0.5", f"--out={run}",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    (row,) = (
        row
        for row in (run / "results.csv").read_text().splitlines()
        if f",{method}," in row and ",0.5," in row and ",all," in row
    )
    out = tmp_path / "out"
    flags = f"--method={method}", "--sparsities=0.5", f"--results={run}"
    pruned(saved, "gpt2", out, *flags)
    (line,) = (
        line
        for line in (out / "README.md").read_text().splitlines()
        if line.startswith("| cloze | query | test | all | 4 | ")
    )
    accuracy = float(line.split(" | ")[5])
    assert f",{accuracy}," in row
    for other in "--seed=1", "--scope=global", "--prunable=linear":
        ended = binary.run(prune, model, *flags, other, f"--export={out}-2")
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"error: --results={run}: no point there is")
    facts = json.loads((run / "run.json").read_text())
    assert list(facts["methods"]) == [method]
    facts["methods"][method] = "of another text"
    (run / "run.json").write_text(json.dumps(facts))
    ended = binary.run(prune, model, *flags, f"--export={out}-2")
    assert ended.stderr.startswith(f"error: --results={run}: no point there is")
    ended = binary.run(
        prune, model, *flags[:2], f"--results={tmp_path}/none", f"--export={out}-2"
    )
    assert (ended.status, ended.stdout) == (2, "")
    assert "no such directory; name that of a run" in ended.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"data", "run", "out", "own.py"}
