"""Trains a small model from scratch on plain-text books; transformers can load it.

    ./run.sh pretrain --model=tiny-gpt2 --books=DIR --validation_books=DIR \\
        --work=DIR --export=DIR

A run that is stopped goes on where it was when its command is repeated, and ends with
the same weights.
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from experiments import command
from experiments.paths import new_directory, text_files
from jaxsparse import cbt, pretraining
from jaxsparse.model import load_tokenizer
from jaxsparse.pretraining import RECIPES
from jaxsparse.pretraining.exam import Exam
from jaxsparse.types import InputError

FLAGS = flags.FLAGS

flags.DEFINE_enum("model", None, RECIPES, "what to train", required=True)
flags.DEFINE_list("books", [], "books to train on: UTF-8 text files, or directories")
flags.DEFINE_list("validation_books", [], "books to measure the loss on, likewise")
flags.DEFINE_string("work", None, "directory of the run: tokenizer, checkpoints, log")
flags.DEFINE_string("export", None, "directory to write; must not exist yet")
flags.DEFINE_integer("steps", 0, "0: as many as the recipe has", lower_bound=0)
flags.DEFINE_float("learning_rate", 0.0, "0: the recipe's", lower_bound=0.0)
flags.DEFINE_integer("checkpoint_every", 200, "steps", lower_bound=1)
flags.DEFINE_integer("evaluate_every", 400, "steps", lower_bound=1)
flags.DEFINE_string(
    "data",
    "bundled",
    "questions to ask on the way, of the validation split; empty: none",
)
flags.DEFINE_integer(
    "num_examples", 100, "so many of them, even over the classes; 0: all", lower_bound=0
)
flags.DEFINE_integer(
    "seed", 0, "of the weights and of every draw", lower_bound=0, upper_bound=2**32 - 1
)


def main() -> None:
    directory = new_directory("export", FLAGS.export)
    work = run_directory()
    chosen = recipe()
    questions = read_questions()
    books = text_files("books", FLAGS.books)
    validation_books = text_files("validation_books", FLAGS.validation_books)
    run = pretraining.prepare(
        chosen,
        FLAGS.seed,
        work,
        pretraining.read_texts(books),
        pretraining.read_texts(validation_books),
    )
    exam = None
    if questions:
        tokenizer = load_tokenizer(run.tokenizer_directory)
        exam = Exam.of(questions, tokenizer, run.config, run.apply)
    params = pretraining.pretrain(run, FLAGS.checkpoint_every, Log(run, exam))
    pretraining.export(run, params, directory)
    print(f"{FLAGS.model}: written to {directory}")


def run_directory() -> Path:
    if not FLAGS.work:
        raise InputError("--work is missing; name the directory of the run")
    directory = Path(FLAGS.work).expanduser()
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--work={FLAGS.work}: is a file; name a directory")
    return directory


def read_questions() -> tuple[cbt.Question, ...]:
    if not FLAGS.data:
        return ()
    reading = cbt.read(FLAGS.data, "validation", None)
    cbt.check(reading.malformed, skip=False)
    return cbt.select(reading.questions, FLAGS.num_examples)


def recipe() -> pretraining.Recipe:
    chosen = RECIPES[FLAGS.model]
    schedule = chosen.schedule
    if FLAGS.steps:
        warmup = min(schedule.warmup, math.ceil(FLAGS.steps / 10))
        schedule = dataclasses.replace(schedule, steps=FLAGS.steps, warmup=warmup)
    if FLAGS.learning_rate:
        schedule = dataclasses.replace(schedule, learning_rate=FLAGS.learning_rate)
    return dataclasses.replace(chosen, schedule=schedule)


class Log:
    """Shows how far training is, and keeps what was measured on the way."""

    def __init__(self, run: pretraining.Run, exam: Exam | None):
        self._run = run
        self._exam = exam
        self._steps = run.recipe.schedule.steps
        self._file = run.directory / "log.jsonl"
        self._bar: tqdm | None = None
        self._losses: list[Any] = []
        self._since = time.perf_counter()

    def __call__(self, step: int, params: Any, loss: Any) -> None:
        if self._bar is None:
            resumed = math.isnan(loss)
            self._bar = self._begin(step if resumed else 0)
            if resumed:  # what there was to measure was, before the checkpoint
                return
        self._bar.update(step - self._bar.n)
        self._losses.append(loss)
        if step % FLAGS.evaluate_every == 0 or step == self._steps:
            self._measure(step, params)

    def _begin(self, done: int) -> tqdm:
        kept = [line for line in self._lines() if line["step"] <= done]
        text = "".join(f"{json.dumps(line)}\n" for line in kept)
        self._file.write_text(text, encoding="utf-8")
        return tqdm(total=self._steps, initial=done, desc=FLAGS.model, disable=None)

    def _lines(self) -> Sequence[dict]:
        if not self._file.is_file():
            return []
        text = self._file.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def _measure(self, step: int, params: Any) -> None:
        losses = [float(loss) for loss in self._losses]
        seconds = time.perf_counter() - self._since
        line = {
            "step": step,
            "loss": sum(losses) / len(losses),
            "validation_loss": self._run.validation_loss(params),
            "tokens_per_second": len(losses) * self._run.recipe.batch_tokens / seconds,
        }
        if self._exam is not None:
            line["cbt_accuracy"] = self._exam.accuracy(params)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        shown = ", ".join(f"{name} {value:.5g}" for name, value in line.items())
        tqdm.write(shown, file=sys.stderr)
        self._losses = []
        self._since = time.perf_counter()


if __name__ == "__main__":
    command.run(main, __doc__ or "")
