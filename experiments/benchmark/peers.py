"""torch transformers on the same rows: one question at a time, and in sorted batches.

Both read logits at every position, as transformers gives them, and take log_softmax
where a score needs it only, which is less than they would usually do.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmark.rows import NaiveRow
from jaxsparse.types import InputError

NEEDED = "benchmark needs torch; ./run.sh test installs it, or pip install torch"


def threads() -> int:
    """The cores that JAX uses too."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise InputError(NEEDED) from None


@dataclass(frozen=True)
class Torch:
    """A torch model in float32, on the CPU."""

    model: Any
    discriminates: bool
    causal: bool

    @classmethod
    def load(cls, directory: Path, config: Any) -> "Torch":
        import torch
        import transformers

        torch.set_num_threads(threads())
        loader = {
            "causal": transformers.AutoModelForCausalLM,
            "masked": transformers.AutoModelForMaskedLM,
            "replaced": transformers.AutoModelForPreTraining,
            "seq2seq": transformers.AutoModelForSeq2SeqLM,
        }[config.reading]
        model = loader.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True
        )
        discriminates, causal = config.reading == "replaced", config.reading == "causal"
        return cls(model.eval(), discriminates, causal)

    def one_question_at_a_time(self, rows: Sequence[NaiveRow]) -> np.ndarray:
        """All rows of a question, padded to the longest; [question, option]."""
        batches = [list(group) for _, group in groupby(rows, lambda row: row.question)]
        return self._scores(rows, batches)

    def batched(self, rows: Sequence[NaiveRow], size: int) -> np.ndarray:
        """The rows of all questions, longest first, as lm-evaluation-harness does."""
        ordered = sorted(rows, key=lambda row: -row.length)
        batches = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        return self._scores(rows, batches)

    def _scores(
        self, rows: Sequence[NaiveRow], batches: Sequence[Sequence[NaiveRow]]
    ) -> np.ndarray:
        import torch

        numbers = {row.question: None for row in rows}
        place = {number: index for index, number in enumerate(numbers)}
        scores = np.zeros((len(place), 1 + max(row.option for row in rows)))
        with torch.inference_mode():
            for batch in batches:
                logits = self._logits(batch)
                for row, own in zip(batch, logits, strict=True):
                    scores[place[row.question], row.option] += self._read(row, own)
        return scores

    def _logits(self, batch: Sequence[NaiveRow]) -> Any:
        if batch[0].encoder_tokens is None:
            tokens, mask = _padded([row.tokens for row in batch])
            if self.causal:  # what is padded comes later and is never seen
                return self.model(input_ids=tokens).logits
            return self.model(input_ids=tokens, attention_mask=mask).logits
        tokens, mask = _padded([row.encoder_tokens for row in batch])
        targets, _ = _padded([row.tokens for row in batch])
        return self.model(
            input_ids=tokens, attention_mask=mask, decoder_input_ids=targets
        ).logits

    def _read(self, row: NaiveRow, logits: Any) -> float:
        """Nats of one row; log(1 - p(replaced)) for the discriminator."""
        import torch

        own = logits[torch.from_numpy(row.scored.astype(np.int64))]
        if self.discriminates:
            return float(torch.nn.functional.logsigmoid(-own).sum())
        targets = torch.from_numpy(row.targets.astype(np.int64))
        return float(own.log_softmax(-1).gather(1, targets[:, None]).sum())


def _padded(rows: Sequence[Any]) -> tuple[Any, Any]:
    """Token ids and attention mask, padded on the right; int64[row, position]."""
    import torch

    longest = max(map(len, rows))
    tokens = torch.zeros((len(rows), longest), dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = torch.from_numpy(row.astype(np.int64))
        mask[number, : len(row)] = 1
    return tokens, mask
