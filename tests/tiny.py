"""Tiny random Hugging Face checkpoints, tokenizers and questions, made offline.

What transformers 5.23 does with T5 heads (T5Config.__post_init__, tie_weights): it
sets `tie_word_embeddings` to True whatever it is given, and takes a False only as
`scale_decoder_outputs = False` (an explicit `scale_decoder_outputs` wins over that). So
config.json of a saved model always says tied, and a head is untied exactly when the
file holds an `lm_head.weight` that differs from `shared.weight`: loading then logs that
it does NOT tie, and keeps both. Here the untied variants get their own head tensor
after construction; saving writes it and `from_pretrained` brings it back.
"""

import functools
import json
import math
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.oracle import torch

HIDDEN, HEADS, POSITIONS = 32, 4, 512
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)


@dataclass(frozen=True)
class Variant:
    family: str
    torch_class: type[PreTrainedModel]
    config: Mapping[str, Any] = field(default_factory=dict)  # beyond the family's
    untied: bool = False
    tokenizer: str = ""  # a key of _TOKENIZERS; the family's own unless said

    @property
    def reads(self) -> str:
        return self.tokenizer or self.family


def _llama_variants() -> Iterator[tuple[str, Variant]]:
    """What is built like Llama; scalings of rotary positions, as they are now and were
    once written."""
    shared, single = {"num_key_value_heads": 2}, {"num_key_value_heads": 1}
    yield "llama", Variant("llama", LlamaForCausalLM, shared)
    yield (
        "llama-biased",
        Variant(
            "llama",
            LlamaForCausalLM,
            {"attention_bias": True, "mlp_bias": True, "head_dim": 12},
        ),
    )
    yield (
        "llama-tied",
        Variant("llama", LlamaForCausalLM, {"tie_word_embeddings": True, **single}),
    )
    for name, scaling in ROTARY.items():
        yield (
            f"llama-{name}",
            Variant("llama", LlamaForCausalLM, {"rope_parameters": scaling}),
        )
    yield "mistral", Variant("llama", MistralForCausalLM, shared, tokenizer="unigram")
    yield "qwen2", Variant("llama", Qwen2ForCausalLM, shared, tokenizer="gpt_neox")
    yield (
        "qwen3",
        Variant(
            "llama",
            Qwen3ForCausalLM,
            {
                "head_dim": 10,
                "attention_bias": True,
                "tie_word_embeddings": True,
                **shared,
            },
            tokenizer="gpt_neox",
        ),
    )


def _other_variants() -> Iterator[tuple[str, Variant]]:
    part = {"rope_type": "default", "rope_theta": 900.0, "partial_rotary_factor": 0.5}
    yield "pythia", Variant("gpt_neox", GPTNeoXForCausalLM, {"rope_parameters": part})
    yield (
        "pythia-sequential",
        Variant(
            "gpt_neox",
            GPTNeoXForCausalLM,
            {
                "use_parallel_residual": False,
                "attention_bias": False,
                "tie_word_embeddings": True,
            },
        ),
    )
    yield "opt", Variant("opt", OPTForCausalLM)
    yield (
        "opt-norm-behind",
        Variant(
            "opt",
            OPTForCausalLM,
            {"do_layer_norm_before": False, "word_embed_proj_dim": 20},
        ),
    )
    yield (
        "opt-plain",
        Variant(
            "opt",
            OPTForCausalLM,
            {
                "enable_bias": False,
                "layer_norm_elementwise_affine": False,
                "_remove_final_layer_norm": True,
                "tie_word_embeddings": False,
            },
            untied=True,
        ),
    )
    for name, kind in (("bert", BertForMaskedLM), ("roberta", RobertaForMaskedLM)):
        yield name, Variant(name, kind)
        yield (
            f"{name}-untied",
            Variant(
                name,
                kind,
                {"tie_word_embeddings": False, "hidden_act": "relu"},
                untied=True,
            ),
        )


ROTARY = {
    "linear": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 5000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 40,
    },
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 1000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}


def _t5_variants() -> Iterator[tuple[str, Variant]]:
    """Every feed-forward, head and scale; unsaid: tied scales, untied does not."""
    for gated in False, True:
        for untied in False, True:
            for scaled in True, False:
                name = "t5" + "-gated" * gated
                name += "-unscaled-tied" * (not untied and not scaled)
                name += "-untied" * untied + "-scaled" * (untied and scaled)
                config = {
                    "feed_forward_proj": "gated-gelu" if gated else "relu",
                    "scale_decoder_outputs": scaled,
                }
                yield name, Variant("t5", T5ForConditionalGeneration, config, untied)


VARIANTS: dict[str, Variant] = {
    "gpt2": Variant("gpt2", GPT2LMHeadModel),
    "gpt2-inverse-layer": Variant(
        "gpt2", GPT2LMHeadModel, {"scale_attn_by_inverse_layer_idx": True}
    ),
    "gpt2-upcast": Variant("gpt2", GPT2LMHeadModel, {"reorder_and_upcast_attn": True}),
    "gpt2-relu": Variant("gpt2", GPT2LMHeadModel, {"activation_function": "relu"}),
    "gpt2-unscaled": Variant("gpt2", GPT2LMHeadModel, {"scale_attn_weights": False}),
    "gpt2-inner": Variant("gpt2", GPT2LMHeadModel, {"n_inner": 48}),
    "gpt2-untied": Variant(
        "gpt2", GPT2LMHeadModel, {"tie_word_embeddings": False}, untied=True
    ),
    "electra-generator": Variant(
        "electra", ElectraForMaskedLM, {"embedding_size": HIDDEN}
    ),
    "electra-generator-projected": Variant(
        "electra", ElectraForMaskedLM, {"embedding_size": 20}
    ),
    "electra-generator-untied": Variant(
        "electra",
        ElectraForMaskedLM,
        {"embedding_size": 20, "tie_word_embeddings": False},
        untied=True,
    ),
    "electra-discriminator": Variant(
        "electra", ElectraForPreTraining, {"embedding_size": HIDDEN}
    ),
    "electra-discriminator-projected": Variant(
        "electra", ElectraForPreTraining, {"embedding_size": 20}
    ),
    **dict(_t5_variants()),
}
LATER = dict(_llama_variants()) | dict(_other_variants())
EVERY = VARIANTS | LATER


def torch_model(
    variant: str,
    *,
    vocab: int | None = None,
    seed: int = 0,
    dtype: Any = None,
    positions: int | None = None,
) -> Any:
    """A random model in eval mode whose attention and logits are far from uniform.

    Args:
      variant: a name in EVERY.
      vocab: rows of the embedding; by default what the tiny tokenizer needs.
      seed: of the weights; biases and norms are random too, none is 0 or 1.
      dtype: of the weights, drawn in float32; by default that.
      positions: the row limit in tokens, 512 by default; T5 writes `n_positions` into
        config.json only when this is given.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = EVERY[variant]
    vocab = vocab or vocab_size(kind.reads)
    model = kind.torch_class(_config(kind, vocab, positions))
    if kind.family == "t5" and kind.untied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty(vocab, HIDDEN))
    _randomise(model, generator)
    return model.to(dtype or torch.float32).eval()


def save(
    variant: str,
    directory: Path,
    tokenizer_from: Path | None = None,
    *,
    vocab: int | None = None,
    seed: int = 0,
    dtype: Any = None,
    positions: int | None = None,
    **options: Any,
) -> Any:
    """Writes a checkpoint directory with tokenizer and returns its torch model.

    With `tokenizer_from`, that directory's tokenizer is copied and the vocabulary is
    as large as it asks. `options` go to `save_pretrained` (max_shard_size, …).
    """
    kind, directory = EVERY[variant], Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if tokenizer_from is None:
        tokenizer(kind.reads, directory)
    else:
        _copy_tokenizer(Path(tokenizer_from), directory)
        vocab = vocab or _padded(
            kind.family, len(AutoTokenizer.from_pretrained(directory))
        )
    model = torch_model(
        variant, vocab=vocab, seed=seed, dtype=dtype, positions=positions
    )
    model.save_pretrained(directory, **options)
    return model


def tokenizer(family: str, directory: Path) -> None:
    """Writes a small trained tokenizer that behaves as the family's real one.

    T5's has no Unicode normaliser (the real one carries a compiled NFKC table).
    """
    text, config = _TOKENIZERS[family]
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(text())
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


@functools.cache
def vocab_size(family: str) -> int:
    """Embedding rows for the tiny tokenizer; T5 gets some that no token uses."""
    with tempfile.TemporaryDirectory() as directory:
        tokenizer(family, Path(directory))
        return _padded(family, len(AutoTokenizer.from_pretrained(directory)))


def question_text(seed: int) -> tuple[tuple[str, ...], str, tuple[str, ...], str]:
    """A question in CBT's looks: 20 sentences, query with XXXXX, 10 options, answer.

    The blank stands at the query's start, inside it or at its very end for seeds 0, 1
    and 2 modulo 3. At least three options are of several pieces in every tokenizer.
    """
    rng = random.Random(seed)
    story = tuple(_sentence(rng) for _ in range(20))
    query = _fill(rng, QUERIES[seed % 3])
    options = rng.sample(NOUNS, 6) + rng.sample(RARE, 4)
    rng.shuffle(options)
    return story, query, tuple(options), rng.choice(options)


def _config(kind: Variant, vocab: int, positions: int | None) -> Any:
    if kind.family == "gpt2":
        return GPT2Config(
            vocab_size=vocab,
            n_positions=positions or POSITIONS,
            n_embd=HIDDEN,
            n_layer=3,
            n_head=HEADS,
            bos_token_id=vocab - 1,
            eos_token_id=vocab - 1,
            **kind.config,
        )
    if kind.family == "electra":
        return ElectraConfig(
            vocab_size=vocab,
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            intermediate_size=56,
            max_position_embeddings=positions or POSITIONS,
            **kind.config,
        )
    if kind.family != "t5":
        return _later_config(kind, vocab, positions or POSITIONS)
    limit = {"n_positions": positions} if positions else {}
    return T5Config(  # heads do not fill the width, and the decoder is the deeper one
        vocab_size=vocab,
        d_model=HIDDEN,
        d_kv=6,
        d_ff=56,
        num_heads=HEADS,
        num_layers=2,
        num_decoder_layers=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        decoder_start_token_id=0,
        **limit,
        **kind.config,
    )


def _later_config(kind: Variant, vocab: int, positions: int) -> Any:
    """Of the families whose keys are named alike."""
    classes = {
        LlamaForCausalLM: LlamaConfig,
        MistralForCausalLM: MistralConfig,
        Qwen2ForCausalLM: Qwen2Config,
        Qwen3ForCausalLM: Qwen3Config,
        GPTNeoXForCausalLM: GPTNeoXConfig,
        OPTForCausalLM: OPTConfig,
        BertForMaskedLM: BertConfig,
        RobertaForMaskedLM: RobertaConfig,
    }
    opt = kind.family == "opt"
    own = {
        "ffn_dim" if opt else "intermediate_size": 56,
        **({"word_embed_proj_dim": HIDDEN} if opt else {}),
        **({"num_key_value_heads": HEADS} if kind.family == "llama" else {}),
        **kind.config,
    }
    return classes[kind.torch_class](
        vocab_size=vocab,
        hidden_size=HIDDEN,
        num_hidden_layers=2 if kind.family == "llama" else 3,
        num_attention_heads=HEADS,
        # Of RoBERTa's places two are behind no token.
        max_position_embeddings=positions + 2 * (kind.family == "roberta"),
        **own,
    )


@torch.no_grad()
def _randomise(model: Any, generator: Any) -> None:
    """Weights that keep unit spread through a layer, and logits that spread by 2."""
    embeddings = {
        id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)
    }
    head = model.get_output_embeddings()  # pyright: ignore
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            parameter.copy_(0.2 * noise + float(name.endswith("weight")))
        elif "relative_attention_bias" in name:
            parameter.copy_(noise)
        elif id(parameter) in embeddings or (head and parameter is head.weight):
            parameter.copy_(noise * 2 / math.sqrt(parameter.shape[1]))
            if getattr(model.config, "scale_decoder_outputs", False):
                parameter.mul_(math.sqrt(parameter.shape[1]))
        else:
            inputs = parameter.shape["gpt2" not in model.config.model_type]
            gain = 4 if parameter.shape[0] == 1 else 1.2  # one output: discriminator
            parameter.copy_(noise * gain / math.sqrt(inputs))
            _temper(name, parameter, model.config)


def _temper(name: str, parameter: Any, config: Any) -> None:
    """Keeps float32 noise below 1e-5 where a model itself does not scale."""
    if name.endswith("Attention.q.weight"):  # T5 draws its queries so
        parameter.div_(math.sqrt(config.d_kv))
    elif name.endswith("c_attn.weight") and not config.scale_attn_weights:
        parameter[:, :HIDDEN].div_(math.sqrt(HIDDEN // HEADS))
    elif any(part in name for part in HALVED):
        parameter.mul_(0.5)


HALVED = (  # the two factors of a gated feed-forward, keys, and what is summed up
    *(".wi_", "gate_proj", "up_proj", "self_attn.k_proj"),
    *(".out_proj.weight", ".fc2.weight"),
)


def _padded(family: str, size: int) -> int:
    return -(-(size + 1) // 128) * 128 if family == "t5" else size


def _copy_tokenizer(source: Path, directory: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, directory / name)  # not its permissions


@functools.cache
def _bpe() -> str:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=511,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_corpus(), trainer)
    made.add_special_tokens(["<|endoftext|>"])  # the last id, as in the real one
    return made.to_str()


def _byte_pairs(front: Sequence[str], behind: Sequence[str] = ()) -> str:
    """Byte-level pairs whose special tokens come first, some of them put around."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=511,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    made.train_from_iterator(_corpus(), trainer)
    made.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    made.post_processor = processors.TemplateProcessing(
        single=[*front, "$A", *behind],
        pair=[*front, "$A", *behind, "$B", *behind],
        special_tokens=[(token, special.index(token)) for token in special],
    )
    return made.to_str()


@functools.cache
def _roberta() -> str:
    """As the real one, whose processor takes the space off a token's characters."""
    made = tokenizers.Tokenizer.from_str(_byte_pairs((), ()))
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return made.to_str()


@functools.cache
def _llama() -> str:
    """As that of Llama 3: split by an expression of its own, a first token in front."""
    made = tokenizers.Tokenizer.from_str(_byte_pairs(("<s>",)))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(LLAMA_3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made.to_str()


@functools.cache
def _unigram_bytes() -> str:
    """As that of Llama 2: what it has no piece for are bytes, spaces are pieces of a
    text that is not split before."""
    special = ["<unk>", "<s>", "</s>"]
    pieces = [piece for piece in _pieces(_corpus(), 300) if piece[0] not in "ëZ"]
    total = sum(count for _, count in pieces)
    vocab = [(token, 0.0) for token in special]
    vocab += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    vocab += [(piece, math.log(count / total)) for piece, count in pieces]
    made = tokenizers.Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made.add_special_tokens(special)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return made.to_str()


@functools.cache
def _wordpiece() -> str:
    normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    lines = [
        " ".join(word for word, _ in split.pre_tokenize_str(line))
        for line in map(normalizer.normalize_str, _corpus())
    ]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for piece, _ in _pieces(lines, 300):
        if piece != "▁":
            starts = piece.startswith("▁")
            vocab += [piece[1:]] if starts else ["##" + piece]
            vocab += [piece] if len(piece) == 1 else []  # a letter goes anywhere
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(vocab))}
    made = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizer, split
    made.decoder = decoders.WordPiece(prefix="##")
    made.add_special_tokens(vocab[:5])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return made.to_str()


@functools.cache
def _unigram() -> str:
    special = ["<pad>", "</s>", "<unk>"]
    pieces = _pieces(_corpus(), 400)
    total = sum(count for _, count in pieces)
    scores = [(piece, math.log(count / total)) for piece, count in pieces]
    vocab = [(token, 0.0) for token in special] + scores
    made = tokenizers.Tokenizer(models.Unigram(vocab, unk_id=2))
    words = pre_tokenizers.WhitespaceSplit()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    made.add_special_tokens(special)
    made.add_special_tokens([f"<extra_id_{i}>" for i in reversed(range(100))])
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return made.to_str()


def _pieces(lines: Sequence[str], size: int) -> list[tuple[str, int]]:
    """Word pieces (▁ begins a word) with counts; the Unigram and WordPiece trainers
    give other pieces in every process, the BPE trainer does not."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.train_from_iterator(lines, BpeTrainer(vocab_size=size, show_progress=False))
    counts = Counter(dict.fromkeys(made.get_vocab(), 1))
    for line in lines:
        counts.update(made.encode(line).tokens)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

_TOKENIZERS = {
    "llama": (_llama, {"tokenizer_class": "PreTrainedTokenizerFast", **_NAMED}),
    "unigram": (
        _unigram_bytes,
        {"tokenizer_class": "PreTrainedTokenizerFast", **_NAMED},
    ),
    "gpt_neox": (
        _bpe,
        {"tokenizer_class": "GPTNeoXTokenizer", "eos_token": "<|endoftext|>"},
    ),
    "opt": (
        functools.partial(_byte_pairs, ("</s>",)),
        {"tokenizer_class": "PreTrainedTokenizerFast", **_NAMED, "bos_token": "</s>"},
    ),
    "roberta": (
        _roberta,
        {
            "tokenizer_class": "RobertaTokenizer",
            **_NAMED,
            "cls_token": "<s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
    ),
    "bert": (
        _wordpiece,
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
    ),
    "gpt2": (
        _bpe,
        {
            "tokenizer_class": "GPT2Tokenizer",
            "model_max_length": 1024,
            "unk_token": "<|endoftext|>",
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
        },
    ),
    "electra": (
        _wordpiece,
        {
            "tokenizer_class": "ElectraTokenizer",
            "do_lower_case": True,
            "model_max_length": 512,
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
    ),
    "t5": (
        _unigram,
        {
            "tokenizer_class": "T5Tokenizer",
            "model_max_length": 512,
            "extra_ids": 100,
            "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)],
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
        },
    ),
}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words("Mira Tobin Zoë Hazel Ned Oona")
NOUNS = _words(
    "fox hen mill gate lamp kettle brook barn ladder button apple ferry goose window "
    "shoe candle tailor bread bridge basket"
)
RARE = _words(  # several pieces each; an accent, hyphens, an apostrophe, capitals
    "Zumbleton weathercock quartermaster half-moon Chloë will-o'-the-wisp Queen-Anne "
    "jackdaws harpsichord VIXEN"
)
SENTENCES = (
    "{name} carried the {noun} over the {noun} and down to the {noun} .",
    "`` Have you seen my {noun} ? '' asked {name} .",
    "{name} did n't answer , for the {noun} was gone .",
    "In the corner stood {name} 's {noun} -LRB- a very old one -RRB- .",
    "The {noun} , the {noun} and the {noun} were wet with rain ; nobody minded .",
    "` It is only a {noun} , ' said {name} , and laughed .",
    "So they waited -- and waited -- till the {noun} was quite cold .",
    "Hush !",
    "At 7 o'clock {name} found {number} pennies under the {noun} .",
    "Nobody in the valley had ever thought so much about a {noun} before .",
)
QUERIES = (
    "XXXXX came along the path , and {name} hid behind the {noun} .",
    "`` Mind the XXXXX 's tail ! '' cried {name} , who could n't see the {noun} .",
    "{name} opened the door , and there upon the {noun} sat the XXXXX",
)


def _sentence(rng: random.Random) -> str:
    return _fill(rng, rng.choice(SENTENCES))


def _fill(rng: random.Random, template: str) -> str:
    while "{" in template:
        start, end = template.index("{"), template.index("}")
        words = {"name": NAMES, "noun": NOUNS, "number": ("12", "30", "485")}
        word = rng.choice(words[template[start + 1 : end]])
        template = template[:start] + word + template[end + 1 :]
    return template


def _corpus() -> list[str]:
    """Sentences, and the alphabet both ways so that every letter is in every place."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    alphabets = [letters, letters[::-1], letters.upper(), letters[::-1].upper()]
    return [_sentence(rng) for _ in range(400)] + alphabets + ["0123456789 ()?-'\"ë"]
