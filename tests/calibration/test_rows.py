"""What is fed: rows of text, their digest and file, and what is refused."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxsparse.calibration import calibrate
from jaxsparse.types import InputError

STORY = "Once upon a time a fox said to the king: I will sing for you, my friend. " * 40
VARIANTS = ("gpt2", "electra-generator", "electra-discriminator", "t5")


@pytest.mark.parametrize("variant", VARIANTS)
def test_windows_are_read_as_the_model_reads_them_and_kept_as_a_file(
    variant, loaded, tmp_path
):
    model = loaded(variant)
    made = calibrate(model, [STORY, STORY], rows=6, tokens=20, source="stories.txt")
    assert (made.rows, made.tokens_per_row, made.source) == (6, 20, "stories.txt")
    assert made.text_tokens > 6 * 20
    assert not made.overlapping
    made.write(tmp_path / "calibration.parquet")
    table = pq.read_table(tmp_path / "calibration.parquet").to_pydict()
    inputs = made.examples.inputs
    assert table["tokens"] == inputs.tokens.tolist()
    assert table["attended"] == np.ones(inputs.tokens.shape, bool).tolist()
    if variant == "t5":
        assert table["encoder_tokens"] == inputs.encoder_tokens.tolist()
    assert len(table) == (3 if variant == "t5" else 2)


def test_a_blueprint_is_enough_and_the_digest_is_of_what_is_fed(loaded):
    model = loaded("electra-generator")
    made = [
        calibrate(model, [STORY], rows=4, tokens=16, seed=seed, source=source)
        for seed, source in ((0, "a"), (0, "b"), (1, "a"))
    ]
    made.append(calibrate(model.blueprint, [STORY], rows=4, tokens=16))
    digests = [one.digest for one in made]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert len(digests[0]) == 64
    examples = made[0].examples
    unmasked = dataclasses.replace(examples, valid=~examples.valid)
    assert dataclasses.replace(made[0], examples=unmasked).digest != digests[0]


def test_the_models_limit_and_512_are_the_default(loaded):
    model = loaded("electra-generator")
    long = STORY * 20
    assert calibrate(model, [long], rows=2).tokens_per_row == 510
    made = calibrate(loaded("gpt2"), [long], rows=200)
    assert made.tokens_per_row == 512
    assert made.overlapping


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        ([], {}, r"`calibration=mine`: a text of 0 tokens is shorter than one window"),
        ([""], {}, r"`calibration=mine`: a text of 0 tokens is shorter"),
        ([" \n"], {}, r"`calibration=mine`: .*shorter than one window"),
        (["Too short."], {}, r"`calibration=mine`: .*shorter than one window"),
        (
            [STORY],
            {"tokens": 511},
            r"`tokens=511`: a window of 511 tokens; the model takes",
        ),
        ([STORY], {"tokens": 1}, r"`tokens=1`: a window of 1 tokens"),
        ([STORY], {"rows": 0}, r"`rows=0`"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(texts, arguments, message, loaded):
    given = {"rows": 2, "tokens": 16, **arguments}
    with pytest.raises(InputError, match=message) as caught:
        calibrate(loaded("electra-generator"), texts, source="mine", **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variant", "token"),
    [
        ("electra-generator", "[MASK]"),
        ("electra-discriminator", "[SEP]"),
        ("t5", "</s>"),
        ("t5", "<extra_id_3>"),
    ],
)
def test_a_text_that_spells_out_a_special_token_is_refused(variant, token, loaded):
    text = STORY.replace("the king", token)
    with pytest.raises(InputError, match="stands in the text") as caught:
        calibrate(loaded(variant), [text], rows=4, tokens=30)
    assert token in str(caught.value)


def test_characters_unknown_to_the_tokenizer_and_ends_of_texts_are_no_fault(loaded):
    strange = STORY.replace("the king", "\u4e16\u754c")
    model = loaded("electra-generator")
    made = calibrate(model, [strange], rows=4, tokens=60)
    assert (made.examples.inputs.tokens == model.tokenizer.unk_token_id).any()
    model = loaded("gpt2")
    made = calibrate(model, [STORY.replace("friend.", "friend.<|endoftext|>")], 4, 60)
    assert (made.examples.inputs.tokens == model.tokenizer.eos_token_id).any()
