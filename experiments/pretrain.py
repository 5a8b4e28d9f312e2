"""Trains a small model from scratch on plain-text books; transformers can load it.

    ./run.sh pretrain --model=tiny-gpt2 --books=DIR --validation_books=DIR \\
        --work=DIR --export=DIR

A run that is stopped goes on where it was when its command is repeated, and ends with
the same weights.
"""

import dataclasses
import math
import os
import sys
from contextlib import closing
from pathlib import Path

from absl import flags

from experiments import command
from experiments.paths import check_writable, new_directory, text_files
from experiments.progress import Shown
from jaxsparse import cbt, pretraining
from jaxsparse.model import load_tokenizer
from jaxsparse.pretraining import RECIPES
from jaxsparse.pretraining.exam import Exam
from jaxsparse.pretraining.log import Log
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
    "questions to ask on the way; empty: none",
)
flags.DEFINE_enum("split", "validation", cbt.SPLITS, "of the questions")
flags.DEFINE_list("word_classes", None, "of CN,NE,V,P (default: all)")
flags.DEFINE_bool("skip_malformed", False, "leave malformed questions out")
flags.DEFINE_integer(
    "num_examples", 100, "so many of them, even over the classes; 0: all", lower_bound=0
)
flags.DEFINE_integer(
    "seed", 0, "of the weights and of every draw", lower_bound=0, upper_bound=2**32 - 1
)


def main() -> None:
    directory = new_directory("export", FLAGS.export)
    work = run_directory(directory)
    chosen = recipe()
    questions = read_questions()
    books = text_files("books", FLAGS.books)
    validation_books = text_files("validation_books", FLAGS.validation_books)
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
            exam = Exam.of(questions, tokenizer, run.config, run.apply)
        log = Log(run, exam, FLAGS.evaluate_every, shown)
        params = pretraining.pretrain(run, FLAGS.checkpoint_every, log, shown)
        pretraining.export(run, params, directory, progress=shown)
    print(f"{FLAGS.model}: written to {directory}")


def run_directory(exported: Path) -> Path:
    if not FLAGS.work:
        raise InputError("--work is missing; name the directory of the run")
    directory = Path(os.path.abspath(os.path.expanduser(FLAGS.work)))
    check_writable("work", directory)
    one, other = directory.resolve(), exported.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise InputError(
            f"--work={FLAGS.work} and --export={FLAGS.export}: one lies in the other; "
            "name another directory"
        )
    return directory


def read_questions() -> tuple[cbt.Question, ...]:
    if not FLAGS.data:
        return ()
    reading = cbt.read(FLAGS.data, FLAGS.split, FLAGS.word_classes)
    cbt.check(reading.malformed, FLAGS.skip_malformed)
    if reading.malformed:
        print(f"{len(reading.malformed)} malformed items left out", file=sys.stderr)
    return cbt.select(reading.questions, FLAGS.num_examples)


def recipe() -> pretraining.Recipe:
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


if __name__ == "__main__":
    command.run(main, __doc__ or "")
