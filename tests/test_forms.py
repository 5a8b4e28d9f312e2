"""The accelerator's form, as far as a CPU can show it: it gives the same scores, and
the compilers of GPUs and TPUs take what it is lowered to."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import evaluation, parallel, scoring
from jaxsparse.device import ACCELERATOR, CPU, current
from jaxsparse.evaluation import Scorer, score_batches
from jaxsparse.model import load, open_model
from jaxsparse.models import attention
from jaxsparse.types import Presentation
from tests import asking

RTOL = 1e-5  # sums in another order
PLATFORMS = ("cuda", "tpu")
VARIANTS = (
    "gpt2",
    "gpt2-untied",
    "electra-generator",
    "electra-generator-untied",
    "electra-discriminator",
    "t5",
    "t5-gated-untied",
)
LATER = ("llama", "pythia", "opt-norm-behind", "bert", "roberta")
PRODUCT = list(itertools.product((*VARIANTS, *LATER), scoring.PROTOCOLS))
DIAGONAL = PRODUCT[:1] + PRODUCT[5:6] + PRODUCT[8:9] + PRODUCT[11:12]
EACH = [
    pytest.param(*case, marks=() if case in DIAGONAL else pytest.mark.slow)
    for case in PRODUCT
]
every_case = pytest.mark.parametrize(("variant", "protocol"), EACH)
QUESTIONS = [asking.generated(0)]


@pytest.fixture(scope="module")
def formed(saved):
    """(variant, form) -> the model, computed in that form."""
    return lambda variant, form: load(open_model(str(saved(variant))), form=form)


def plan_of(model, protocol, context="full"):
    presentation = Presentation(protocol, context)
    multiple = parallel.rows_multiple(model.mesh)
    return asking.plan_of(
        model, QUESTIONS, presentation, 1 << 20, rows_multiple=multiple
    )


@every_case
def test_an_accelerators_scores_are_those_of_a_cpu(
    variant, protocol, formed, monkeypatch
):
    """Rows of more than a block; in parts, where a question has many."""
    found = {}
    for form in (CPU, ACCELERATOR):
        if form is ACCELERATOR:  # nothing of the CPU's is asked for by then
            for room, name in (
                (attention, "_by_blocks"), (attention, "sum_of_last"),
                (evaluation, "in_parts"),
            ):  # fmt: skip
                monkeypatch.setattr(room, name, None)
        model = formed(variant, form)
        plan = plan_of(model, protocol)
        found[form] = np.zeros((len(QUESTIONS), 10))
        scorer = Scorer(form=form)
        batches = score_batches(scorer, plan, model.apply, model.params, {})
        for members, (scores,), _ in batches:
            found[form][list(members)] = scores
    np.testing.assert_allclose(found[ACCELERATOR], found[CPU], rtol=RTOL)
    assert np.ptp(found[CPU], axis=1).min() > 0


def lowered(model, protocol, at_once):
    """What scoring at several sparsities is to the compilers of all platforms."""
    plan = plan_of(model, protocol, "query")
    batch = scoring.batch(plan.encoded, plan.batches[0], model.config, protocol)
    batch = evaluation.placed(model.mesh, batch)
    changed = {path: model.params[path] for path in model.prunable("blocks")}
    if at_once > 1:
        changed = {path: jnp.stack([leaf] * at_once) for path, leaf in changed.items()}

    def scores(shared, changed, batch):
        return evaluation.score_variants(
            model.apply, scoring.option_scores, model.form, at_once,
            shared, changed, batch,
        )  # fmt: skip

    arguments, where = (model.params, changed, batch), {}
    if model.mesh is not None:  # which exporting would not ask of the arrays
        where = {
            "in_shardings": jax.tree.map(lambda leaf: leaf.sharding, arguments),
            "out_shardings": parallel.everywhere(model.mesh),
        }
    return jax.export.export(jax.jit(scores, **where), platforms=PLATFORMS)(*arguments)


@every_case
@pytest.mark.parametrize("at_once", [1, 2])
def test_scoring_is_lowered_for_gpus_and_tpus(variant, protocol, at_once, formed):
    model = formed(variant, ACCELERATOR)
    exported = lowered(model, protocol, at_once)
    assert exported.platforms == PLATFORMS
    (scores,) = exported.out_avals
    assert scores.shape == (at_once, len(QUESTIONS), 10)


def test_this_machines_form_is_a_cpus_and_a_model_has_it(loaded):
    assert current() == CPU == loaded("gpt2").form
    assert CPU.compiler_options("bfloat16")
    assert not CPU.compiler_options("float32")
    assert not ACCELERATOR.compiler_options("bfloat16")
