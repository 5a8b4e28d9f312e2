"""The model card says what is true, and nobody's text breaks it."""

import dataclasses
import re

import pytest
import yaml
from safetensors.numpy import load_file

from jaxsparse import load_model, model_card, save
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.points import TextLoss
from jaxsparse.pruning import Recipe
from jaxsparse.training.training import Training
from jaxsparse.variants import dense
from jaxsparse.weights import writing
from tests import tiny
from tests.oracle import torch
from tests.report import made

COMMAND = "./run.sh prune --model=tiny"
VERSIONS = {"jaxsparse": "1.2", "torch": None}


def parsed(card):
    """Front matter, and the rows of the tables of each section."""
    _, front, body = card.split("---\n", 2)
    sections = {}
    for section in body.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        sections[title] = [
            [cell.strip() for cell in line[1:-1].split(" | ")]
            for line in lines
            if line.startswith("|")
        ]
    return yaml.safe_load(front), sections


@pytest.fixture
def pruned(loaded):
    return prune(loaded("gpt2"), "random", 0.3, seed=7)


def test_it_has_the_recipe_in_full_and_every_matrix(pruned):
    front, sections = parsed(model_card.text(pruned, COMMAND, VERSIONS))
    assert front == {"library_name": "transformers", "tags": ["jaxsparse", "pruned"]}
    rows = dict(sections["Recipe"][2:])
    assert rows["its digest"] == pruned.model.digest
    assert rows["method"] == "random"
    assert (rows["scope"], rows["pattern"]) == ("matrix", "unstructured")
    assert (rows["allocation"], rows["statistics"]) == ("uniform", "none needed")
    assert (rows["prunable"], rows["seed"]) == ("blocks", "7")
    assert rows["sparsity requested"] == "0.3"
    achieved = rows["achieved, of the prunable weights"]
    assert achieved == f"{pruned.achieved_sparsity:.6f}"
    assert rows["achieved, of all parameters"] == f"{pruned.total_sparsity:.6f}"
    matrices = sections["Layers"][2:]
    assert len(matrices) == len(pruned.matrices)
    for row, matrix in zip(matrices, pruned.matrices, strict=True):
        assert row[:2] == [f"`{matrix.path}`", str(matrix.layer)]
        assert row[2:4] == [f"{matrix.weights:,}", f"{matrix.pruned:,}"]
    assert "Calibration" not in sections
    assert "Scores" not in sections


def test_a_model_of_the_hub_is_named_and_one_that_is_not_pruned_is_not_called_so(
    loaded,
):
    start = dense(loaded("gpt2"), Recipe("magnitude"))
    card = model_card.text(start, COMMAND, VERSIONS, repository="openai/gpt2")
    front, sections = parsed(card)
    assert front["base_model"] == "openai/gpt2"
    assert front["tags"] == ["jaxsparse"]
    assert "method" not in dict(sections["Recipe"][2:])
    assert "pruned" not in card.split("## Loading")[0]
    assert "execution=" not in card


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_it_says_of_bitmasks_reads_them_bit_for_bit(tmp_path, monkeypatch, dtype):
    """Without this package, and sharded."""
    tiny.save("gpt2", tmp_path / "saved", dtype=getattr(torch, dtype))
    pruned = prune(load_model(str(tmp_path / "saved")), "magnitude", 0.6)
    card = model_card.text(pruned, COMMAND, VERSIONS, format="bitmask")
    front, _ = parsed(card)
    assert front["library_name"] == "jaxsparse"
    assert "from_pretrained" not in card
    assert 'jaxsparse.load_model(".", execution="auto")' in card
    code = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    loading, saving, reading = code
    assert "jaxsparse" not in reading
    assert len(reading.splitlines()) == 10
    save(pruned, tmp_path / "dense")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "SHARD_BYTES", 40_000)
        save(pruned, tmp_path / "bitmask", format="bitmask")
    monkeypatch.chdir(tmp_path / "bitmask")
    read = {}
    exec(reading, read)
    stored = load_file(tmp_path / "dense" / "model.safetensors")
    assert read["tensors"].keys() == stored.keys()
    for name, tensor in stored.items():
        got = read["tensors"][name]
        assert (got.dtype, got.shape) == (tensor.dtype, tensor.shape)
        assert got.tobytes() == tensor.tobytes()
    exec(f"{loading}\n{saving}", {})
    again = load_file(tmp_path / "bitmask" / "dense" / "model.safetensors")
    assert {name: t.tobytes() for name, t in again.items()} == {
        name: t.tobytes() for name, t in stored.items()
    }


def test_errors_are_there_where_they_were_measured(pruned):
    matrices = tuple(
        dataclasses.replace(matrix, error=number / 100, damping_raised=number == 2)
        for number, matrix in enumerate(pruned.matrices)
    )
    variant = dataclasses.replace(
        pruned, matrices=matrices, recipe=Recipe("magnitude+pcg")
    )
    _, sections = parsed(model_card.text(variant, COMMAND, VERSIONS))
    rows, last = dict(sections["Recipe"][2:]), matrices[-1]
    mean = (len(matrices) - 1) / 200
    assert rows["reconstruction error, mean"] == f"{mean:.4g}"
    assert rows["largest"] == f"{last.error:.4g} of `{last.path}`, layer {last.layer}"
    assert rows["damping raised"] == "1 times"
    assert sections["Layers"][3][-1] == "0.01"


def test_nobodys_text_breaks_it(loaded):
    model = loaded("gpt2")
    name = "a|b\n---\n# `c`</td><script>[x](y)"
    blueprint = dataclasses.replace(model.blueprint, name=name)
    (variant,) = OneShot(dataclasses.replace(model, blueprint=blueprint)).variants(
        Recipe("magnitude"), [0.5]
    )
    command = "./run.sh prune --model='\n```\n# mine'"
    card = model_card.text(variant, command, VERSIONS)
    plain = model_card.text(variant, COMMAND, VERSIONS)
    assert len(card.splitlines()) == len(plain.splitlines())
    assert "\n```\n# mine" not in card
    assert "<script>" not in card.replace("\\<script\\>", "")
    front, sections = parsed(card)
    assert front["tags"] == ["jaxsparse", "pruned"]
    assert all(len(row) == 2 for row in sections["Recipe"])
    assert "a\\|b\\\\n---\\\\n\\# \\`c\\`\\</td\\>" in sections["Recipe"][2][1]


def test_scores_are_those_of_the_points(pruned):
    _, point = made.curve({0.0: 3, 0.3: 6}, method="random")
    loss = TextLoss("sto|ry.txt", 2, 1234, 3.25, 25.79, 0)
    points = [dataclasses.replace(point, texts=(loss,))]
    _, sections = parsed(model_card.text(pruned, COMMAND, VERSIONS, points=points))
    rows = sections["Scores"]
    (pooled,) = (row for row in rows if row[3:4] == ["all"])
    assert pooled[:3] == ["cloze", "full", "test"]
    assert pooled[4:6] == ["8", "0.7500"]
    assert pooled[7] == "0.3750"
    assert rows[-1] == ["sto\\|ry.txt", "1,234", "3.2500"]


TRAINED = model_card.TrainedBack(
    {"steps": 300, "learning_rate": 0.001, "presentation": {"protocol": "cloze"}},
    "1,200 questions of my|data, split train",
    "200 questions, split validation",
)


@pytest.mark.parametrize(
    ("sparsity", "schedule", "title"),
    [
        (0.3, "oneshot", "pruned to sparsity 0.3, then fine-tuned"),
        (0.3, "gradual", "pruned to sparsity 0.3 while it was fine-tuned"),
        (0.3, "dense", "fine-tuned, then pruned to sparsity 0.3"),
        (0.0, "oneshot", "fine-tuned"),
    ],
)
def test_a_fine_tuned_model_says_how_it_was_trained(loaded, sparsity, schedule, title):
    model = loaded("gpt2")
    training = Training("both", "norms,biases", schedule=schedule, seed=3)
    variant = dataclasses.replace(
        prune(model, "magnitude", sparsity), training=training, training_seconds=1234.5
    )
    (point,) = made.curve({0.3: 6}, training=training, dense=5, seconds=1234.5)
    card = model_card.text(
        variant, COMMAND, VERSIONS, points=[point], repository="openai/gpt2",
        trained=TRAINED,
    )  # fmt: skip
    front, sections = parsed(card)
    assert f"\n# {model.name}, {title}\n" in card
    assert front["base_model"] == "openai/gpt2"
    assert front["tags"] == ["jaxsparse", *["pruned"] * (sparsity > 0), "fine-tuned"]
    assert dict(sections["Training"][2:]) == {
        "objective": "both", "trained": "norms,biases", "distilled": "none",
        "schedule": schedule, "seed": "3",
        "trained on": "1,200 questions of my\\|data, split train",
        "stopped on": "200 questions, split validation", "`steps`": "300",
        "`learning_rate`": "0.001", "`presentation`": '{"protocol": "cloze"}',
        "seconds": "1,234",
    }  # fmt: skip
    pooled = next(row for row in sections["Scores"] if row[3:4] == ["all"])
    assert (pooled[5], pooled[7]) == ("0.7500", "0.6250")
    assert "method" in dict(sections["Recipe"][2:]) or not sparsity


def test_what_is_not_known_of_training_is_not_said(pruned):
    variant = dataclasses.replace(pruned, training=Training())
    _, sections = parsed(model_card.text(variant, COMMAND, VERSIONS))
    rows = dict(sections["Training"][2:])
    assert rows.keys() == {"objective", "trained", "distilled", "schedule", "seed"}
    _, one_shot = parsed(model_card.text(pruned, COMMAND, VERSIONS))
    assert "Training" not in one_shot
