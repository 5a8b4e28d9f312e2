"""Nats of running text: torch's own, whatever else is computed beside them."""

import dataclasses
import weakref

import numpy as np
import pytest

from jaxsparse import portions, text_loss, variants
from jaxsparse.cbt import Question
from jaxsparse.device import ACCELERATOR
from jaxsparse.journal import Journal, key_of
from jaxsparse.model import load, load_model, open_model
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.sweep import sweep
from jaxsparse.texts import Text, read
from jaxsparse.types import InputError, Presentation
from tests import asking, tiny
from tests.oracle import torch
from tests.slices import slow
from tests.told import Told

FAMILIES = ("gpt2", "electra-generator-projected", "t5")
LATER = ("llama", "mistral", "pythia", "opt", "bert", "roberta")
PARTS = [" ".join(tiny.question_text(seed)[0]) for seed in range(12)]
LONG, SHORT = Text("long", " ".join(PARTS)), Text("short", " ".join(PARTS[:3]))
LENGTH = 50


def question():
    context, query, options, answer = tiny.question_text(2)
    return Question(context, query, options, answer, "CN", id="CN-test-1")


def read_for(model, *texts, **how):
    return read(texts, model.config, model.tokenizer, **{"tokens": LENGTH, **how})


def curve_of(model):
    recipe = Recipe("magnitude")
    pruned = OneShot(model).variants(recipe, (0.5, 0.9))
    return (variants.dense(model, recipe), *pruned)


def losses_of(model, texts, curves=None, **how):
    curves = curves or curve_of(model)
    found = text_loss.evaluate(curves, texts, details=True, **how)
    return [found[key_of(variant.identity)] for variant in curves]


def nats_of(losses):
    return [[text.tokens.nats for text in of_variant] for of_variant in losses]


def assert_close(found, expected):
    for of_variant, others in zip(found, expected, strict=True):
        for one, other in zip(of_variant, others, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def torch_nats(variant, examples):
    """Row by row, over all of the row's logits."""
    model, inputs = tiny.torch_model(variant), examples.inputs
    rows = []
    for row, targets in enumerate(examples.targets):
        tokens = torch.tensor(inputs.tokens[row : row + 1]).long()
        if variant == "t5":
            encoder = torch.tensor(inputs.encoder_tokens[row : row + 1]).long()
            logits = model(input_ids=encoder, decoder_input_ids=tokens).logits
        else:
            logits = model(input_ids=tokens).logits
        logs = torch.log_softmax(logits[0], dim=-1).numpy()
        rows.append(-logs[inputs.scored[row], targets])
    return np.stack(rows)


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_nats_are_those_of_torch(variant, loaded):
    model = loaded(variant)
    texts = read_for(model, LONG)
    ((loss,), *_) = losses_of(model, texts)
    expected = torch_nats(variant, texts[0].examples)
    np.testing.assert_allclose(loss.tokens.nats, expected, atol=1e-4)
    assert expected.std() > 0.3
    assert loss.windows == texts[0].windows > 8
    assert loss.targets == expected.size
    assert loss.nats == pytest.approx(expected.mean(dtype=np.float64), abs=1e-5)
    if model.config.reading == "causal":
        assert loss.perplexity == pytest.approx(np.exp(loss.nats))
    else:
        assert loss.perplexity is None


@pytest.mark.parametrize("variant", FAMILIES)
def test_no_other_row_nor_another_text_changes_nats(variant, loaded):
    """The last batch is filled up, however many windows a batch has."""
    model = loaded(variant)
    texts = read_for(model, LONG, SHORT)
    curves = curve_of(model)[::2]
    together = nats_of(losses_of(model, texts, curves))
    alone = nats_of(losses_of(model, texts[1:], curves, batch_tokens=3 * LENGTH))
    assert_close(alone, [of_variant[1:] for of_variant in together])


@pytest.mark.parametrize("variant", slow(FAMILIES, FAMILIES[1:]))
def test_variants_at_once_on_an_accelerators_form(variant, loaded, saved):
    model = loaded(variant)
    expected = nats_of(losses_of(model, read_for(model, SHORT)))
    other = load(open_model(str(saved(variant))), form=ACCELERATOR)
    told = losses_of(other, read_for(other, SHORT), levels_at_once=2)
    assert_close(nats_of(told), expected)


def test_a_variant_is_computed_once_and_pruning_costs(loaded):
    model = loaded("gpt2")
    told = Told()
    dense, *pruned = curve_of(model)
    random = dataclasses.replace(dense, recipe=Recipe("random"))
    texts = read_for(model, LONG)
    found = losses_of(model, texts, (dense, *pruned, random), progress=told)
    assert told.stages[0][:3] == ("text", 3 * texts[0].windows, "windows")
    assert told.counts == [3 * texts[0].windows]
    assert found[0][0].nats == found[-1][0].nats
    assert len({loss.nats for (loss,) in found}) == 3


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(loaded, tmp_path):
    model = loaded("electra-generator-projected")
    texts = read_for(model, LONG, SHORT)
    how = {"batch_tokens": 3 * LENGTH}
    expected = nats_of(losses_of(model, texts, **how))

    class Stopping(Told):
        def done(self, number):
            super().done(number)
            if sum(self.counts) > 20:
                raise KeyboardInterrupt

    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(KeyboardInterrupt):
        losses_of(model, texts, journal=journal, progress=Stopping(), **how)
    journal.close()
    journal, told = Journal(tmp_path / "journal.sqlite"), Told()
    found = nats_of(losses_of(model, texts, journal=journal, progress=told, **how))
    total = 3 * sum(text.windows for text in texts)
    name, all_of_them, known = told.told[0]
    assert (name, all_of_them) == ("text", total)
    assert 20 < known < total
    assert known + told.counts[0] == total
    for of_variant, others in zip(found, expected, strict=True):
        for one, other in zip(of_variant, others, strict=True):
            np.testing.assert_array_equal(one, other)

    def never(params, inputs):
        raise AssertionError

    # A third run has nothing to compute.
    broken = dataclasses.replace(model, apply=never)
    curves = [dataclasses.replace(one, model=broken) for one in curve_of(model)]
    again = nats_of(losses_of(model, texts, curves, journal=journal))
    np.testing.assert_array_equal(again[2][0], expected[2][0])
    journal.close()


@pytest.mark.parametrize("change", ["tokens", "seed", "text"])
def test_another_way_of_cutting_is_computed_anew(loaded, change):
    model, journal = loaded("t5"), Journal()
    (base,) = losses_of(
        model, read_for(model, SHORT), curve_of(model)[:1], journal=journal
    )
    how = {"tokens": {"tokens": LENGTH - 1}, "seed": {"seed": 1}, "text": {}}[change]
    text = Text("short", f"A {SHORT.content}") if change == "text" else SHORT
    other = read_for(model, text, **how)
    told = Told()
    (found,) = losses_of(
        model, other, curve_of(model)[:1], journal=journal, progress=told
    )
    assert told.told[0][2] == 0
    assert found[0].nats != base[0].nats


def test_nats_that_are_not_finite_are_named(loaded):
    model = loaded("gpt2")
    params = {**model.params, "ln_f/scale": model.params["ln_f/scale"] * np.inf}
    broken = dataclasses.replace(model, params=params)
    with pytest.raises(InputError, match=r"nats of long are not finite with .*gpt2"):
        losses_of(broken, read_for(model, LONG))


def test_a_sweep_has_the_losses_of_each_point_once(loaded):
    model = loaded("gpt2")
    put = [Presentation(protocol, "query") for protocol in ("cloze", "append")]
    told = Told()
    points = list(
        sweep(
            model, [question()], ("magnitude", "random"), (0.5,), put,
            texts=[LONG.content, SHORT], text_tokens=LENGTH, progress=told,
        )
    )  # fmt: skip
    assert [name for name, *_ in told.stages].count("text") == 1
    assert len(points) == 2 * 4
    for point in points:
        assert [loss.text for loss in point.texts] == ["text 1", "short"]
        assert all(loss.tokens is None for loss in point.texts)
    of_protocol = points[:4], points[4:]
    for one, other in zip(*of_protocol, strict=True):
        assert one.texts[0].nats == other.texts[0].nats
    dense, magnitude, again, random = of_protocol[0]
    assert dense.texts[0].nats == again.texts[0].nats
    assert len({point.texts[1].nats for point in (dense, magnitude, random)}) == 3
    plain = list(sweep(model, [question()], "magnitude", (0.5,), put))
    assert all(point.texts == () for point in plain)
    for one, other in zip(plain, (*points[:2], *points[4:6]), strict=True):
        np.testing.assert_array_equal(one.answers.scores, other.answers.scores)


@pytest.mark.parametrize("at_once", [1, 2])
def test_pruned_leaves_are_gone_before_the_next(loaded, monkeypatch, at_once):
    model, made, stacked = loaded("gpt2"), [], portions.stacked
    dense = {id(leaf) for leaf in model.params.values()}

    def watched(portion, number):
        assert all(leaf() is None for leaf in made)
        leaves = stacked(portion, number)
        made.extend(
            weakref.ref(leaf) for leaf in leaves.values() if id(leaf) not in dense
        )
        return leaves

    monkeypatch.setattr(portions, "stacked", watched)
    losses_of(model, read_for(model, SHORT), levels_at_once=at_once)
    assert made


STORY = """Once upon a time there was a little boy named Tom. Tom had a small red
boat. He liked to play with his boat in the big pond near his house. One day the wind
was very strong. The boat went far away, and Tom was sad. He did not know what to do.
Then he saw a duck. "Can you help me?" asked Tom. The duck was kind. It swam to the
boat and pushed it back to Tom. Tom was so happy! He said, "Thank you, duck." He gave
the duck some bread. From that day on, Tom and the duck were good friends, and they
played together every day. When the sun went down, Tom went home to his mom. She gave
him a big hug and put him to bed. Tom told her about the boat and the duck, and she
smiled.
"""


@pytest.mark.skipif(not asking.DATA.exists(), reason="the model is not here")
def test_a_trained_llama_knows_simple_stories():
    """It has read such stories and nothing else; 512 tokens, so that to know nothing
    costs log 512 = 6.24 nats."""
    model = load_model(str(asking.DATA / "models/stories260K"))
    texts = read([" ".join(STORY.split())], model.config, model.tokenizer, tokens=64)
    ((loss,),) = losses_of(model, texts, (variants.dense(model, Recipe("magnitude")),))
    assert loss.targets > 250
    assert loss.nats < 1.5
