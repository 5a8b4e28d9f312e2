"""The jobs, and which flags each of them takes: their defaults, help and groups.

This is read before anything that takes long to import, so that `--help` and a mistyped
flag are answered at once. What the library knows, it repeats; tests hold it equal.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from absl import flags as absl_flags

from experiments.values import Choice, Names, Number, Paths, Text, Whole, YesNo

BUNDLED = ("tiny-gpt2", "tiny-electra", "tiny-t5")
SHAPES = (
    *(f"gpt2-{size}" for size in ("tiny", "small", "medium", "large", "xl")),
    *(f"electra-{size}" for size in ("tiny", "small", "base", "large")),
    *(f"electra-{size}-discriminator" for size in ("tiny", "small", "base", "large")),
    *(f"t5-{size}" for size in ("tiny", "small", "base", "large", "3b")),
)
PEERS = ("torch", "batched", "harness")
SPARSITIES = ["0", "0.1", "0.5", "0.9", "0.99"]

# What `./run.sh` asks with no word more: as many as two cores answer in two minutes, at
# five sparsities under both protocols.
NEWCOMERS_QUESTIONS = 48

# Of several jobs.
CLASSES = "CN common nouns, NE named entities, V verbs, P prepositions"
LARGEST_LOSS = (
    "largest loss, in points, that you accept: names the largest sparsity at which a "
    "larger one is excluded"
)

# The groups of flags in the help.
SCORED = "What to score"
ASKED = "How to ask"
PRUNED = "How to prune"
SPEED = "Device and speed"
HOSTS = "Many hosts"
REPORT = "Results and report"
ORIGINAL = "The command line of the original experiments"
TRAINED = "What to train"
MADE = "What to make"
MEASURED = "What to measure"
EVERY_JOB = "In every job"


@dataclass(frozen=True)
class Flag:
    group: str
    kind: Text
    default: Any
    help: str  # with its default, where that is not a value
    also: str | None = None  # an old spelling


SHARED = {
    "model": Flag(
        SCORED, Paths(), [],
        "a comma list of directories in Hugging Face format, names such as "
        "gpt2-small, electra-base or t5-3b, or ids of the hub "
        f"(default: {','.join(BUNDLED)})",
    ),
    "data": Flag(
        SCORED, Text(), None,
        "bundled, cbt (the hub's data set), a directory of the Children's "
        "Book Test's files, or one .txt, .jsonl or .parquet file, the last two of any "
        "other cloze, too, where rows have a task (default: bundled with the bundled "
        "models, else cbt)",
    ),
    "split": Flag(
        SCORED, Choice("train", "validation", "test"), None,
        "which questions: train, validation or test (default: test; rows of a task "
        "that name none are read in any case)",
    ),
    "word_classes": Flag(
        SCORED, Names(), None,
        f"what is missing: {CLASSES} (default: CN,NE,V,P); of another cloze, its "
        "groups (default: all)",
    ),
    "num_examples": Flag(
        SCORED, Whole(0), None,
        "number of questions in all, even over the word classes; 0: all (default: 0, "
        f"and {NEWCOMERS_QUESTIONS} of the bundled ones without --model)",
    ),
    "sample": Flag(
        SCORED, Choice("first", "random"), "first",
        "with --num_examples: the first questions of each word class, or random ones, "
        "drawn by --seed",
    ),
    "skip_malformed": Flag(
        SCORED, YesNo(), False, "leave malformed questions out, and count them"
    ),
    "protocol": Flag(
        ASKED, Names(), None,
        "cloze: the option fills the blank; append: it follows the sentence; or both, "
        "with a comma (default: cloze; both without --model)",
    ),
    "context": Flag(
        ASKED, Choice("full", "query", "last"), "full",
        "how much of the story is read: full, last (one sentence) or query (none)",
    ),
    "detokenize": Flag(
        ASKED, Choice("none", "ptb"), "ptb",
        "ptb undoes the Penn Treebank's tokens, none leaves them",
    ),
    "method": Flag(
        PRUNED, Names(), ["magnitude"], "a comma list of magnitude, random"
    ),
    "sparsities": Flag(
        PRUNED, Names(), SPARSITIES, "fractions of the weights to prune, 0 to 1"
    ),
    "pattern": Flag(
        PRUNED, Choice("unstructured"), "unstructured", "pattern of the masks"
    ),
    "scope": Flag(
        PRUNED, Choice("matrix", "global"), None,
        "weights that compete with one another: matrix or global (default: the "
        "method's own)",
    ),
    "prunable": Flag(
        PRUNED, Choice("blocks", "linear", "all"), "blocks",
        "which weights can be pruned: blocks (of the layers), linear (heads and "
        "projections too), all (embeddings too)",
    ),
    "seed": Flag(
        PRUNED, Whole(0, 2**63 - 1), 0,
        "of methods that draw random numbers, and of --sample=random",
    ),
    "dtype": Flag(
        SPEED, Choice("float32", "bfloat16"), "float32",
        "of weights and activations: float32 or bfloat16",
    ),
    "mesh": Flag(
        SPEED, Text(), "",
        "devices for rows and for parts of a model, such as data:4,model:2 (default: "
        "data parallel, with as few model shards as fit)",
    ),
    "batch_tokens": Flag(
        SPEED, Whole(0, 2**31 - 1), 0, "tokens in a batch; 0: what suits the device"
    ),
    "levels_at_once": Flag(
        SPEED, Whole(0), 0,
        "sparsities evaluated in one call; 0: one on a CPU, else as many as fit",
    ),
    "export": Flag(
        REPORT, Text(), None, "directory for the model; must not exist yet"
    ),
    "out": Flag(REPORT, Text(), None, "directory of the results"),
    "margin": Flag(
        REPORT, Number(0, 100), None, LARGEST_LOSS
    ),
    "verbose": Flag(
        REPORT, YesNo(), False, "print every table, not the summary alone"
    ),
    "verbosity": Flag(
        EVERY_JOB, Whole(-3, 3), -1, "1: the traceback of an error as well"
    ),
}  # fmt: skip
SWEEP_ONLY = {
    "distributed": Flag(
        HOSTS, YesNo(), False,
        "one of many processes, as a TPU VM slice, Slurm, GKE or Open MPI started them",
    ),
    "coordinator": Flag(
        HOSTS, Text(), None, "host:port of process 0, where nothing else tells"
    ),
    "num_processes": Flag(HOSTS, Whole(1), None, "with --coordinator"),
    "process_id": Flag(HOSTS, Whole(0), None, "with --coordinator, from 0"),
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


def _shared(names: str, **changes: Mapping[str, Any]) -> dict[str, Flag]:
    """Shared flags by name, some of them with another default, help or group."""
    return {
        name: replace(SHARED[name], **changes.get(name, {})) for name in names.split()
    }


SWEEP = (
    "model data split word_classes num_examples sample skip_malformed "
    "protocol context detokenize "
    "method sparsities pattern scope prunable seed "
    "dtype mesh batch_tokens levels_at_once out margin verbose"
)
PRUNE = "model method sparsities pattern scope prunable seed dtype mesh export"
BOOKS = "plain-text books in UTF-8: files, or directories of .txt files"

JOBS: dict[str, dict[str, Flag]] = {
    "sweep": _shared(
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
        **_shared(
            "out margin verbose",
            out={"help": "directory of the report"},
            margin={
                "help": f"{LARGEST_LOSS} (default: that of the runs, if they have one)"
            },
        ),
        "explorer_questions": Flag(
            REPORT, Whole(0), 1000,
            "how many report.html holds for looking at, even over the classes; 0: all",
        ),
    },
    "prune": _shared(
        PRUNE,
        model={
            "group": PRUNED,
            "help": "one model: a directory in Hugging Face format, a name such as "
            "gpt2-small, or an id of the hub",
        },
        method={"help": "one of magnitude, random"},
        sparsities={"default": [], "help": "one fraction of the weights, 0 to 1"},
        seed={"help": "of methods that draw random numbers"},
    ),
    "pretrain": {
        "model": Flag(
            TRAINED, Choice(*BUNDLED), None, f"one of {', '.join(BUNDLED)}"
        ),
        "books": Flag(TRAINED, Paths(), [], f"to train on: {BOOKS}"),
        "validation_books": Flag(
            TRAINED, Paths(), [], "to measure the loss on, likewise"
        ),
        "steps": Flag(TRAINED, Whole(0), 0, "0: as many as the recipe has"),
        "learning_rate": Flag(TRAINED, Number(0), 0.0, "0: the recipe's"),
        "seed": Flag(
            TRAINED, Whole(0, 2**32 - 1), 0, "of the weights and of every draw"
        ),
        **_shared(
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
        **_shared("export"),
        "checkpoint_every": Flag(REPORT, Whole(1), 200, "steps"),
        "evaluate_every": Flag(REPORT, Whole(1), 400, "steps"),
    },
    "build_cbt": {
        "books": Flag(MADE, Paths(), [], BOOKS),
        **_shared(
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
            MADE, Whole(0), 0, "questions of each class from each book; 0: all"
        ),
        "seed": Flag(MADE, Whole(0), 0, "of every draw"),
        **_shared("out", out={"help": "directory to write; must not exist yet"}),
    },
    "random_checkpoint": {
        "shape": Flag(
            MADE, Choice(*SHAPES), None, f"the model to imitate: {', '.join(SHAPES)}"
        ),
        "tokenizer": Flag(
            MADE, Text(), None, "directory to copy its tokenizer files from"
        ),
        "seed": Flag(MADE, Whole(0), 0, "of the random weights"),
        "export": replace(SHARED["export"], also="to"),
    },
    "benchmark": {
        "model": Flag(
            MEASURED, Names(), ["gpt2-small", "electra-small", "t5-small"],
            f"shapes to fill with random weights: {', '.join(SHAPES)}", "models",
        ),
        "tokenizer": Flag(
            MEASURED, Text(), None,
            "directory with tokenizers in gpt2/, electra/, t5/ (default: those of the "
            "bundled models)", "tokenizers",
        ),
        "data": Flag(
            MEASURED, Text(), None, "questions as they are (default: bundled ones)"
        ),
        "num_examples": Flag(
            MEASURED, Whole(1), 24, "questions in all, even over the word classes",
            "questions",
        ),
        "peer_questions": Flag(
            MEASURED, Whole(1), 8, "of them, those that peers answer too"
        ),
        "tokens": Flag(MEASURED, Whole(1), 500, "of story and query"),
        "classes": Flag(
            MEASURED, YesNo(), True, "measure each word class by itself, too"
        ),
        "peers": Flag(
            MEASURED, Names(), list(PEERS),
            f"peers to measure, of {','.join(PEERS)}; empty: none",
        ),
        "peer_batch": Flag(MEASURED, Whole(1), 16, "rows of a sorted batch"),
        "repeats": Flag(MEASURED, Whole(1), 3, "of everything; medians"),
        "masks": Flag(MEASURED, YesNo(), False, "measure masks, not questions"),
        "parts": Flag(
            MEASURED, YesNo(), False, "measure what was written for CPUs, part by part"
        ),
        "sparsities": Flag(MEASURED, Names(), SPARSITIES, "of --masks"),
        "seed": Flag(MEASURED, Whole(0), 0, "of weights and questions"),
        **_shared("dtype batch_tokens levels_at_once"),
        "json": Flag(REPORT, Text(), "benchmark.json", "file to write everything to"),
    },
}  # fmt: skip
for _flags in JOBS.values():
    _flags |= _shared("verbosity")


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
