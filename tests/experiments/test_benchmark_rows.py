"""The naive rows of the benchmark, and what torch makes of them, are the oracle's."""

import numpy as np
import pytest

from experiments.benchmark.ours import Ours
from experiments.benchmark.peers import Torch
from experiments.benchmark.rows import naive_rows
from jaxsparse.model import load_model
from tests import asking, reference, tiny

VARIANTS = (
    *("gpt2", "electra-generator", "electra-discriminator", "t5"),
    *("llama", "pythia", "opt", "bert", "roberta"),
)
ASKED = [asking.Asked(asking.generated(seed)) for seed in range(2)]


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


def rows_of(model):
    return naive_rows([one.encode(model, "cloze") for one in ASKED])


def test_rows_are_the_oracles(variant, loaded):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    rows = rows_of(model)
    for number, asked in enumerate(ASKED):
        arguments = asked.for_reference()
        _, expected = reference.shortened(oracle, model.tokenizer, "cloze", **arguments)
        for option, row in enumerate(expected):
            own = [
                one for one in rows if (one.question, one.option) == (number, option)
            ]
            check = CHECKS[model.config.reading]
            assert own
            for one in own:
                check(one, row)
            assert sum(len(one.scored) for one in own) == (
                len(row.target) - 1 if row.target else len(row.scored)
            )


def _causal(one, row):
    assert one.tokens.tolist() == row.tokens[:-1]  # the last predicts nothing
    assert one.scored.tolist() == [at - 1 for at in row.scored]
    assert one.targets.tolist() == [row.tokens[at] for at in row.scored]


def _masked(one, row):
    kept = [at for at in range(len(row.tokens)) if at not in row.scored]
    assert [one.tokens[at] for at in kept] == [row.tokens[at] for at in kept]
    assert len(one.tokens) == len(row.tokens)
    assert one.targets.tolist() == [row.tokens[at] for at in one.scored]


def _replaced(one, row):
    assert one.tokens.tolist() == row.tokens
    assert one.scored.tolist() == row.scored


def _decoder(one, row):
    assert one.encoder_tokens.tolist() == row.tokens
    assert one.tokens.tolist()[1:] == list(row.target[:-1])
    assert one.targets.tolist() == list(row.target[1:])


CHECKS = {
    "causal": _causal, "masked": _masked, "replaced": _replaced, "seq2seq": _decoder,
}  # fmt: skip


def test_torch_gives_the_oracles_scores_both_ways(variant, saved):
    model = load_model(str(saved(variant)))
    rows = rows_of(model)
    torch = Torch.load(saved(variant), model.config)
    oracle = tiny.torch_model(variant)
    pair = asking.Pair(oracle, model)
    expected = [asked.reference(pair, "cloze").scores for asked in ASKED]
    for got in torch.one_question_at_a_time(rows), torch.batched(rows, 3):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_ours_gives_the_same_and_counts_less(variant, saved):
    model = load_model(str(saved(variant)))
    ours = Ours.of(model, 4096, 1)
    questions = [asked.question for asked in ASKED]
    plan = ours.plan(questions)
    rows = naive_rows(plan.encoded)
    torch = Torch.load(saved(variant), model.config)
    got = ours.score(plan)
    np.testing.assert_allclose(got, torch.batched(rows, 3), rtol=0, atol=1e-3)
    costs = model.blueprint.family.operations(model.config)
    naive = sum(row.operations(costs) for row in rows)
    assert 0 < ours.operations(plan) < naive


def test_a_sweep_takes_all_levels_one_or_several_at_a_time(saved):
    model = load_model(str(saved("gpt2")))
    for at_once in 1, 2:
        ours = Ours.of(model, 4096, at_once)
        plan = ours.plan([ASKED[0].question])
        scorer, seen = ours.sweep_scorer(plan), []
        score = scorer.score

        def watched(*arguments, score=score, seen=seen):
            scores, seconds = score(*arguments)()
            seen.extend(scores)
            return lambda: (scores, seconds)

        scorer.score = watched
        took = ours.sweep(plan, scorer)
        assert set(took) == {"masks", "levels"}
        assert min(took.values()) > 0
        assert len(seen) == (5 if at_once == 1 else 6)
        assert len({scores.tobytes() for scores in seen}) == 5
        np.testing.assert_array_equal(seen[0], Ours.of(model, 4096, 1).score(plan))
