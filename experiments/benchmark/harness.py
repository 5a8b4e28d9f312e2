"""lm-evaluation-harness on the same questions, through a task that is written here.

before   the story, and the query up to the blank
choices  each option with the rest of the query: what GPT-2 is scored on
"""

import importlib
import importlib.util
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxsparse import cbt
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.scoring.passage import Passage
from jaxsparse.scoring.tokens import added_around
from jaxsparse.types import Presentation

INSTALL = 'not installed: .venv/bin/pip install "lm-eval[hf]"'
TASK = "jaxsparse_cbt"


def installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("lm_eval", "accelerate"))


@dataclass
class Harness:
    """A loaded model, and the seconds its requests took: tokenization and scoring,
    without what building tasks takes."""

    model: Any
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def load(cls, torch_model: Any, tokenizer: Any, batch_size: int) -> "Harness":
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        huggingface = importlib.import_module("lm_eval.models.huggingface")
        model = huggingface.HFLM(
            pretrained=torch_model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            device="cpu",
            add_bos_token=bool(len(added_around(tokenizer)[0])),
        )
        harness = cls(model)
        answer = model.loglikelihood

        def timed(requests: Any, disable_tqdm: bool = True) -> Any:
            start = time.perf_counter()
            answers = answer(requests, disable_tqdm=True)
            harness.seconds.append(time.perf_counter() - start)
            return answers

        model.loglikelihood = timed
        return harness

    def scores(self, task: dict[str, Any]) -> np.ndarray:
        """Nats; [question, option]. Evaluates the task from its definition."""
        evaluate = importlib.import_module("lm_eval").simple_evaluate
        evaluated = evaluate(self.model, tasks=[task], bootstrap_iters=0)
        samples = sorted(
            evaluated["samples"][TASK], key=lambda sample: sample["doc_id"]
        )
        return np.array(
            [[answer[0] for answer in sample["filtered_resps"]] for sample in samples]
        )


def write_task(plan: ScoringPlan, directory: Path) -> dict[str, Any]:
    """Writes the questions and the task's definition; returns the definition."""
    documents = [
        _document(question, encoded.dropped)
        for question, encoded in zip(plan.questions, plan.encoded, strict=True)
    ]
    path = directory / f"{TASK}.jsonl"
    path.write_text("".join(f"{json.dumps(item)}\n" for item in documents))
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(path)},
            "cache_dir": str(directory / "cache"),
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "before",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    (directory / f"{TASK}.json").write_text(json.dumps(task, indent=2))
    return task


def _document(question: cbt.Question, dropped: int) -> dict[str, Any]:
    passage = Passage.of(question, Presentation())
    before, after = passage.around_blank(dropped)
    return {
        "before": before,
        "choices": [f"{option}{after}" for option in passage.options],
        "label": question.options.index(question.answer),
    }
