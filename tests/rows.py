"""Plain rows for models of every family: whole texts, every position scored."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsparse.models.inputs import CausalInputs, MaskedInputs, Seq2SeqInputs
from tests.oracle import torch


@dataclass(frozen=True)
class Rows:
    """Token ids [row, position], for T5's decoder too, and how many are not padding."""

    tokens: np.ndarray
    targets: np.ndarray
    lengths: tuple[int, ...]

    @property
    def attention_mask(self) -> np.ndarray:
        return np.arange(self.tokens.shape[1]) < np.array(self.lengths)[:, None]


def random_rows(vocab: int, length: int, rows: int = 2, seed: int = 0) -> Rows:
    """Rows without padding, decoder rows shorter by three. Never token 0: torch gives a
    padding token no gradient."""
    tokens = np.random.default_rng(seed).integers(1, vocab, (2, rows, length))
    tokens = tokens.astype(np.int32)
    return Rows(tokens[0], tokens[1, :, : max(length - 3, 1)], (length,) * rows)


MASKED = ("electra", "bert", "roberta")


def inputs(family: str, rows: Rows) -> CausalInputs | MaskedInputs | Seq2SeqInputs:
    """What `apply` takes. Padding is in the text, not in T5's decoder rows."""
    tokens, mask = jnp.asarray(rows.tokens), jnp.asarray(rows.attention_mask)
    if family not in (*MASKED, "t5"):
        return CausalInputs(
            tokens, _order(tokens), jnp.where(mask, 0, -1), _order(tokens)
        )
    if family in MASKED:
        return MaskedInputs(tokens, mask, _order(tokens))
    targets = jnp.asarray(rows.targets)
    order = _order(targets)
    return Seq2SeqInputs(tokens, mask, targets, order, jnp.zeros_like(order), order)


def _order(tokens):
    return jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)


def torch_output(model, rows: Rows) -> Any:
    """Logits of the torch model at every position."""
    arguments = {"input_ids": torch.tensor(rows.tokens, dtype=torch.long)}
    if model.config.is_encoder_decoder:
        targets = torch.tensor(rows.targets, dtype=torch.long)
        arguments["decoder_input_ids"] = targets
    mask = torch.tensor(rows.attention_mask)
    return model(**arguments, attention_mask=mask).logits
