"""The flags that several jobs take, and what a flag is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.values import Choice, Integer, Names, Number, Paths, Text, YesNo

BUNDLED = ("tiny-gpt2", "tiny-electra", "tiny-t5")
SPARSITIES = ["0", "0.1", "0.5", "0.9", "0.99"]

# What `./run.sh` asks with no word more: as many as two cores answer in two minutes, at
# five sparsities under both protocols.
NEWCOMERS_QUESTIONS = 48

# Of several jobs.
METHODS = (
    "magnitude, random, gradient, fisher, wanda, ria, or FILE.py:NAME of your own, "
    "each alone or with an update, +bias, +pcg or +reconstruct; sparsegpt and admm, "
    "which have an update of their own, alone or with +reconstruct"
)
CLASSES = "CN common nouns, NE named entities, V verbs, P prepositions"
LARGEST_LOSS = (
    "largest loss, in points, that you accept: names the largest sparsity at which a "
    "larger one is excluded"
)

# The groups of flags in the help.
SCORED = "What to score"
ASKED = "How to ask"
PRUNED = "How to prune"
AFFORDED = "The largest sparsity one can afford"
LEARNED = "How to train back"
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
        f"what is missing: {CLASSES}; of another cloze, its groups (default: "
        "CN,NE,V,P, or all groups)",
    ),
    "num_examples": Flag(
        SCORED, Integer(0), None,
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
    "text": Flag(
        SCORED, Paths(), [],
        "a comma list of text files in UTF-8, or directories of .txt files, that every "
        "point predicts as well: in nats, and as perplexity; bundled: stories that no "
        "bundled model was trained on, as one text (default: none)",
    ),
    "text_tokens": Flag(
        SCORED, Integer(0), 0,
        "of a window of --text; 0: the model's limit, at most 1,024",
    ),
    "text_details": Flag(
        SCORED, YesNo(), False,
        "keep the nats of every token of --text, in text_tokens.parquet",
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
    "context_tokens": Flag(
        ASKED, Integer(0, 2**31 - 1), 0,
        "of a row at most: longer stories lose sentences from the left; 0: what the "
        "model takes, at most 4,096",
    ),
    "method": Flag(
        PRUNED, Names(), ["magnitude"], f"a comma list of {METHODS}",
    ),
    "sparsities": Flag(
        PRUNED, Names(), SPARSITIES, "fractions of the weights to prune, 0 to 1"
    ),
    "pattern": Flag(
        PRUNED, Names(), ["unstructured"],
        "a comma list of unstructured; N:M such as 2:4, at most N of M consecutive "
        "inputs kept: one point at a sparsity of its own; and what makes arrays "
        "smaller: neurons (feed-forward units), layers, and T5's heads, of which "
        "--sparsities are the fractions removed",
    ),
    "scope": Flag(
        PRUNED, Text(), None,  # what a method defines, the library knows
        "weights that compete with one another: matrix, output (the inputs of one "
        "output), global, or of sparsegpt alone block, 128 inputs (default: the "
        "method's own)",
    ),
    "allocation": Flag(
        PRUNED, Choice("uniform", "erk", "owl"), "uniform",
        "which sparsity each matrix has: uniform the same, erk less of small ones, owl "
        "less of blocks with many outliers",
    ),
    "statistics": Flag(
        PRUNED, Choice("sequential", "dense"), None,
        "where methods take statistics of inputs: sequential, behind blocks that are "
        "pruned; dense, in the dense model (default: the method's own)",
    ),
    "calibration": Flag(
        PRUNED, Text(), None,
        "what methods with statistics are calibrated on, and errors of reconstruction "
        "of any method are measured on: bundled (stories), a text file in UTF-8, or "
        "train, the stories of --data's train split (default: bundled, where a method "
        "is calibrated)",
    ),
    "calibration_rows": Flag(
        PRUNED, Integer(1), 128, "how many windows of that text"
    ),
    "calibration_tokens": Flag(
        PRUNED, Integer(0), 0, "of each window; 0: the model's limit, at most 512"
    ),
    "allow_overlap": Flag(
        PRUNED, YesNo(), False,
        "calibrate even on text in which sentences of the questions stand",
    ),
    "prunable": Flag(
        PRUNED, Choice("blocks", "linear", "all"), "blocks",
        "which weights can be pruned: blocks (of the layers), linear (heads and "
        "projections too), all (embeddings too)",
    ),
    "seed": Flag(
        PRUNED, Integer(0, 2**63 - 1), 0,
        "of methods that draw random numbers or are calibrated, and of "
        "--sample=random",
    ),
    "seeds": Flag(
        PRUNED, Names(), [],
        "several of these, with a comma: --text is predicted with each, and results "
        "have the mean and the range; questions are answered with the first (default: "
        "--seed alone)",
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
    "execution": Flag(
        SPEED, Choice("dense", "sparse", "auto"), "dense",
        "dense; sparse: linear layers of pruned models multiply only what is kept; "
        "auto: those that gain by it (CPU, float32)",
    ),
    "batch_tokens": Flag(
        SPEED, Integer(0, 2**31 - 1), 0, "tokens in a batch; 0: what suits the device"
    ),
    "levels_at_once": Flag(
        SPEED, Integer(0), 0,
        "sparsities evaluated in one call; 0: one on a CPU, else as many as fit",
    ),
    "export": Flag(
        REPORT, Text(), None, "directory for the model; must not exist yet"
    ),
    "format": Flag(
        REPORT, Choice("dense", "bitmask"), "dense",
        "of its weights: dense, which transformers loads, or bitmask, a bit for each "
        "weight and the values that are not zero, which jaxsparse loads",
    ),
    "out": Flag(REPORT, Text(), None, "directory of the results"),
    "margin": Flag(
        REPORT, Number(0, 100), None, LARGEST_LOSS
    ),
    "verbose": Flag(
        REPORT, YesNo(), False, "print every table, not the summary alone"
    ),
    "verbosity": Flag(
        EVERY_JOB, Integer(-3, 3), -1, "1: the traceback of an error as well"
    ),
}  # fmt: skip


def shared(names: str, **changes: Mapping[str, Any]) -> dict[str, Flag]:
    """Shared flags by name, some of them with another default, help or group."""
    return {
        name: replace(SHARED[name], **changes.get(name, {})) for name in names.split()
    }
