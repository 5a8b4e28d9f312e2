"""The jobs, and which flags each of them takes: their defaults, help and groups.

This is read before anything that takes long to import, so that `--help` and a mistyped
flag are answered at once. What the library knows, it repeats; tests hold it equal.
"""

import functools
from dataclasses import replace

from absl import flags as absl_flags

from experiments.finetune_flags import FINETUNE
from experiments.shared_flags import (
    AFFORDED,
    BUNDLED,
    CLASSES,
    HOSTS,
    LARGEST_LOSS,
    MADE,
    MEASURED,
    METHODS,
    ORIGINAL,
    PRUNED,
    REPORT,
    SHARED,
    SPARSITIES,
    TRAINED,
    Flag,
    shared,
)
from experiments.values import Choice, Integer, Names, Number, Paths, Text, YesNo

SHAPES = (
    *(f"gpt2-{size}" for size in ("tiny", "small", "medium", "large", "xl")),
    *(f"electra-{size}" for size in ("tiny", "small", "base", "large")),
    *(f"electra-{size}-discriminator" for size in ("tiny", "small", "base", "large")),
    *(f"t5-{size}" for size in ("tiny", "small", "base", "large", "3b")),
    *(f"pythia-{size}" for size in ("tiny", "70m", "160m", "410m", "1b", "1.4b")),
    *(f"opt-{size}" for size in ("tiny", "125m", "350m", "1.3b")),
    *("llama-tiny", "llama-3.2-1b", "smollm2-135m", "qwen3-0.6b"),
    *(f"bert-{size}" for size in ("tiny", "base", "large")),
    *(f"roberta-{size}" for size in ("tiny", "base", "large")),
)
PEERS = ("torch", "batched", "harness")
OF_SPARSE = ["0.5", "0.6", "0.8", "0.9", "0.95", "0.99"]

SWEEP_ONLY = {
    "distributed": Flag(
        HOSTS, YesNo(), False,
        "one of many processes, as a TPU VM slice, Slurm, GKE or Open MPI started them",
    ),
    "coordinator": Flag(
        HOSTS, Text(), None, "host:port of process 0, where nothing else tells"
    ),
    "num_processes": Flag(HOSTS, Integer(1), None, "with --coordinator"),
    "process_id": Flag(HOSTS, Integer(0), None, "with --coordinator, from 0"),
    "model_type": Flag(
        ORIGINAL, Choice("d-o", "e-o", "e-d"), None,
        "d-o GPT-2, e-o ELECTRA (generator and discriminator), e-d T5; runs both "
        "protocols",
    ),
    "large": Flag(
        ORIGINAL, YesNo(), None, "with --model_type: the large models, or the small"
    ),
    "first_and_sec": Flag(
        ORIGINAL, YesNo(), None, "with --model_type: false means --context=query"
    ),
}  # fmt: skip


SWEEP = (
    "model data split word_classes num_examples sample skip_malformed "
    "text text_tokens text_details "
    "protocol context detokenize context_tokens "
    "method sparsities pattern scope allocation statistics "
    "calibration calibration_rows calibration_tokens allow_overlap prunable seed seeds "
    "dtype mesh execution batch_tokens levels_at_once out margin verbose"
)
PRUNE = (
    "model method sparsities pattern scope allocation statistics "
    "calibration calibration_rows calibration_tokens allow_overlap prunable seed "
    "dtype mesh export format margin "
    "data word_classes num_examples sample skip_malformed "
    "protocol context detokenize context_tokens batch_tokens"
)
BOOKS = "plain-text books in UTF-8: files, or directories of .txt files"

JOBS: dict[str, dict[str, Flag]] = {
    "sweep": shared(
        SWEEP,
        out={
            "help": "directory of the results (default: one in results/, named after "
            "what changes scores, so that the same command comes back to it)"
        },
    )
    | SWEEP_ONLY,
    "report": {
        "runs": Flag(
            REPORT, Paths(), [], "directories of runs that asked the same questions"
        ),
        **shared(
            "out margin verbose",
            out={"help": "directory of the report"},
            margin={
                "help": f"{LARGEST_LOSS} (default: that of the runs, if they have one)"
            },
        ),
        "explorer_questions": Flag(
            REPORT, Integer(0), 1000,
            "how many report.html holds for looking at, even over the classes; 0: all",
        ),
    },
    "prune": shared(
        PRUNE,
        model={
            "group": PRUNED,
            "help": "one model: a directory in Hugging Face format, a name such as "
            "gpt2-small, or an id of the hub",
        },
        method={"help": f"one of {METHODS}"},
        sparsities={
            "default": [],
            "help": "one fraction of the weights, neurons, layers or heads, 0 to 1; "
            "with --margin several, to go up through",
        },
        pattern={
            "help": "unstructured; N:M such as 2:4, at most N of M consecutive inputs "
            "kept, at a sparsity of its own; or neurons, layers, or T5's heads, which "
            "are removed, so that the model is smaller"
        },
        calibration={
            "help": "what methods with statistics are calibrated on, and the error of "
            "reconstruction of any method is measured on: bundled (stories), a text "
            "file in UTF-8, or with --margin train, the stories of --data's train "
            "split (default: bundled, where the method is calibrated)"
        },
        allow_overlap={
            "help": "calibrate even on text in which sentences of the bundled test "
            "questions stand"
        },
        seed={
            "help": "of methods that draw random numbers or are calibrated, and of "
            "--sample=random"
        },
        margin={
            "group": AFFORDED,
            "help": "largest loss, in points, that you accept: the model is pruned to "
            "the largest of --sparsities at which, and at every smaller one, a larger "
            "loss is excluded on validation questions; test questions then check that "
            "one. The other flags here go with it",
        },
        data={
            "group": AFFORDED,
            "help": "bundled, cbt (the hub's data set), a directory of the Children's "
            "Book Test's files, or a .jsonl or .parquet file whose rows have a split; "
            "its validation and test questions are asked (default: bundled with a "
            "bundled model, else cbt)",
        },
        word_classes={"group": AFFORDED},
        num_examples={
            "group": AFFORDED,
            "help": "number of questions of each split, even over the word classes; 0: "
            "all (default: 0)",
        },
        sample={"group": AFFORDED},
        skip_malformed={"group": AFFORDED},
        protocol={
            "group": AFFORDED,
            "help": "cloze: the option fills the blank; or append: it follows the "
            "sentence (default: cloze)",
        },
        context={"group": AFFORDED},
        detokenize={"group": AFFORDED},
        context_tokens={"group": AFFORDED},
        batch_tokens={"group": AFFORDED},
    )
    | {
        "results": Flag(
            REPORT, Text(), None,
            "directory of a sweep that scored this very model: its scores go into the "
            "model card (default: none)",
        )
    },
    "finetune": dict(FINETUNE),
    "pretrain": {
        "model": Flag(
            TRAINED, Choice(*BUNDLED), None, f"one of {', '.join(BUNDLED)}"
        ),
        "books": Flag(TRAINED, Paths(), [], f"to train on: {BOOKS}"),
        "validation_books": Flag(
            TRAINED, Paths(), [], "to measure the loss on, likewise"
        ),
        "steps": Flag(TRAINED, Integer(0), 0, "0: as many as the recipe has"),
        "learning_rate": Flag(TRAINED, Number(0), 0.0, "0: the recipe's"),
        "seed": Flag(
            TRAINED, Integer(0, 2**32 - 1), 0, "of the weights and of every draw"
        ),
        **shared(
            "data split word_classes num_examples skip_malformed",
            data={
                "default": "bundled",
                "help": "questions to ask on the way, as the sweep takes them; empty: "
                "none",
            },
            split={
                "default": "validation",
                "help": "which of the questions: train, validation or test",
            },
            num_examples={
                "default": 100,
                "help": "so many of the questions, even over the classes; 0: all",
            },
        ),
        "work": Flag(
            REPORT, Text(), None, "directory of the run: tokenizer, checkpoints, log"
        ),
        **shared("export"),
        "checkpoint_every": Flag(REPORT, Integer(1), 200, "steps"),
        "evaluate_every": Flag(REPORT, Integer(1), 400, "steps"),
    },
    "build_cbt": {
        "books": Flag(MADE, Paths(), [], BOOKS),
        **shared(
            "split word_classes",
            split={
                "group": MADE,
                "default": "test",
                "help": "what the questions are for: train, validation or test",
            },
            word_classes={
                "group": MADE,
                "default": ["CN", "NE", "V", "P"],
                "help": f"what to leave blank: {CLASSES}",
            },
        ),
        "per_book": Flag(
            MADE, Integer(0), 0, "questions of each class from each book; 0: all"
        ),
        "seed": Flag(MADE, Integer(0), 0, "of every draw"),
        **shared("out", out={"help": "directory to write; must not exist yet"}),
    },
    "random_checkpoint": {
        "shape": Flag(
            MADE, Choice(*SHAPES), None, f"the model to imitate: {', '.join(SHAPES)}"
        ),
        "tokenizer": Flag(
            MADE, Text(), None, "directory to copy its tokenizer files from"
        ),
        "seed": Flag(MADE, Integer(0), 0, "of the random weights"),
        "export": replace(SHARED["export"], also="to"),
    },
    "benchmark": {
        "model": Flag(
            MEASURED, Names(), ["gpt2-small", "electra-small", "t5-small"],
            f"shapes to fill with random weights: {', '.join(SHAPES)}", "models",
        ),
        "tokenizer": Flag(
            MEASURED, Text(), None,
            "directory with tokenizers in gpt2/, electra/, t5/ or in one named after "
            "the family, llama/ say (default: those of the bundled models)",
            "tokenizers",
        ),
        "data": Flag(
            MEASURED, Text(), None, "questions as they are (default: bundled ones)"
        ),
        "num_examples": Flag(
            MEASURED, Integer(1), None,
            "questions in all, even over the word classes (default: 24; with --host "
            "10,000, or as many as there are)", "questions",
        ),
        "peer_questions": Flag(
            MEASURED, Integer(1), 8, "of them, those that peers answer too"
        ),
        "tokens": Flag(MEASURED, Integer(1), 500, "of story and query"),
        "classes": Flag(
            MEASURED, YesNo(), True, "measure each word class by itself, too"
        ),
        "peers": Flag(
            MEASURED, Names(), list(PEERS),
            f"peers to measure, of {','.join(PEERS)}; empty: none",
        ),
        "peer_batch": Flag(MEASURED, Integer(1), 16, "rows of a sorted batch"),
        "repeats": Flag(MEASURED, Integer(1), 3, "of everything; medians"),
        "masks": Flag(MEASURED, YesNo(), False, "measure masks, not questions"),
        "methods": Flag(
            MEASURED, YesNo(), False,
            "measure every criterion and update, and what they lose, beside torch",
        ),
        "parts": Flag(
            MEASURED, YesNo(), False, "measure what was written for CPUs, part by part"
        ),
        "host": Flag(
            MEASURED, YesNo(), False,
            "measure what the host does for each question, step by step, on one core "
            "and on all",
        ),
        "sparse": Flag(
            MEASURED, YesNo(), False,
            "measure what pruning buys: time, memory and files of pruned models",
        ),
        "training": Flag(
            MEASURED, YesNo(), False,
            "measure a training step beside torch's, and five tiny models trained in "
            "one job beside five runs (default of --model: gpt2-small)",
        ),
        "sparsities": Flag(
            MEASURED, Names(), [],
            f"of --masks or --sparse (default: {','.join(SPARSITIES)} of the former, "
            f"{','.join(OF_SPARSE)} of the latter)",
        ),
        "seed": Flag(MEASURED, Integer(0), 0, "of weights and questions"),
        **shared("dtype batch_tokens levels_at_once"),
        "json": Flag(REPORT, Text(), "benchmark.json", "file to write everything to"),
    },
}  # fmt: skip
for _flags in JOBS.values():
    _flags |= shared("verbosity")


@functools.cache
def flags_of(job: str) -> absl_flags.FlagValues:
    """The flags of one job, to parse and to read. Each job has its own, so that it
    refuses the others', and a name may have another default in each."""
    values = absl_flags.FlagValues()
    for name, flag in JOBS[job].items():
        shape = {"serializer": None, "help_string": flag.help}
        shape |= {"parser": flag.kind, "boolean": flag.kind.boolean}
        values[name] = absl_flags.Flag(name=name, default=flag.default, **shape)
        if flag.also:
            values[flag.also] = absl_flags.Flag(name=flag.also, default=None, **shape)
    return values
