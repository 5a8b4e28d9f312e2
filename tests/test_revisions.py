"""What the revisions in a journal's key stand for. Whoever changes these figures on
purpose raises the revision too, or journals will pass old answers for new ones."""

import hashlib

import numpy as np
import pytest

from jaxsparse import cbt, pruning, scoring, sparse
from jaxsparse.model import load_model, open_model
from jaxsparse.scoring import reading
from jaxsparse.sweep import sweep
from jaxsparse.types import Presentation

# revision -> SHA-256 of the masks of made-up weights at sparsity 0.3 and 0.9
MASKS = {
    1: {
        "magnitude": "98a94252da6a4402db6b81e20f5e27c1bfd9dfc400dacfdf049688300f4e3470",
        "random": "f4e00774e2880ca5a3b80108e744e2d45172aeedfecf4eb90fb2a8f182e6937a",
    },
    2: {  # weights that are zero already go first, at random too
        "magnitude": "98a94252da6a4402db6b81e20f5e27c1bfd9dfc400dacfdf049688300f4e3470",
        "random": "62c48cb715aa0fdb5afbdced2fd24e7645e5f3a0d35b40128d6a2eb304a027c9",
    },
}
# revision -> the ten scores of tiny-gpt2 for the first bundled question
SCORES = {
    1: {
        "cloze": [
            -87.1413, -86.9639, -86.167, -88.8673, -86.515,
            -92.4548, -90.0223, -90.1305, -93.2965, -91.9776,
        ],
        "append": [
            8.41714e-08, 2.03917e-05, 1.2877e-06, 2.39995e-06, 1.45067e-06,
            1.85928e-06, 0.00434169, 4.55006e-06, 1.32841e-06, 0.133879,
        ],
    }
}  # fmt: skip


# revision -> SHA-256 of the first questions in tokens
READINGS = {
    1: {
        ("tiny-gpt2", "cloze"): "eb4d96c44d9df940",
        ("tiny-gpt2", "append"): "7c5268b33a950278",
        ("tiny-electra", "cloze"): "be2db846261cca02",
        ("tiny-electra", "append"): "8255ead160e5064c",
        ("tiny-t5", "cloze"): "df1328c7aceb0d87",
        ("tiny-t5", "append"): "e2b68d6a35f310f2",
    }
}


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-electra", "tiny-t5"])
def test_questions_are_read_as_the_revision_stands_for(name, protocol):
    questions = cbt.read("bundled", "test", ["NE"]).questions[:9]
    model = open_model(name)
    put = Presentation(protocol)
    digest = hashlib.sha256()
    for one in scoring.encode_all(questions, model.tokenizer, model.config, put):
        digest.update(one.to_bytes())
    expected = READINGS[reading.REVISION][name, protocol]
    assert digest.hexdigest()[:16] == expected, "raise scoring.reading.REVISION"


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_what_is_pruned_is_what_the_revision_stands_for(method):
    draw = np.random.Generator(np.random.PCG64(7))
    weights = draw.integers(-50, 50, (2, 32, 48)).astype(np.float32)
    scores = pruning.scores({"h/kernel": weights}, method, seed=3)
    nested = pruning.nested_masks(scores, (0.3, 0.9), "matrix")["h/kernel"]
    digest = hashlib.sha256(nested.tobytes()).hexdigest()
    assert digest == MASKS[pruning.REVISION][method], "raise pruning.REVISION"


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
def test_scores_are_those_that_the_revision_stands_for(protocol):
    question = cbt.read("bundled", "test", ["CN"]).questions[0]
    model = load_model("tiny-gpt2")
    (dense,) = sweep(model, [question], ["magnitude"], [], [Presentation(protocol)])
    np.testing.assert_allclose(
        dense.answers.scores[0],
        SCORES[scoring.REVISION][protocol],
        rtol=1e-3,
        err_msg="raise scoring.REVISION",
    )


def test_sparse_execution_has_a_revision_of_its_own():
    """What the kernel computes is held by tests/sparse; whoever mends a score there
    raises this."""
    assert sparse.identity("dense") == {}
    assert sparse.identity("auto") == {"execution": "auto", "sparse_revision": 1}
