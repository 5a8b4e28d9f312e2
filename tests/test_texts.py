"""Texts as models read them: named, cut, and told apart by what decides their nats."""

import numpy as np
import pytest

from jaxsparse.model import open_model
from jaxsparse.texts import Text, read
from jaxsparse.types import InputError
from jaxsparse.weights.hub import BUNDLED

STORY = "The old king gave the girl a lantern, and she went home through the wood. "


def read_for(name, *texts, **how):
    model = open_model(name)
    return read(texts, model.config, model.tokenizer, **how)


def test_texts_are_called_by_name_or_number():
    found = read_for("tiny-gpt2", STORY * 60, Text("a.txt", STORY * 90), tokens=64)
    assert [text.name for text in found] == ["text 1", "a.txt"]
    for text, copies in zip(found, (60, 90), strict=True):
        tokens = len(open_model("tiny-gpt2").tokenizer(STORY * copies)["input_ids"])
        assert text.windows == tokens // 64
        assert text.tokens_left_out == tokens % 64


@pytest.mark.parametrize(
    ("name", "limit"), [*zip(BUNDLED, (512, 254, 256), strict=True)]
)
def test_windows_are_as_long_as_the_model_takes(name, limit):
    (text,) = read_for(name, STORY * 100)
    row = text.examples.inputs
    lengths = {
        "tiny-gpt2": row.tokens.shape[1], "tiny-electra": row.tokens.shape[1] - 2,
        "tiny-t5": text.conditions["text_tokens"],
    }  # fmt: skip
    assert lengths[name] == limit


@pytest.mark.parametrize("name", BUNDLED)
def test_a_target_says_what_and_where_it_is(name):
    (text,) = read_for(name, STORY * 40, tokens=40)
    tokenizer = open_model(name).tokenizer
    pieces, targets = text.pieces(), text.examples.targets
    assert tokenizer.convert_tokens_to_ids(list(pieces)) == targets.ravel().tolist()
    tokens = np.array(tokenizer(STORY * 40, add_special_tokens=False)["input_ids"])
    if name == "tiny-t5":
        assert text.positions.tolist() == [list(range(targets.shape[1]))] * text.windows
        return
    for window in range(text.windows):
        of_window = tokens[40 * window :][:40]
        at = text.positions[window]
        np.testing.assert_array_equal(of_window[at], targets[window])
    if name == "tiny-gpt2":
        assert text.positions[0].tolist() == list(range(1, 40))


def test_conditions_tell_what_decides_nats():
    def conditions(name="tiny-electra", text=STORY * 60, **how):
        return read_for(name, text, **how)[0].conditions

    base = conditions()
    assert conditions() == base
    others = [
        conditions(text=STORY * 61), conditions(tokens=100), conditions(seed=1),
        conditions("tiny-t5"),
    ]  # fmt: skip
    assert all(other != base for other in others)
    assert conditions("tiny-gpt2") == conditions("tiny-gpt2", seed=1)


def test_what_no_model_can_read_is_named():
    for text, problem in (
        (Text("empty.txt", ""), r"`texts=empty\.txt`: a text of 0 tokens is shorter"),
        (Text("a.txt", STORY), r"`texts=a\.txt`: a text of \d+ tokens .* of 512"),
    ):
        with pytest.raises(InputError, match=problem):
            read_for("tiny-gpt2", text)
    with pytest.raises(InputError, match="`text_tokens=513`: a window of 513 tokens"):
        read_for("tiny-gpt2", STORY, tokens=513)
    with pytest.raises(InputError, match="`texts`: a is given twice"):
        read_for("tiny-gpt2", Text("a", STORY), Text("a", STORY), tokens=4)


def test_a_discriminator_has_no_nats(loaded):
    model = loaded("electra-discriminator")
    with pytest.raises(InputError, match="a discriminator tells replaced tokens"):
        read([STORY * 40], model.config, model.tokenizer)
    assert read([], model.config, model.tokenizer) == ()
