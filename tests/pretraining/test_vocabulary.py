"""Tokenizers: the same again from the same texts, whole words of those texts, and what
AutoTokenizer makes of their files."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from jaxsparse.pretraining import vocabulary
from jaxsparse.types import InputError
from tests.pretraining import little

ROOT = Path(__file__).parents[2]
FAMILIES = list(little.MODELS)
AGAIN = """
import hashlib
from tests.pretraining import little
for family in little.MODELS:
    made = little.tokenizer(family).to_str()
    print(hashlib.sha256(made.encode()).hexdigest())
"""


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def auto(family, tmp_path):
    """What AutoTokenizer reads of the family's saved tokenizer."""
    vocabulary.save(little.tokenizer(family), little.KINDS[family], 77, tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


def test_training_again_in_another_process_gives_every_byte_again():
    """Whose hashes, and so its orders of dictionaries, are others."""
    again = subprocess.run(
        [sys.executable, "-c", AGAIN],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    made = [little.tokenizer(family).to_str().encode() for family in FAMILIES]
    assert again.stdout.split() == [hashlib.sha256(one).hexdigest() for one in made]


def test_other_texts_give_another_tokenizer(family):
    texts = [*little.TEXTS, little.text(2)]
    other = vocabulary.train(little.KINDS[family], texts, little.SIZES[family])
    assert other.to_str() != little.tokenizer(family).to_str()


def test_it_has_the_size_asked_for_and_ids_without_gaps(family):
    made = little.tokenizer(family)
    ids = made.get_vocab(with_added_tokens=True).values()
    assert sorted(ids) == list(range(little.SIZES[family]))


@pytest.mark.parametrize(
    ("family", "special"),
    [
        ("gpt2", {"<|endoftext|>": little.SIZES["gpt2"] - 1}),
        ("electra", {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}),
        (
            "t5",
            {
                "<pad>": 0,
                "</s>": 1,
                "<unk>": 2,
                "<extra_id_99>": little.SIZES["t5"] - 100,
                "<extra_id_0>": little.SIZES["t5"] - 1,
            },
        ),
    ],
)
def test_special_tokens_stand_where_the_published_tokenizers_have_them(family, special):
    made = little.tokenizer(family)
    assert {token: made.token_to_id(token) for token in special} == special


def test_every_text_comes_back_without_unknown_tokens(family):
    made = little.tokenizer(family)
    for text in little.TEXTS:
        encoding = made.encode(text, add_special_tokens=False)
        assert not {"[UNK]", "<unk>"} & set(encoding.tokens)
        back = made.decode(encoding.ids)
        if family == "electra":  # of accents, capitals and spaces it makes its own
            text = made.normalizer.normalize_str(text)
            assert text.islower()
            text, back = text.replace(" ", ""), back.replace(" ", "")
        assert back == text


def test_common_words_are_single_tokens(family):
    """So that a model has to learn words, not letters."""
    made = little.tokenizer(family)
    for name in ("Quillan", "Brannoch", "Ottoline"):
        assert len(made.encode(f" {name}", add_special_tokens=False).ids) == 1


def test_autotokenizer_gives_the_same_ids(family, auto):
    made = little.tokenizer(family)
    assert auto.is_fast
    assert len(auto) == little.SIZES[family]
    assert auto.model_max_length == 77
    for text in (*little.TEXTS, "", "Zoë sees Ünknown — things, don't they? 99"):
        assert auto(text, verbose=False)["input_ids"] == made.encode(text).ids


def test_autotokenizer_knows_the_special_tokens(family, auto):
    made = little.tokenizer(family)
    if family == "gpt2":
        assert auto.eos_token_id == auto.bos_token_id == little.SIZES["gpt2"] - 1
    elif family == "electra":
        assert (auto.pad_token_id, auto.mask_token_id) == (0, 4)
        assert auto("a")["input_ids"][:1] == [auto.cls_token_id] == [2]
        assert auto("a")["input_ids"][-1:] == [auto.sep_token_id] == [3]
    else:
        assert (auto.pad_token_id, auto.eos_token_id, auto.unk_token_id) == (0, 1, 2)
        sentinels = auto("a<extra_id_0> b<extra_id_41>")["input_ids"]
        for name in ("<extra_id_0>", "<extra_id_41>"):
            assert made.token_to_id(name) in sentinels


def test_texts_too_short_for_the_vocabulary_are_refused(family):
    with pytest.raises(InputError, match=r"too few for a vocabulary of 4096 tokens"):
        vocabulary.train(little.KINDS[family], [little.text(0, 20)], 4096)
