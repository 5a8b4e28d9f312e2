"""Sanity of the oracle: its numbers against the torch models' own losses; limits."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests import reference, tiny
from tests.oracle import torch

DATA = Path(__file__).parents[1].parent / "shared/data"
STORY, QUERY, OPTIONS, _ = tiny.question_text(1)  # the blank inside the query
QUERIES = [tiny.question_text(seed)[1] for seed in range(3)]
FAMILIES = ("gpt2", "electra-generator", "electra-discriminator", "t5")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """The tiny tokenizer of each family, as AutoTokenizer reads it."""
    made = {}
    for family in ("gpt2", "electra", "t5"):
        directory = tmp_path_factory.mktemp(family)
        tiny.tokenizer(family, directory)
        made[family] = AutoTokenizer.from_pretrained(directory)
    return made


def score(tokenizers, variant, *args, **kwargs):
    tokenizer = tokenizers[tiny.VARIANTS[variant].family]
    return reference.score(tiny.torch_model(variant), tokenizer, *args, **kwargs)


def story_text(sentences=STORY):
    return " ".join(sentences) + " "


@torch.no_grad()
def test_gpt2_cloze_is_the_models_loss_from_the_option_on(tokenizers):
    tokenizer, model = tokenizers["gpt2"], tiny.torch_model("gpt2")
    got = reference.score(model, tokenizer, "cloze", STORY, QUERY, OPTIONS)
    before, after = QUERY.split("XXXXX")
    shared = tokenizer(story_text() + before[:-1])["input_ids"]  # without the space
    for option, found in zip(OPTIONS, got.scores, strict=True):
        own = tokenizer(" " + option)["input_ids"]
        rest = tokenizer(after)["input_ids"]
        lone_space = tokenizer.convert_ids_to_tokens(own[0]) == "Ġ"  # not scored
        ids = torch.tensor([shared + own + rest])
        labels = ids.clone()
        labels[:, : len(shared) + lone_space] = -100
        count = len(own) + len(rest) - lone_space
        expected = -model(ids, labels=labels).loss.item() * count
        assert found == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_gpt2_puts_endoftext_in_front_when_nothing_precedes_the_option(tokenizers):
    tokenizer, model = tokenizers["gpt2"], tiny.torch_model("gpt2")
    end = tokenizer.eos_token_id
    got = reference.score(
        model, tokenizer, "cloze", STORY, QUERIES[0], OPTIONS, "query"
    )
    for option, found in zip(OPTIONS, got.scores, strict=True):
        ids = tokenizer(QUERIES[0].replace("XXXXX", option))["input_ids"]
        row = torch.tensor([[end, *ids]])
        expected = -model(row, labels=row).loss.item() * len(ids)
        assert found == pytest.approx(expected, rel=1e-5)


def test_gpt2_endoftext_counts_towards_the_limit(tokenizers):
    tokenizer = tokenizers["gpt2"]
    longest = max(
        len(tokenizer(QUERIES[0].replace("XXXXX", option))["input_ids"])
        for option in OPTIONS
    )
    arguments = ("gpt2", "cloze", STORY, QUERIES[0], OPTIONS)
    assert score(tokenizers, *arguments, limit=longest + 1).dropped_sentences == 20
    with pytest.raises(ValueError, match="too long"):
        score(tokenizers, *arguments, limit=longest)


@torch.no_grad()
def test_generator_l2r_of_one_piece_is_the_masked_log_probability(tokenizers):
    tokenizer = tokenizers["electra"]
    model = tiny.torch_model("electra-generator")
    got = reference.score(model, tokenizer, "cloze", STORY, QUERY, OPTIONS)
    ids = tokenizer(
        story_text() + QUERY.replace("XXXXX", "[MASK]"), return_tensors="pt"
    )
    [[position]] = (ids["input_ids"][0] == tokenizer.mask_token_id).nonzero().tolist()
    logps = model(**ids).logits[0, position].log_softmax(-1)
    single = [i for i, count in enumerate(got.option_tokens) if count == 1]
    assert 0 < len(single) < len(OPTIONS)
    for i in single:
        [piece] = tokenizer(OPTIONS[i], add_special_tokens=False)["input_ids"]
        assert got.scores[i] == pytest.approx(logps[piece].item(), rel=1e-5)


@torch.no_grad()
def test_generator_l2r_of_several_pieces_fills_in_from_the_left(tokenizers):
    tokenizer = tokenizers["electra"]
    model = tiny.torch_model("electra-generator")
    option = "jackdaws"
    got = reference.score(model, tokenizer, "cloze", STORY, QUERY, [option])
    pieces = tokenizer(option, add_special_tokens=False)["input_ids"]
    assert got.option_tokens == [len(pieces)]
    assert len(pieces) > 2
    masks = QUERY.replace("XXXXX", "[MASK]" * len(pieces))
    ids = tokenizer(story_text() + masks, return_tensors="pt")["input_ids"]
    expected, mask = 0.0, tokenizer.mask_token_id
    for piece in pieces:
        position = (ids[0] == mask).nonzero()[0, 0]
        expected += model(ids).logits[0, position].log_softmax(-1)[piece].item()
        ids[0, position] = piece
    assert got.scores[0] == pytest.approx(expected, rel=1e-5)


def test_the_generator_reads_masks_apart_from_the_letters_they_touch(tokenizers):
    tokenizer = tokenizers["electra"]
    model = tiny.torch_model("electra-generator")
    glued, apart = "Ned the XXXXXop .", "Ned the XXXXX op ."
    lampsh = tokenizer("lampsh", add_special_tokens=False)["input_ids"]
    got = reference.score(model, tokenizer, "cloze", STORY, glued, ["lampsh"])
    same = reference.score(model, tokenizer, "cloze", STORY, apart, ["lampsh"])
    assert got == same
    assert got.option_tokens == [len(lampsh)]


def test_the_discriminator_reads_an_option_in_place(tokenizers):
    tokenizer = tokenizers["electra"]
    model = tiny.torch_model("electra-discriminator")
    glued, whole = "Ned XXXXXop .", "Ned XXXXX ."
    assert tokenizer.tokenize("lamp") == ["lamp"]
    got = reference.score(model, tokenizer, "cloze", STORY, glued, ["lampsh"])
    same = reference.score(model, tokenizer, "cloze", STORY, whole, ["lampshop"])
    assert 0 < got.option_tokens[0] < same.option_tokens[0]
    hyphen = reference.score(model, tokenizer, "cloze", STORY, "a-XXXXX-b", ["lamp"])
    assert hyphen.option_tokens == [1]  # neither hyphen


@torch.no_grad()
def test_discriminator_cloze_is_its_loss_on_the_pieces(tokenizers):
    tokenizer = tokenizers["electra"]
    model = tiny.torch_model("electra-discriminator")
    got = reference.score(model, tokenizer, "cloze", STORY, QUERY, OPTIONS)
    before, after = QUERY.split("XXXXX")
    shared = len(tokenizer(story_text() + before)["input_ids"]) - 1  # without [SEP]
    for option, found, own in zip(OPTIONS, got.scores, got.option_tokens, strict=True):
        text = story_text() + before + option + after
        inputs = tokenizer(text, return_tensors="pt")
        logits = model(**inputs).logits[0, shared : shared + own]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.zeros(own), reduction="sum"
        )
        assert found == pytest.approx(-loss.item(), rel=1e-5)


@pytest.mark.parametrize("variant", ["t5", "t5-gated-untied"])
@torch.no_grad()
def test_t5_cloze_is_the_models_loss_without_the_first_sentinel(tokenizers, variant):
    tokenizer, model = tokenizers["t5"], tiny.torch_model(variant)
    got = reference.score(model, tokenizer, "cloze", STORY, QUERY, OPTIONS)
    text = story_text() + QUERY.replace("XXXXX", "<extra_id_0>")
    inputs = tokenizer(text, return_tensors="pt")
    for option, found, own in zip(OPTIONS, got.scores, got.option_tokens, strict=True):
        target = f"<extra_id_0> {option} <extra_id_1>"
        labels = tokenizer(target, return_tensors="pt")["input_ids"][:, :-1]  # no </s>
        labels_without_first = labels.clone()
        labels_without_first[0, 0] = -100
        shifted = model._shift_right(labels)
        output = model(**inputs, decoder_input_ids=shifted, labels=labels_without_first)
        assert own == labels.shape[1] - 2
        assert found == pytest.approx(-output.loss.item() * (own + 1), rel=1e-5)


@pytest.mark.parametrize("variant", FAMILIES)
@torch.no_grad()
def test_append_is_the_mean_probability_of_the_last_tokens(tokenizers, variant):
    """The option's tokens are the row's last, apart from [SEP] and </s>."""
    family = tiny.VARIANTS[variant].family
    tokenizer, model = tokenizers[family], tiny.torch_model(variant)
    got = reference.score(model, tokenizer, "append", STORY, QUERY, OPTIONS)
    special = 0 if family == "gpt2" else 1
    for option, found, own in zip(OPTIONS, got.scores, got.option_tokens, strict=True):
        text = story_text() + QUERY + " " + option
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        last = ids.shape[1] - special
        targets = ids[0, last - own : last]
        bare = tokenizer(" " + option, add_special_tokens=False)["input_ids"]
        assert targets.tolist() == bare
        if family == "t5":
            logits = model(input_ids=ids, labels=ids).logits[0, last - own : last]
        elif family == "gpt2":
            logits = model(ids).logits[0, last - own - 1 : last - 1]
        else:
            logits = model(ids).logits[0, last - own : last]
        if variant == "electra-discriminator":
            expected = (1 - logits.sigmoid()).mean()
        else:
            expected = logits.softmax(-1)[range(own), targets].mean()
        assert found == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("protocol", ["cloze", "append"])
@pytest.mark.parametrize("variant", FAMILIES)
def test_shortening_drops_whole_sentences_from_the_left(tokenizers, variant, protocol):
    whole = score(tokenizers, variant, protocol, STORY, QUERY, OPTIONS)
    short = score(tokenizers, variant, protocol, STORY, QUERY, OPTIONS, limit=160)
    assert whole.dropped_sentences == 0
    assert 0 < short.dropped_sentences < 20
    assert short.scores != whole.scores
    kept = STORY[short.dropped_sentences :]
    assert score(tokenizers, variant, protocol, kept, QUERY, OPTIONS) == (
        reference.Reference(short.scores, 0, short.option_tokens)
    )
    one_more = STORY[short.dropped_sentences - 1 :]
    with_limit = score(
        tokenizers, variant, protocol, one_more, QUERY, OPTIONS, limit=160
    )
    assert with_limit.dropped_sentences == 1


@pytest.mark.parametrize("variant", FAMILIES)
def test_the_limit_is_the_configs(tokenizers, variant):
    tokenizer = tokenizers[tiny.VARIANTS[variant].family]
    arguments = (tokenizer, "cloze", STORY, QUERY, OPTIONS)
    short = tiny.torch_model(variant, positions=160)
    by_config = reference.score(short, *arguments)
    by_limit = reference.score(tiny.torch_model(variant), *arguments, limit=160)
    assert by_config.dropped_sentences == by_limit.dropped_sentences > 0


@pytest.mark.parametrize("variant", FAMILIES)
def test_context_is_the_story_the_last_sentence_or_nothing(tokenizers, variant):
    def scores(sentences, context):
        return score(
            tokenizers, variant, "cloze", sentences, QUERY, OPTIONS, context
        ).scores

    assert scores(STORY, "last") == scores(STORY[-1:], "full")
    assert scores(STORY, "query") == scores((), "full")
    assert scores(STORY, "last") != scores(STORY, "query")


def test_half_precision_is_refused(tokenizers):
    model = tiny.torch_model("gpt2", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="bfloat16"):
        reference.score(model, tokenizers["gpt2"], "cloze", STORY, QUERY, OPTIONS)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_a_saved_model_loads_as_it_was(tmp_path, variant):
    saved = tiny.save(variant, tmp_path)
    loaded = tiny.VARIANTS[variant].torch_class.from_pretrained(tmp_path)
    for (name, left), (_, right) in zip(
        saved.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert torch.equal(left, right), name
    if "t5" in variant:
        assert torch.equal(loaded.lm_head.weight, loaded.shared.weight) is (
            not tiny.VARIANTS[variant].untied
        )
        unscaled = "unscaled" in variant or variant.endswith("-untied")
        assert loaded.config.scale_decoder_outputs is not unscaled
    text = story_text() + QUERY
    tokens = AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    assert max(tokens) < loaded.config.vocab_size
    assert len(tokens) <= tiny.POSITIONS


def cbt_sample(path: Path) -> Iterator[tuple[list[str], str, list[str]]]:
    for item in path.read_text().strip().split("\n\n"):
        *story, last = (line.split(" ", 1)[1] for line in item.splitlines())
        query, _, _, options = last.split("\t")
        yield story, query, options.split("|")


@pytest.mark.skipif(not DATA.exists(), reason="the sample questions are not here")
@pytest.mark.parametrize("variant", FAMILIES)
def test_real_questions_under_the_real_tokenizers(tmp_path, variant):
    source = DATA / "tokenizers" / tiny.VARIANTS[variant].family
    model = tiny.save(variant, tmp_path, tokenizer_from=source)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    dropped = []
    for path in sorted((DATA / "cbt_sample").glob("cbtest_[CV]*_test_*.txt")):
        story, query, options = next(cbt_sample(path))
        assert len(story) == 20
        assert len(options) == 10
        got = reference.score(model, tokenizer, "cloze", story, query, options)
        dropped.append(got.dropped_sentences)
        assert len(got.scores) == len(got.option_tokens) == 10
        assert all(-math.inf < value < 0 for value in got.scores)
        assert all(1 <= count <= 8 for count in got.option_tokens)
        got = reference.score(model, tokenizer, "append", story, query, options)
        assert all(0 < value < 1 for value in got.scores)
    assert any(dropped)
