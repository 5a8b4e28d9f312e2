"""What training comes to, told from what was there before it."""

import dataclasses

from jaxsparse.finetuning import Finetuning, Job
from jaxsparse.finetuning.kept import Kept
from jaxsparse.finetuning.outcome import trained_variant
from jaxsparse.pruning import Recipe
from jaxsparse.training.optimizer import Schedule
from jaxsparse.training.training import Training
from jaxsparse.variants import dense
from tests.finetuning.school import NUMBERS, TRAIN, VALIDATION, leaves_of, pruned


def test_errors_of_reconstruction_are_not_those_of_trained_weights(loaded):
    (start,) = pruned(loaded("gpt2"), 0.5)
    measured = [dataclasses.replace(m, error=0.25) for m in start.matrices]
    start = dataclasses.replace(start, matrices=tuple(measured))
    kept = Kept(None)
    kept.write(leaves_of(start), {})
    kept.finish(1.5)
    found = trained_variant(start, start, Training(), kept, {})
    assert [m.pruned for m in found.matrices] == [m.pruned for m in measured]
    assert {m.error for m in found.matrices} == {None}


def test_a_training_is_named_by_what_adapters_are_added_to(loaded):
    """The dense model is one whatever is prunable, but its adapters are not."""
    tuning = Finetuning(loaded("t5"), TRAIN, VALIDATION, NUMBERS)
    keys = {
        (train, prunable): tuning.key(
            Job.of(
                tuning.model,
                dense(tuning.model, Recipe("magnitude", prunable=prunable)),
                Training(train=train),
                Schedule(2, 1, 0.01),
            )
        )
        for train in ("all", "masklora")
        for prunable in ("blocks", "all")
    }
    assert keys["all", "blocks"] == keys["all", "all"]
    assert keys["masklora", "blocks"] != keys["masklora", "all"]
