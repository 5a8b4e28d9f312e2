"""A training step in torch, as its own users write it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.benchmark.peers import threads
from jaxsparse.training.optimizer import Schedule


def step(
    directory: Path, tokens: np.ndarray, schedule: Schedule
) -> Callable[[], float]:
    """Trains a step; the mean loss before it, in nats."""
    import torch
    import transformers

    torch.set_num_threads(threads())
    model = transformers.GPT2LMHeadModel.from_pretrained(
        directory, dtype=torch.float32, local_files_only=True
    )
    model.eval()  # no dropout
    model.config.loss_type = "ForCausalLM"
    matrices = [leaf for leaf in model.parameters() if leaf.ndim > 1]
    others = [leaf for leaf in model.parameters() if leaf.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
        betas=(0.9, schedule.beta_2),
    )
    rows = torch.from_numpy(tokens.astype(np.int64))

    def train() -> float:
        optimizer.zero_grad()
        loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.step()
        return float(loss.detach())

    return train
