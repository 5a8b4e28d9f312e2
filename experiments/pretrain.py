"""Trains a small model from scratch on plain-text books; transformers can load it.

    ./run.sh pretrain --model=tiny-gpt2 --books=DIR --validation_books=DIR \\
        --work=DIR --export=DIR

A run that is stopped goes on where it was when its command is repeated, and ends with
the same weights.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import dataclasses
import math
import os
import sys
from contextlib import closing
from pathlib import Path

from experiments import devices
from experiments.jobs import flags_of
from experiments.paths import check_apart, check_writable, new_directory, text_files
from experiments.progress import Shown
from jaxsparse import cbt, pretraining
from jaxsparse.exam import Exam
from jaxsparse.pretraining import RECIPES
from jaxsparse.pretraining.log import Log
from jaxsparse.types import InputError
from jaxsparse.weights.tokenizer import load_tokenizer

FLAGS = flags_of("pretrain")


def main() -> None:
    if FLAGS.model is None:
        raise InputError(f"--model is missing; choose from {', '.join(RECIPES)}")
    directory = new_directory("export", FLAGS.export)
    work = _run_directory(directory)
    chosen = _recipe()
    questions = _read_questions()
    books = text_files("books", FLAGS.books)
    validation_books = text_files("validation_books", FLAGS.validation_books)
    devices.find()
    with closing(Shown()) as shown:
        shown.model(FLAGS.model)
        run = pretraining.prepare(
            chosen,
            FLAGS.seed,
            work,
            pretraining.read_texts(books, shown),
            pretraining.read_texts(validation_books, shown),
            shown,
        )
        exam = None
        if questions:
            tokenizer = load_tokenizer(run.tokenizer_directory)
            exam = Exam.of(questions, tokenizer, run.family, run.config, run.apply)
        log = Log(run, exam, FLAGS.evaluate_every, shown)
        params = pretraining.pretrain(run, FLAGS.checkpoint_every, log, shown)
        pretraining.export(run, params, directory, progress=shown)
    print(f"{FLAGS.model}: written to {directory}")


def _run_directory(exported: Path) -> Path:
    if not FLAGS.work:
        raise InputError("--work is missing; name the directory of the run")
    directory = Path(os.path.abspath(os.path.expanduser(FLAGS.work)))
    check_writable("work", directory)
    check_apart(work=directory, export=exported)
    return directory


def _read_questions() -> tuple[cbt.Question, ...]:
    if not FLAGS.data:
        return ()
    reading = cbt.read(FLAGS.data, FLAGS.split, FLAGS.word_classes)
    cbt.check(reading.malformed, FLAGS.skip_malformed)
    if reading.malformed:
        print(f"{len(reading.malformed)} malformed items left out", file=sys.stderr)
    if reading.unread:
        print(f"keys not read: {', '.join(reading.unread)}", file=sys.stderr)
    return cbt.select(reading.questions, FLAGS.num_examples)


def _recipe() -> pretraining.TrainingRecipe:
    chosen = RECIPES[FLAGS.model]
    schedule = chosen.schedule
    if FLAGS.steps:
        warmup = min(schedule.warmup, math.ceil(FLAGS.steps / 10), FLAGS.steps - 1)
        schedule = dataclasses.replace(schedule, steps=FLAGS.steps, warmup=warmup)
    if not math.isfinite(FLAGS.learning_rate):
        raise InputError(f"--learning_rate={FLAGS.learning_rate}: pass a number")
    if FLAGS.learning_rate:
        schedule = dataclasses.replace(schedule, learning_rate=FLAGS.learning_rate)
    return dataclasses.replace(chosen, schedule=schedule)
