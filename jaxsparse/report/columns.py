"""The columns of a run's tables, by name and type: what is written and what is read."""

import pyarrow as pa

from jaxsparse.training.training import LEGAL

TEXT, WHOLE, REAL, BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()

RECIPE = {  # what a point is, and the questions of a row of it
    "model": TEXT,
    "family": TEXT,
    "protocol": TEXT,
    "context": TEXT,
    "detokenize": TEXT,
    "method": TEXT,
    "pattern": TEXT,
    "scope": TEXT,
    "allocation": TEXT,
    "statistics": TEXT,  # empty of a method that needs none
    "prunable": TEXT,
    "dtype": TEXT,
    "execution": TEXT,  # of the linears
    "seed": WHOLE,  # of training; else of a method that draws or is calibrated
    "sparsity": REAL,
    "achieved_sparsity": REAL,
    "total_sparsity": REAL,
    "finetuned": BOOL,
    "word_class": TEXT,
    "split": TEXT,
}
# Behind all other columns, where earlier versions ended.
TRAINING = dict.fromkeys(LEGAL, TEXT)  # empty of one-shot
ROWS = {"context_tokens": WHOLE}  # a row has at most; 0: what the model takes
# What runs of older versions have no columns for.
OLDER = {
    "allocation": "uniform",
    "statistics": "",
    "execution": "dense",
    **dict.fromkeys(TRAINING, ""),
    "context_tokens": "0",
}
OF_POINT = tuple(
    name for name in (*RECIPE, *TRAINING, *ROWS) if name not in ("word_class", "split")
)

RESULTS = {
    **RECIPE,
    "questions": WHOLE,
    "correct": WHOLE,
    "accuracy": REAL,
    "ci_low": REAL,
    "ci_high": REAL,
    "dense_accuracy": REAL,
    "p_vs_dense": REAL,  # empty of dense
    "cluster_low": REAL,  # empty where stories are not known
    "cluster_high": REAL,
    "truncated": WHOLE,
    "ties": WHOLE,
    "seconds": REAL,
    "questions_per_second": REAL,
    "parameters": WHOLE,  # of the model at the point, zeros included
    "bytes": WHOLE,  # that they take as they are loaded
    **TRAINING,
    "training_seconds": REAL,  # empty of one-shot
    **ROWS,
}

OF_LAYERS = (  # neither protocol nor execution: they prune nothing
    "model", "method", "pattern", "scope", "allocation", "statistics", "prunable",
    "dtype", "seed", "sparsity", "finetuned", *TRAINING,
)  # fmt: skip
LAYERS = {
    **{name: RECIPE[name] for name in OF_LAYERS if name in RECIPE},
    "matrix": TEXT,
    "layer": WHOLE,
    "weights": WHOLE,
    "pruned": WHOLE,
    "error": REAL,  # of reconstruction; empty where none was measured
    "damping_raised": WHOLE,  # how often, tenfold
    **TRAINING,
}

OF_QUESTIONS = ("protocol", "context", "detokenize", "word_class", "split")
OF_TEXTS = tuple(name for name in (*RECIPE, *TRAINING) if name not in OF_QUESTIONS)
TEXTS = {
    **{name: RECIPE[name] for name in OF_TEXTS if name in RECIPE},
    "text": TEXT,
    "windows": WHOLE,
    "targets": WHOLE,
    "nats": REAL,  # mean of the targets
    "perplexity": REAL,  # empty unless every token is predicted from those before it
    "tokens_left_out": WHOLE,
    "draw": WHOLE,  # 0; from 1 on further draws, behind the rows of all points
    **TRAINING,
}
TEXT_TOKENS = {  # see `losses.token_tables`
    "point": pa.int32(),
    "file": TEXT,
    "window": pa.int32(),
    "position": pa.int32(),
    "token": TEXT,
    "nats": pa.float32(),
}

PREDICTIONS = {
    **RECIPE,
    "question_id": TEXT,
    "answer": TEXT,
    "options": pa.list_(TEXT),
    "scores": pa.list_(pa.float32()),
    "option_tokens": pa.list_(pa.int32()),
    "predicted": pa.int32(),
    "correct": BOOL,
    **TRAINING,
    **ROWS,
}

# With the hub's names, so that it can be asked again: `data=questions.parquet`.
QUESTIONS = {
    "id": TEXT,
    "word_class": TEXT,
    "split": TEXT,
    "sentences": pa.list_(TEXT),
    "question": TEXT,
    "options": pa.list_(TEXT),
    "answer": TEXT,
    "story": TEXT,
    "task": TEXT,  # only of questions that are no CBT
}

FROM_TEXT = {TEXT: str, WHOLE: int, REAL: float}  # how a csv file's values are read
