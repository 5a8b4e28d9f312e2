"""A tokenizer is what tokenizer.json says, whatever class transformers has for it."""

import json

import pytest
import tokenizers
from tokenizers import normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from jaxsparse import load_model
from jaxsparse.running_text import tokenized
from jaxsparse.types import InputError
from jaxsparse.weights.tokenizer import load_tokenizer
from tests import tiny
from tests.asking import Asked, generated

TEXT = "Zoë counted 7 or 485 FOXES , did n't she ?  “ Twice ” -- said the half-moon ."
FAMILIES = ("gpt2", "electra", "t5")


@pytest.fixture
def made(tmp_path):
    """family -> a directory with its tokenizer."""

    def make(family):
        tiny.tokenizer(family, tmp_path / family)
        return tmp_path / family

    return make


def edit(directory, change):
    """Changes tokenizer.json through the library; returns its own reading of it."""
    path = str(directory / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(path)
    change(tokenizer)
    tokenizer.save(path)
    return tokenizers.Tokenizer.from_file(path)


def settings(directory, **values):
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_files_of_a_family_are_read_as_transformers_reads_them(family, made):
    directory = made(family)
    theirs = AutoTokenizer.from_pretrained(directory)(TEXT)["input_ids"]
    assert load_tokenizer(directory)(TEXT)["input_ids"] == theirs


def digits_apart(tokenizer):
    digits = pre_tokenizers.Digits(individual_digits=True)
    parts = [digits, tokenizer.pre_tokenizer]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)


def without_n(tokenizer):
    parts = [tokenizer.normalizer] if tokenizer.normalizer else []
    parts.append(normalizers.Replace("n", ""))
    tokenizer.normalizer = normalizers.Sequence(parts)


def without_more(tokenizer):
    token = tokenizer.id_to_token(5)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, 5)]
    )


def word_added(tokenizer):
    tokenizer.add_tokens([tokenizers.AddedToken("moo", normalized=False)])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("change", [digits_apart, without_n, without_more, word_added])
def test_every_part_is_what_the_file_says(family, change, made):
    directory = made(family)
    before = load_tokenizer(directory)(TEXT)["input_ids"]
    said = edit(directory, change).encode(TEXT)
    got = load_tokenizer(directory)(TEXT, return_offsets_mapping=True)
    assert got["input_ids"] == said.ids != before
    assert got["offset_mapping"] == said.offsets


def test_a_cased_tokenizer_is_cased_though_its_class_is_not(made):
    directory = made("electra")
    (directory / "tokenizer_config.json").unlink()

    def cased(tokenizer):
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)

    said = edit(directory, cased)
    got = load_tokenizer(directory)(TEXT)["input_ids"]
    assert got == said.encode(TEXT).ids


def test_scores_of_unigrams_are_read_to_the_last_bit(made):
    """The library's own reader is a unit off in some."""
    path = made("t5") / "tokenizer.json"
    values = json.loads(path.read_text())
    vocabulary = [[piece, 1.1 * score] for piece, score in values["model"]["vocab"]]
    values["model"]["vocab"] = vocabulary
    path.write_text(json.dumps(values))
    backend = load_tokenizer(path.parent).backend_tokenizer
    for tokenizer, exact in (
        (backend, True),
        (tokenizers.Tokenizer.from_file(str(path)), False),
    ):
        read = json.loads(tokenizer.to_str())["model"]["vocab"]
        assert (read == vocabulary) is exact


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("electra", "do_lower_case", False),
        ("electra", "tokenize_chinese_chars", False),
        ("gpt2", "add_prefix_space", True),
        ("gpt2", "split_special_tokens", True),
        ("t5", "split_special_tokens", True),
        ("gpt2", "added_tokens_decoder", {"512": {"content": "moo"}}),
    ],
)
def test_settings_against_the_file_are_refused_by_name(family, key, value, made):
    directory = made(family)
    settings(directory, **{key: value})
    with pytest.raises(InputError) as caught:
        load_tokenizer(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message
    assert ("moo" if key == "added_tokens_decoder" else key) in message


def test_accents_said_in_both_files_must_be_the_same(made):
    directory = made("electra")
    kept = normalizers.BertNormalizer(strip_accents=False)
    edit(directory, lambda tokenizer: setattr(tokenizer, "normalizer", kept))
    settings(directory, strip_accents=False)
    load_tokenizer(directory)
    settings(directory, strip_accents=True)
    with pytest.raises(InputError, match="strip_accents"):
        load_tokenizer(directory)


@pytest.mark.parametrize("lowercase", [True, False])
def test_accents_that_the_file_leaves_open_go_as_letters_case(lowercase, made):
    """As in published ELECTRA, whose two files both say null."""
    directory = made("electra")
    left_open = normalizers.BertNormalizer(strip_accents=None, lowercase=lowercase)
    edit(directory, lambda tokenizer: setattr(tokenizer, "normalizer", left_open))
    for agreeing in None, lowercase:
        settings(directory, strip_accents=agreeing, do_lower_case=lowercase)
        load_tokenizer(directory)
    settings(directory, strip_accents=not lowercase)
    with pytest.raises(InputError, match="strip_accents"):
        load_tokenizer(directory)


def change_model(directory, **values):
    """Changes what tokenizer.json says of its model; ... takes a name out."""
    path = directory / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"] |= values
    said["model"] = {k: v for k, v in said["model"].items() if v is not ...}
    path.write_text(json.dumps(said))


@pytest.mark.parametrize("unknown", [..., None])
def test_unigrams_need_no_unknown_token(unknown, made):
    directory = made("t5")
    expected = load_tokenizer(directory)("the fox")["input_ids"]
    change_model(directory, unk_id=unknown)
    assert load_tokenizer(directory)("the fox")["input_ids"] == expected


@pytest.mark.parametrize(
    ("family", "file", "change"),
    [
        ("gpt2", "tokenizer.json", {"model": None}),
        ("electra", "tokenizer.json", {"model": {}}),
        ("t5", "tokenizer.json", {"model": {"type": "Unigram", "vocab": {"a": 1}}}),
        ("t5", "tokenizer.json", {"model": {"type": "Unigram", "vocab": [["a"]]}}),
        ("gpt2", "tokenizer.json", {"added_tokens": {"a": 1}}),
        ("gpt2", "tokenizer.json", {"normalizer": 3}),
        ("gpt2", "tokenizer_config.json", {"added_tokens_decoder": {"9": "moo"}}),
    ],
)
def test_files_of_odd_types_are_refused_in_one_line(family, file, change, made):
    path = made(family) / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError) as caught:
        load_tokenizer(path.parent)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"added_tokens_decoder": [3]},
        {"added_tokens_decoder": {"9": 3, "10": {"content": 3}}},
        {"mask_token": 3, "eos_token": {"content": []}, "unk_token": [3]},
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings_that_are_no_text_name_no_token(family, change, made):
    directory = made(family)
    expected = load_tokenizer(directory)(TEXT)["input_ids"]
    settings(directory, **change)
    assert load_tokenizer(directory)(TEXT)["input_ids"] == expected


def test_a_word_in_added_tokens_json_that_the_file_lacks(made):
    directory = made("gpt2")
    (directory / "added_tokens.json").write_text('{"moo": 512}')
    with pytest.raises(InputError, match="'moo'"):
        load_tokenizer(directory)
    edit(directory, word_added)
    assert load_tokenizer(directory)("moo")["input_ids"] == [512]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_transformers_saves_agrees_with_itself(family, made, tmp_path):
    directory = made(family)
    AutoTokenizer.from_pretrained(directory).save_pretrained(tmp_path / "again")
    first, again = load_tokenizer(directory), load_tokenizer(tmp_path / "again")
    assert first(TEXT)["input_ids"] == again(TEXT)["input_ids"]


def test_word_pieces_without_a_tokenizer_json_are_transformers(made):
    directory = made("electra")
    path = directory / "tokenizer.json"
    vocabulary = json.loads(path.read_text())["model"]["vocab"]
    path.unlink()
    words = sorted(vocabulary, key=vocabulary.get)
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    theirs = AutoTokenizer.from_pretrained(directory)(TEXT)["input_ids"]
    assert load_tokenizer(directory)(TEXT)["input_ids"] == theirs
    settings(directory, do_lower_case=False)
    cased = load_tokenizer(directory)(TEXT)["input_ids"]
    assert cased == AutoTokenizer.from_pretrained(directory)(TEXT)["input_ids"]
    assert cased != theirs


def test_truncation_and_padding_left_switched_on_change_nothing(copied, loaded):
    directory = copied("gpt2")

    def leave(tokenizer):
        tokenizer.enable_truncation(7)
        tokenizer.enable_padding(length=40)

    edit(directory, leave)
    model = load_model(str(directory))
    assert model.digest == loaded("gpt2").digest
    got = model.tokenizer(TEXT)["input_ids"]
    assert got == loaded("gpt2").tokenizer(TEXT)["input_ids"]
    assert model.tokenizer.backend_tokenizer.to_str() == (
        loaded("gpt2").tokenizer.backend_tokenizer.to_str()
    )


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("electra-generator", {"mask_token": "[UNK]"}),
        ("electra-generator", {"mask_token": "[MUSK]", "cls_token": "[SEP]"}),
        ("electra-discriminator", {"sep_token": "[CLS]"}),
        ("t5", {"pad_token": "</s>", "eos_token": "<unk>"}),
        ("gpt2", {"bos_token": "a", "eos_token": {"content": "b"}, "pad_token": "c"}),
        *((variant, None) for variant in ("electra-generator", "t5", "gpt2")),
    ],
)
def test_other_names_of_special_tokens_change_no_row_and_no_digest(
    variant, names, copied, loaded
):
    directory = copied(variant)
    if names is None:
        unnamed = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (directory / "tokenizer_config.json").write_text(json.dumps(unnamed))
    else:
        settings(directory, **names)
    model = load_model(str(directory))
    assert model.digest == loaded(variant).digest
    for protocol in "cloze", "append":
        asked = Asked(generated(0), "query")  # the blank first
        got = asked.encode(model, protocol)
        expected = asked.encode(loaded(variant), protocol)
        assert got.laid_out.terms.tolist() == expected.laid_out.terms.tolist()
        for row, other in zip(got.rows, expected.rows, strict=True):
            assert {name: list(values) for name, values in row.items()} == {
                name: list(values) for name, values in other.items()
            }


def test_a_dropout_is_refused_for_it_draws_tokens(made):
    directory = made("gpt2")
    values = json.loads((directory / "tokenizer.json").read_text())
    values["model"]["dropout"] = 0.5
    (directory / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"tokenizer\.json: its model has a dropout"):
        load_tokenizer(directory)


@pytest.mark.parametrize(
    ("key", "listed"),
    [
        ("additional_special_tokens", ["Zork"]),
        ("extra_special_tokens", {"a": "Zork"}),
        ("extra_special_tokens", [{"content": "Zork", "special": True}]),
    ],
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_special_tokens_that_the_file_does_not_add_are_refused(made, key, listed, file):
    directory = made("gpt2")
    path = directory / file
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**values, key: listed}))
    with pytest.raises(InputError, match=f"'Zork' is one of the {key}"):
        load_tokenizer(directory)
    path.write_text(json.dumps({**values, key: ["<|endoftext|>"]}))
    load_tokenizer(directory)


def test_special_tokens_are_named_by_the_older_file_too(made):
    directory = made("llama")
    expected = load_tokenizer(directory)
    path = directory / "tokenizer_config.json"
    values = json.loads(path.read_text())
    names = {name: values.pop(name) for name in ("bos_token", "eos_token")}
    path.write_text(json.dumps(values))
    assert load_tokenizer(directory).bos_token is None
    mapped = {**names, "eos_token": {"content": names["eos_token"], "lstrip": False}}
    (directory / "special_tokens_map.json").write_text(json.dumps(mapped))
    found = load_tokenizer(directory)
    assert (found.bos_token, found.eos_token) == ("<s>", "</s>")
    assert tokenized("fox", found).tolist() == tokenized("fox", expected).tolist()
    assert tokenized("fox", found)[0] == found.bos_token_id
    path.write_text(json.dumps({**values, "bos_token": "<unk>"}))  # which wins
    assert load_tokenizer(directory).bos_token == "<unk>"


def test_an_added_token_that_is_no_text_is_refused(made):
    directory = made("gpt2")
    settings(directory, added_tokens_decoder={"9": {"content": "\ud800"}})
    with pytest.raises(InputError, match="is an added token"):
        load_tokenizer(directory)
