"""Tokenizers of three kinds, trained on the texts a model will be trained on.

The same texts always give the same tokenizer. The `tokenizers` library's own WordPiece
and Unigram trainers do not promise that, so word pieces are those of byte-pair
encoding, whose trainer does, and unigrams come from sentencepiece.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from jaxsparse.types import InputError

SENTINELS = 100  # <extra_id_0> … <extra_id_99>, as T5 has them


def train(kind: str, texts: Sequence[str], size: int) -> tokenizers.Tokenizer:
    """A tokenizer of `size` tokens, special tokens included.

    Args:
        kind: a key of KINDS: byte-level byte-pair encoding as GPT-2 has it, WordPiece
            in lower case as ELECTRA, Unigram with sentinels as T5.

    Raises:
        InputError: the texts hold fewer different pieces of words than that.
    """
    made = KINDS[kind].train(texts, size)
    if made.get_vocab_size() < size:
        raise _too_few(size)
    return made


def _too_few(size: int) -> InputError:
    return InputError(
        f"the books are too few for a vocabulary of {size} tokens; name more books"
    )


def save(
    tokenizer: tokenizers.Tokenizer, kind: str, positions: int, directory: Path
) -> None:
    """Writes what AutoTokenizer reads: tokenizer.json and tokenizer_config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {**KINDS[kind].settings, "model_max_length": positions}
    text = json.dumps(settings, indent=2)
    (directory / "tokenizer_config.json").write_text(f"{text}\n", encoding="utf-8")
    compact = json.dumps(
        json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")
    )
    (directory / "tokenizer.json").write_text(compact, encoding="utf-8")


def _byte_level(texts: Sequence[str], size: int) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_portions(texts), trainer)
    made.add_special_tokens(["<|endoftext|>"])  # the last id, as in the published one
    return made


def _word_piece(texts: Sequence[str], size: int) -> tokenizers.Tokenizer:
    normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = _word_pieces(texts, normalizer, size)
    letters = sorted({piece[-1] for piece in pieces if len(piece.lstrip("#")) == 1})
    everywhere = [form for letter in letters for form in (letter, f"##{letter}")]
    vocabulary = list(dict.fromkeys([*special, *everywhere, *pieces]))[:size]
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    made = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))  # pyright: ignore[reportCallIssue]
    made.normalizer, made.pre_tokenizer = normalizer, split
    made.decoder = decoders.WordPiece(prefix="##")
    made.add_special_tokens(special)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return made


def _word_pieces(
    texts: Sequence[str], normalizer: normalizers.Normalizer, size: int
) -> list[str]:
    """The merges of byte-pair encoding over words, in order; ## continues a word."""
    made = tokenizers.Tokenizer(models.BPE())
    made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()]
    )
    made.train_from_iterator(
        _portions(texts), BpeTrainer(vocab_size=size, show_progress=False)
    )
    by_id = sorted(made.get_vocab().items(), key=lambda item: item[1])
    pieces = [
        piece[1:] if piece.startswith("▁") else f"##{piece}" for piece, _ in by_id
    ]
    return [piece for piece in pieces if piece]


def _unigram(texts: Sequence[str], size: int) -> tokenizers.Tokenizer:
    import sentencepiece

    special = ["<pad>", "</s>", "<unk>"]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=_portions(texts),
            model_writer=model,
            vocab_size=size - SENTINELS,
            model_type="unigram",
            character_coverage=1.0,
            normalization_rule_name="identity",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:  # the only kind it raises
        if "Vocabulary size too high" not in str(error):
            raise
        raise _too_few(size) from None
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())  # pyright: ignore[reportCallIssue]
    vocabulary = [
        (pieces.IdToPiece(number), pieces.GetScore(number))
        for number in range(pieces.GetPieceSize())
    ]
    made = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=2))
    # As transformers' T5Tokenizer does: no piece is a space alone because one stands
    # before a sentinel.
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
        ]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    made.add_special_tokens(special)
    made.add_special_tokens([f"<extra_id_{i}>" for i in reversed(range(SENTINELS))])
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return made


def _portions(texts: Sequence[str], words: int = 200) -> Iterator[str]:
    """The texts in portions that every trainer takes: some have a longest line."""
    for text in texts:
        all_words = text.split(" ")
        for begin in range(0, len(all_words), words):
            yield " ".join(all_words[begin : begin + words])


@dataclass(frozen=True)
class _Kind:
    train: Callable[[Sequence[str], int], tokenizers.Tokenizer]
    settings: Mapping[str, Any]  # of tokenizer_config.json


KINDS = {  # by a family's `start.tokenizer`
    "byte pairs": _Kind(
        _byte_level,
        {
            "tokenizer_class": "GPT2Tokenizer",
            "unk_token": "<|endoftext|>",
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
        },
    ),
    "word pieces": _Kind(
        _word_piece,
        {
            "tokenizer_class": "ElectraTokenizer",
            "do_lower_case": True,
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
    ),
    "unigrams": _Kind(
        _unigram,
        {
            "tokenizer_class": "T5Tokenizer",
            "extra_ids": SENTINELS,
            "additional_special_tokens": [f"<extra_id_{i}>" for i in range(SENTINELS)],
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
        },
    ),
}
