"""Running text as models read it: its tokens, windows of them, and rows with targets.

    causal     window               every token but the first, from those before it
    masked     [CLS] window [SEP]   the tokens, 15 % of them, that became [MASK]
    replaced   [CLS] window [SEP]   nothing: it tells tokens apart, and predicts none
    seq2seq    window, 15 % of it   the runs of tokens that became sentinels
               replaced

Calibration feeds these rows, and the second measure of a sweep is taken on them. What a
small model is trained on is harder, see `training.objectives`.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from jaxsparse.models.inputs import CausalInputs, MaskedInputs, Seq2SeqInputs
from jaxsparse.types import Array, InputError, Leaves, brief
from jaxsparse.weights.tokenizer import called

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Tokens = Int32[np.ndarray, " _"]
Windows = Int32[np.ndarray, "row position"]

CORRUPTED = 0.15  # of a window: masked (Devlin et al. 2019), or in spans
SPAN = 3  # mean length of a span (Raffel et al. 2020)
SHORTEST = 4  # tokens of a window: of fewer, no token would be corrupted
FRAMED = {"masked": 2, "replaced": 2}  # tokens around a window, by `config.reading`


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Examples:
    """Rows: inputs of a family, and targets at their scored positions."""

    inputs: Any
    targets: Int[Array, "row scored"]
    valid: Bool[Array, "row scored"]  # False where a row has fewer targets


def loss_sums(
    apply: Callable[[Leaves, Any], jax.Array], params: Leaves, examples: Examples
) -> tuple[Float[jax.Array, ""], Int[jax.Array, ""]]:
    """The summed cross entropy (nats) of the targets, and how many there are."""
    import optax  # only who trains, or wants a gradient, waits for it

    logits = apply(params, examples.inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, examples.targets)
    return jnp.sum(losses, where=examples.valid), jnp.sum(examples.valid)


def portioned_loss_sums(
    text_loss: Callable[[Leaves, Any, Any, Any], jax.Array],
    params: Leaves,
    examples: Examples,
) -> tuple[Float[jax.Array, ""], Int[jax.Array, ""]]:
    """The same as `loss_sums`, with the logits of a portion of the targets at a time:
    what a training step of text wants.

    Args:
        text_loss: as `models.apply.make_text_loss` makes it.
    """
    targets, valid = jnp.asarray(examples.targets), jnp.asarray(examples.valid)
    return text_loss(params, examples.inputs, targets, valid), jnp.sum(valid)


def tokenized(text: str, tokenizer: "PreTrainedTokenizerFast") -> Tokens:
    """The tokens of a whole text, a beginning-of-text token in front if the tokenizer
    puts one there; what frames a row ([CLS], [SEP], </s>) is no part of a text.

    Raises:
        InputError: the vocabulary has no token for what it does not know.
    """
    try:
        tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        framed = tokenizer("a", return_special_tokens_mask=True)
    except Exception as error:  # tokenizers raises plain exceptions
        raise InputError(
            f"the tokenizer cannot read every text ({brief(error)}); put the model's "
            "own tokenizer files there"
        ) from None
    first = framed["input_ids"][:1] if framed["special_tokens_mask"][:1] == [1] else []
    begins = first == [tokenizer.bos_token_id] != [tokenizer.cls_token_id]
    front = first if begins and tokens[:1] != first else []
    return np.array([*front, *tokens], np.int32)


def longest_window(config: Any) -> int:
    """How many tokens of a text one row of a model takes. The encoder's row of a
    corrupted window is shorter than the window."""
    return config.positions - FRAMED.get(config.reading, 0)


def window_length(config: Any, tokens: int, most: int) -> int:
    """The length of windows: as asked, or for 0 the model's limit, but at most `most`.

    Raises:
        InputError: more than the model takes, or too few to corrupt any.
    """
    longest = longest_window(config)
    length = tokens or min(longest, most)
    if not SHORTEST <= length <= longest:
        raise InputError(
            f"a window of {length} tokens; the model takes {SHORTEST} to {longest}"
        )
    return length


def evenly_spaced(
    tokens: Tokens, rows: int, length: int, seed: int
) -> tuple[Windows, bool]:
    """Windows at equal distances, the first at an offset that the seed draws.

    They overlap only where the text has fewer than rows x length tokens.

    Returns:
        the windows, and whether they overlap.

    Raises:
        InputError: the text is shorter than one window.
    """
    _check_long_enough(tokens, length)
    last = len(tokens) - length
    overlapping = rows * length > len(tokens)
    step = last // rows if overlapping else max(last // rows, length)
    room = last - (rows - 1) * step + 1
    offset = int(_generator(seed, "offset").random() * room)
    begins = offset + step * np.arange(rows)
    return tokens[begins[:, None] + np.arange(length)], overlapping


def consecutive(tokens: Tokens, length: int) -> tuple[Windows, int]:
    """Windows one behind another, and how many tokens are left behind the last.

    Raises:
        InputError: the text is shorter than one window.
    """
    _check_long_enough(tokens, length)
    number = len(tokens) // length
    windows = tokens[: number * length].reshape(number, length)
    return windows, len(tokens) - windows.size


def _check_long_enough(tokens: Tokens, length: int) -> None:
    if len(tokens) < length:
        raise InputError(
            f"a text of {len(tokens)} tokens is shorter than one window of {length}; "
            "give a longer one, or shorter windows"
        )


def examples(
    windows: Windows, config: Any, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> Examples:
    """The windows as a model reads them, a row each, on the host.

    What becomes of a row depends on its window, the seed and the row's number alone:
    each row has a stream of its own, Philox4x64-10 with the first 128 bits of the
    SHA-256 of "seed/number" as key.

    Raises:
        InputError: the tokenizer lacks a special token, or the model has none of the
            windows' tokens; one of those tokens that rows are framed and masked with
            stands in the text itself.
    """
    if windows.size and windows.max() >= config.vocab:
        raise InputError(
            f"the tokenizer's tokens go up to {windows.max()}, the model's vocabulary "
            f"has {config.vocab}; put the model's own tokenizer files there"
        )
    _refuse_special(windows, config, tokenizer)
    if config.reading == "causal":
        return _predicted(windows)
    if config.reading == "seq2seq":
        return _spans_corrupted(windows, config, tokenizer, seed)
    return _framed(windows, config, tokenizer, seed)


def _refuse_special(
    windows: Windows, config: Any, tokenizer: "PreTrainedTokenizerFast"
) -> None:
    """A [MASK] or </s> that a text spells out would be taken for one of ours. GPT-2 has
    none of ours: its <|endoftext|> sets texts apart, as it did in training."""
    if config.reading == "causal":
        return
    special = {
        number: token.content
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special and number != tokenizer.unk_token_id
    }
    there = np.isin(windows, list(special))
    if there.any():
        token = special[int(windows[there][0])]
        raise InputError(
            f"{token} stands in the text, where the tokenizer takes it for a special "
            "token; take it out"
        )


def _predicted(windows: Windows) -> Examples:
    """Radford et al. (2019)."""
    positions = _counted(windows.shape)
    inputs = CausalInputs(
        tokens=windows,
        positions=positions,
        branches=np.zeros_like(windows),
        scored=np.ascontiguousarray(positions[:, :-1]),
    )
    targets = np.ascontiguousarray(windows[:, 1:])
    return Examples(inputs, targets, np.ones(targets.shape, bool))


def _framed(
    windows: Windows, config: Any, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> Examples:
    """[CLS] window [SEP]. The generator's with tokens masked, every choice equally
    likely; the discriminator's as it is, read at every token, with no targets."""
    masked = config.reading == "masked"
    begin, end = _ids(tokenizer, config, ("[CLS]", "[SEP]"))
    tokens = np.pad(windows, ((0, 0), (1, 1)))
    tokens[:, 0], tokens[:, -1] = begin, end
    number = round(CORRUPTED * windows.shape[1])
    drawn = [
        _drawn(windows.shape[1], number, _generator(seed, row)) if masked
        else np.arange(windows.shape[1])
        for row in range(len(windows))
    ]  # fmt: skip
    scored = np.stack(drawn).astype(np.int32) + 1
    targets = np.take_along_axis(tokens, scored, axis=1)
    if masked:
        (mask,) = _ids(tokenizer, config, ("[MASK]",))
        np.put_along_axis(tokens, scored, mask, axis=1)
    inputs = MaskedInputs(tokens, np.ones(tokens.shape, bool), scored)
    return Examples(inputs, targets, np.full(targets.shape, masked))


def _spans_corrupted(
    windows: Windows, config: Any, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> Examples:
    """Raffel et al. (2020), section 3.1.4: what is kept and what is lost are each cut
    into as many segments at random, so that all rows are equally long.

    window    Do you see that young man sitting there
    encoder   Do you see <extra_id_0> sitting <extra_id_1> </s>
    decoder   <pad> <extra_id_0> that young man <extra_id_1> there
    targets   <extra_id_0> that young man <extra_id_1> there </s>
    """
    length = windows.shape[1]
    lost = round(CORRUPTED * length)
    spans = max(round(lost / SPAN), 1)
    pad, end = _ids(tokenizer, config, ("<pad>", "</s>"))
    sentinels = _ids(tokenizer, config, (f"<extra_id_{n}>" for n in range(spans)))
    encoder, targets = [], []
    for row, window in enumerate(windows):
        generator = _generator(seed, row)
        sizes = [_segments(part, spans, generator) for part in (length - lost, lost)]
        ends = np.cumsum(np.stack(sizes, axis=1).ravel())
        pieces = np.split(window, ends[:-1])  # kept, lost, kept, lost, …
        marks = np.split(sentinels, spans)
        encoder.append(_alternating(pieces[0::2], marks, end))
        targets.append(_alternating(marks, pieces[1::2], end))
    shifted = np.pad(np.stack(targets)[:, :-1], ((0, 0), (1, 0)), constant_values=pad)
    positions = _counted(shifted.shape)
    inputs = Seq2SeqInputs(
        encoder_tokens=np.stack(encoder),
        attention_mask=np.ones((len(windows), length - lost + spans + 1), bool),
        tokens=shifted,
        positions=positions,
        branches=np.zeros_like(shifted),
        scored=positions,
    )
    return Examples(inputs, np.stack(targets), np.ones(shifted.shape, bool))


def _alternating(
    first: Iterable[Tokens], second: Iterable[Tokens], end: np.int32
) -> Tokens:
    pairs = zip(first, second, strict=True)
    return np.concatenate([*(part for pair in pairs for part in pair), [end]])


def _segments(
    items: int, number: int, generator: np.random.Generator
) -> Int[np.ndarray, " segment"]:
    """The sizes of so many segments, none empty; every way to cut is equally likely."""
    ends = _drawn(items - 1, number - 1, generator) + 1
    return np.diff(ends, prepend=0, append=items)


def _drawn(
    population: int, number: int, generator: np.random.Generator
) -> Int[np.ndarray, " number"]:
    """So many different numbers below `population`, ascending."""
    order = np.argsort(generator.random(population), kind="stable")
    return np.sort(order[:number])


def _generator(seed: int, what: int | str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    key = int.from_bytes(digest[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def _counted(shape: tuple[int, int]) -> Windows:
    """0, 1, 2 … in every row."""
    return np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))


def _ids(
    tokenizer: "PreTrainedTokenizerFast", config: Any, names: Iterable[str]
) -> Int32[np.ndarray, " name"]:
    """Raises InputError for a token that tokenizer or model do not have."""
    vocabulary = tokenizer.get_vocab()
    names = [called(name, vocabulary) for name in names]
    for name in names:
        if vocabulary.get(name, config.vocab) >= config.vocab:
            raise InputError(
                f"the tokenizer has no {name} for the model's {config.vocab} tokens; "
                "put the model's own tokenizer files there, or give shorter windows"
            )
    return np.array([vocabulary[name] for name in names], np.int32)
