"""The flags of `finetune`, as jobs.py has those of all jobs."""

from experiments.shared_flags import (
    LEARNED,
    REPORT,
    SCORED,
    SPEED,
    Flag,
    shared,
)
from experiments.values import Choice, Integer, Names, Number, Text, YesNo

SHARED_WITH_SWEEP = (
    "model data split word_classes num_examples sample skip_malformed "
    "text text_tokens text_details "
    "protocol context detokenize context_tokens "
    "method sparsities pattern scope allocation statistics "
    "calibration calibration_rows calibration_tokens allow_overlap prunable seed seeds "
    "dtype mesh batch_tokens out margin verbose"
)
OWN_CHOICE = (  # `finetuning.RATES`, which takes seconds to import
    "0: what suits the family and the objective: 0.0002 for GPT-2, 0.0001 for ELECTRA, "
    "0.015 for T5; of lm 0.0006, 0.0005, 0.02"
)

FINETUNE: dict[str, Flag] = {
    **shared(
        SHARED_WITH_SWEEP,
        data={
            "help": "bundled, cbt (the hub's data set), a directory of the Children's "
            "Book Test's files, or a .jsonl or .parquet file whose rows have a split "
            "(default: bundled with the bundled models, else cbt)"
        },
        split={
            "default": "train",
            "help": "which questions are trained on; the test questions are asked",
        },
        num_examples={
            "default": 0,
            "help": "number of test questions that are asked, even over the word "
            "classes; 0: all",
        },
        sample={
            "help": "where a number of questions is given: the first of each word "
            "class, or random ones, drawn by --seed"
        },
        protocol={
            "default": "cloze",
            "kind": Choice("cloze", "append"),
            "help": "cloze: the option fills the blank; or append: it follows the "
            "sentence; trained and asked so",
        },
        sparsities={
            "default": ["0", "0.5", "0.8", "0.9", "0.95", "0.99"],
            "help": "fractions of the weights to prune, 0 to 1; with 0 the dense model "
            "is trained, too",
        },
        allow_overlap={
            "help": "train, stop or calibrate even on stories of the questions"
        },
        seed={
            "help": "of the order of what is learned, of methods that draw random "
            "numbers or are calibrated, and of --sample=random"
        },
        seeds={
            "help": "several of these, with a comma: a training by each, of methods "
            "that draw or are calibrated from what the same seed pruned; --sample "
            "takes the first (default: --seed alone)"
        },
        batch_tokens={
            "help": "tokens that are scored, or whose gradient is taken, at once; 0: "
            "what suits the device"
        },
        out={
            "help": "directory of the results (default: one in results/, named after "
            "what changes scores, so that the same command comes back to it)"
        },
    ),
    "validation_split": Flag(
        SCORED, Choice("train", "validation", "test"), "validation",
        "which questions say when to stop, and which state is best",
    ),
    "train_examples": Flag(
        SCORED, Integer(0), 0, "so many of the questions to train on; 0: all"
    ),
    "validation_examples": Flag(
        SCORED, Integer(0), 0, "so many of the validation questions; 0: all"
    ),
    "objective": Flag(
        LEARNED, Choice("choice", "lm", "both"), "choice",
        "choice: the right option among the others, by the scores that are evaluated; "
        "lm: the stories as text, as the family learns it; both: their sum",
    ),
    "train": Flag(
        LEARNED, Choice("all", "norms,biases", "masklora"), "all",
        "all: every parameter; norms,biases: these alone; masklora: a low-rank change "
        "of each pruned matrix, merged with its zeros kept",
    ),
    "rank": Flag(LEARNED, Integer(1), 16, "of masklora's changes"),
    "distill": Flag(
        LEARNED, Choice("none", "options", "hidden"), "none",
        "what the dense model teaches beside: options, its distribution over the "
        "options; hidden, its hidden states behind every layer",
    ),
    "schedule": Flag(
        LEARNED, Choice("oneshot", "gradual", "dense"), "oneshot",
        "oneshot: train what is pruned; gradual: prune step by step while the dense "
        "model is trained; dense: train it whole, then prune, the control",
    ),
    "mask_every": Flag(
        LEARNED, Integer(0), 0,
        "steps between two decisions of gradual masks; 0: a twentieth of the steps",
    ),
    "steps": Flag(
        LEARNED, Names(), ["120"], "one number, or one for each of --sparsities"
    ),
    "learning_rate": Flag(
        LEARNED, Names(), ["0"],
        f"one number, or one for each of --sparsities; {OWN_CHOICE} (of T5 in units "
        "of each parameter's root mean square)",
    ),
    "batch_questions": Flag(LEARNED, Integer(1), 16, "questions of a step"),
    "story_windows": Flag(
        LEARNED, Integer(1), 16, "windows of the stories in a step, of lm and both"
    ),
    "story_tokens": Flag(LEARNED, Integer(4), 128, "tokens of such a window"),
    "warmup": Flag(
        LEARNED, Number(0, 1), 0.1,
        "fraction of the steps in which the learning rate grows; then it falls as a "
        "cosine",
    ),
    "weight_decay": Flag(LEARNED, Number(0), 0.01, "of AdamW"),
    "clip": Flag(LEARNED, Number(0), 1.0, "largest global norm of a gradient"),
    "patience": Flag(
        LEARNED, Integer(1), 3, "validations without a gain, then training stops"
    ),
    "stop_on": Flag(
        LEARNED, Choice("accuracy", "loss"), "accuracy",
        "what says so, and which state is best: accuracy or loss of the validation "
        "questions",
    ),
    "evaluate_every": Flag(
        LEARNED, Integer(0), 60,
        "steps between two validations; 0: half of the steps",
    ),
    "checkpoint_every": Flag(
        REPORT, Integer(0), 0,
        "steps between two checkpoints; 0: whenever it is validated",
    ),
    "remat": Flag(
        SPEED, YesNo(), False,
        "compute layers again for their gradient: less memory, more time",
    ),
    "trained_at_once": Flag(
        SPEED, Integer(0), 0,
        "variants trained by one call; 0: one on a CPU, else as many as fit",
    ),
    "work": Flag(
        REPORT, Text(), None,
        "directory of checkpoints and the best weights, from which the same command "
        "goes on (default: work, in --out)",
    ),
    "export": Flag(
        REPORT, Text(), None,
        "directory for the trained models of one model and method, each in "
        "<sparsity>-seed<n> (default: none)",
    ),
}  # fmt: skip
