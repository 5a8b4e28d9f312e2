"""What a model learns from a window of tokens: inputs, and tokens to predict at the
scored positions. On the host, from a generator that the step number seeds.

    causal    next token        all but the last position predict what follows
    masked    masked words      whole words become [MASK]; the model says what they were
    seq2seq   span corruption   runs of words become sentinels; the decoder says what
                                they were

One that tells replaced tokens from original ones learns nothing from text alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
from jaxtyping import Bool, Int

from jaxsparse.models.inputs import CausalInputs, MaskedInputs, Seq2SeqInputs
from jaxsparse.running_text import Examples

Window = Int[np.ndarray, " position"]
Windows = Int[np.ndarray, "row position"]

# Of the tokens of a window, how many are masked, or go into spans. The originals take
# 0.15; a small model on few tokens learns more from more of them (Wettig et al. 2023).
MASKED = 0.25
CORRUPTED = 0.25
SPAN_WORDS = 1.5  # mean length of a span


@dataclass(frozen=True)
class Vocabulary:
    """What an objective asks of a tokenizer, by token id."""

    letters: Bool[np.ndarray, " vocab"]  # has a letter or a digit
    spaced: Bool[np.ndarray, " vocab"]  # begins behind a space
    continues: Bool[np.ndarray, " vocab"]  # ##: never begins a word
    with_space: dict[int, int]  # the same text behind a space
    begin: int
    end: int
    mask: int
    pad: int
    space: int
    sentinels: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer) -> "Vocabulary":
        ids = tokenizer.get_vocab()
        texts = [text for text, _ in sorted(ids.items(), key=lambda item: item[1])]
        special = set(tokenizer.get_added_tokens_decoder())

        def id_of(*names: str) -> int:
            return next((ids[name] for name in names if name in ids), -1)

        spaced = [text.startswith(("▁", "Ġ")) for text in texts]
        letters = [
            number not in special and any(map(str.isalnum, text.replace("Ġ", "")))
            for number, text in enumerate(texts)
        ]
        sentinels = [f"<extra_id_{number}>" for number in range(len(ids))]
        return cls(
            letters=np.array(letters),
            spaced=np.array(spaced),
            continues=np.array([text.startswith("##") for text in texts]),
            with_space={
                number: ids[f"▁{text}"]
                for number, text in enumerate(texts)
                if f"▁{text}" in ids
            },
            begin=id_of("[CLS]", "<s>"),
            end=id_of("[SEP]", "</s>", "<|endoftext|>"),
            mask=id_of("[MASK]", "<mask>"),
            pad=id_of("[PAD]", "<pad>"),
            space=id_of("▁"),
            sentinels=tuple(ids[name] for name in sentinels if name in ids),
        )

    def words(
        self, row: Window
    ) -> tuple[Int[np.ndarray, " word"], Int[np.ndarray, " word"]]:
        """Where the words of a row begin and end; a word is letters without a space,
        and what a row's edge cuts off is none."""
        letters = self.letters[row]
        before = np.concatenate([[True], letters[:-1]])
        word_piece = bool(self.continues.any())
        joined = self.continues[row] if word_piece else ~self.spaced[row]
        begins = letters & ~(joined & before)
        after = np.concatenate([letters[1:] & ~begins[1:], [True]])
        ends = letters & ~after
        starts = np.flatnonzero(begins)
        finishes = np.flatnonzero(ends) + 1
        if len(finishes) and len(starts) and finishes[0] <= starts[0]:
            finishes = finishes[1:]
        return starts[: len(finishes)], finishes[: len(starts)]


def next_token(
    windows: Windows, vocabulary: Vocabulary, generator: np.random.Generator
) -> Examples:
    """Radford et al. (2019)."""
    rows, length = windows.shape
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), windows.shape)
    scored = np.ascontiguousarray(positions[:, :-1])
    inputs = CausalInputs(windows, positions, np.zeros_like(windows), scored)
    return Examples(inputs, windows[:, 1:], np.ones((rows, length - 1), bool))


def masked_words(
    windows: Windows, vocabulary: Vocabulary, generator: np.random.Generator
) -> Examples:
    """Masked language modelling (Devlin et al. 2019) of whole words, drawn anew each
    time; always [MASK], since that is what a blank will be."""
    framed = [
        np.concatenate([[vocabulary.begin], row, [vocabulary.end]]) for row in windows
    ]
    tokens = np.stack(framed).astype(np.int32)
    count = round(MASKED * windows.shape[1])
    scored = np.stack(
        [_masked_positions(row, count, vocabulary, generator) for row in windows]
    )
    valid = scored >= 0
    scored = np.where(valid, scored + 1, 0).astype(np.int32)  # [CLS] is first
    targets = np.take_along_axis(tokens, scored, axis=1)
    rows, slots = np.nonzero(valid)
    masked = tokens.copy()
    masked[rows, scored[rows, slots]] = vocabulary.mask
    inputs = MaskedInputs(masked, np.ones(tokens.shape, bool), scored)
    return Examples(inputs, targets, valid)


def _masked_positions(
    row: Window, count: int, vocabulary: Vocabulary, generator: np.random.Generator
) -> Int[np.ndarray, " scored"]:
    """Positions of whole words, ascending, at most `count`; -1 fills up."""
    starts, ends = vocabulary.words(row)
    chosen = np.full(count, -1)
    filled = 0
    for word in generator.permutation(len(starts)):
        size = ends[word] - starts[word]
        if filled + size <= count:
            chosen[filled : filled + size] = range(int(starts[word]), int(ends[word]))
            filled += size
        if filled == count:
            break
    chosen[:filled].sort()
    return chosen


def span_corruption(
    windows: Windows, vocabulary: Vocabulary, generator: np.random.Generator
) -> Examples:
    """Raffel et al. (2020), section 3.1.4, with spans of whole words.

    window    Do you see that young man sitting there
    encoder   Do you see <extra_id_0> sitting <extra_id_1> </s>
    decoder   <pad> <extra_id_0> that young man <extra_id_1> there <extra_id_2>
    """
    length = windows.shape[1]
    pairs = [_corrupt(row, vocabulary, generator) for row in windows]
    # A span of one token may become a sentinel and a space behind it. That many
    # spaces in a row were not seen in 1,200; a row that had them would lose its
    # end. The decoder's longest row has spans of one token only.
    encoder_length = length + 1 + length // 16
    decoder_length = 2 * round(CORRUPTED * length) + 1
    encoder = _padded([encoder for encoder, _ in pairs], encoder_length, vocabulary)
    decoder = _padded([decoder for _, decoder in pairs], decoder_length + 1, vocabulary)
    lengths = np.array([min(len(text), encoder_length) for text, _ in pairs])
    mask = np.arange(encoder_length)[None] < lengths[:, None]
    sizes = np.array([min(len(text), decoder_length + 1) for _, text in pairs])
    positions = np.broadcast_to(
        np.arange(decoder_length, dtype=np.int32), (len(windows), decoder_length)
    )
    valid = positions + 1 < sizes[:, None]
    inputs = Seq2SeqInputs(
        encoder_tokens=encoder,
        attention_mask=mask,
        tokens=decoder[:, :-1],
        positions=positions,
        branches=np.where(valid, 0, -1).astype(np.int32),
        scored=positions,
    )
    return Examples(inputs, decoder[:, 1:], valid)


def _corrupt(
    row: Window, vocabulary: Vocabulary, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """The encoder's text and the decoder's, the latter from its <pad>."""
    encoder: list[int] = []
    decoder = [vocabulary.pad]
    at = 0
    spans = _spans(row, vocabulary, generator)
    for sentinel, (begin, end) in zip(vocabulary.sentinels, spans, strict=False):
        encoder += _behind_sentinel(row[at:begin], vocabulary, at > 0)
        encoder.append(sentinel)
        decoder += [sentinel, *row[begin:end].tolist()]
        at = end
    encoder += [*_behind_sentinel(row[at:], vocabulary, at > 0), vocabulary.end]
    decoder.append(vocabulary.sentinels[len(spans)])
    return encoder, decoder


def _behind_sentinel(piece: Window, vocabulary: Vocabulary, behind: bool) -> list[int]:
    """T5's tokenizer begins anew behind a sentinel: what has no space gets one."""
    tokens = piece.tolist()
    if not behind or not tokens or vocabulary.spaced[tokens[0]]:
        return tokens
    if (together := vocabulary.with_space.get(tokens[0])) is not None:
        return [together, *tokens[1:]]
    return [vocabulary.space, *tokens]


def _spans(
    row: Window, vocabulary: Vocabulary, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Runs of words, in order, apart from one another, about CORRUPTED of the row."""
    starts, ends = vocabulary.words(row)
    whole = vocabulary.spaced[row[starts]]  # options, too, are tokenized with a space
    budget = round(CORRUPTED * len(row))
    taken = np.zeros(len(row) + 1, bool)
    spans = []
    limit = len(vocabulary.sentinels) - 1
    for word in generator.permutation(np.flatnonzero(whole)):
        last = word + generator.geometric(1 / SPAN_WORDS) - 1
        if last >= len(starts) or not whole[word : last + 1].all():
            continue
        begin, end = int(starts[word]), int(ends[last])
        if taken[max(begin - 1, 0) : end + 1].any() or end - begin > budget:
            continue
        taken[begin:end] = True
        spans.append((begin, end))
        budget -= end - begin
        if budget < 1 or len(spans) == limit:
            break
    return sorted(spans)


def _padded(
    rows: Sequence[Sequence[int]], length: int, vocabulary: Vocabulary
) -> Int[np.ndarray, "row position"]:
    made = np.full((len(rows), length), vocabulary.pad, np.int32)
    for target, row in zip(made, rows, strict=True):
        target[: len(row)] = row[:length]
    return made


@dataclass(frozen=True)
class Objective:
    """How windows become examples, and how many special tokens go around each."""

    examples: Callable[[Windows, Vocabulary, np.random.Generator], Examples]
    frame: int


OBJECTIVES = {  # by `config.reading`
    "causal": Objective(next_token, frame=0),
    "masked": Objective(masked_words, frame=2),
    "seq2seq": Objective(span_corruption, frame=1),
}
