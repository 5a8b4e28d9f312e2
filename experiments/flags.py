"""The flags that binaries share, and the settings they make: the only place that reads
flags. Everything that can be wrong with a flag by itself is found here."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from absl import flags

from experiments.out import margin
from jaxsparse import cbt, parallel, pruning, scoring
from jaxsparse.model import DTYPES
from jaxsparse.models import PRUNABLE
from jaxsparse.sweep import PATTERNS, Recipe
from jaxsparse.types import InputError
from jaxsparse.weights.hub import BUNDLED

FLAGS = flags.FLAGS

# What `./run.sh` asks with no word more: as many as two cores answer in two minutes, at
# five sparsities under both protocols.
NEWCOMERS_QUESTIONS = 48

flags.DEFINE_list(
    "model",
    [],
    "models: directories in Hugging Face format, aliases, or hub ids "
    f"(default: {','.join(BUNDLED)})",
)
flags.DEFINE_string(
    "data", None, "questions: bundled, cbt (the hub data set), a directory of CBTest "
    "files, or one .txt, .jsonl or .parquet file (default: bundled with the bundled "
    "models, else cbt)"
)  # fmt: skip
flags.DEFINE_enum("split", None, cbt.SPLITS, "which questions (default: test)")
flags.DEFINE_list("word_classes", None, "of CN,NE,V,P (default: all)")
flags.DEFINE_integer(
    "num_examples", None, "questions in all, even over the classes; 0: all (default: "
    f"0, and {NEWCOMERS_QUESTIONS} when the bundled ones are asked without --model)",
    lower_bound=0,
)  # fmt: skip
flags.DEFINE_enum(
    "sample", "first", ("first", "random"),
    "with --num_examples: the first questions of each class, or drawn by --seed",
)  # fmt: skip
flags.DEFINE_list(
    "protocol", None, "ways of asking: cloze,append (default: cloze; both without "
    "--model)"
)  # fmt: skip
flags.DEFINE_enum("context", "full", scoring.CONTEXTS, "how much of the story is read")
flags.DEFINE_enum(
    "detokenize", "ptb", sorted(cbt.STYLES), "ptb undoes Penn Treebank tokens"
)
flags.DEFINE_list("method", ["magnitude"], f"of {','.join(pruning.METHODS)}")
flags.DEFINE_enum("pattern", "unstructured", PATTERNS, "of the masks")
flags.DEFINE_enum(
    "scope", None, ("matrix", "global"),
    "weights that compete with one another (default: the method's own)",
)  # fmt: skip
flags.DEFINE_enum("prunable", "blocks", PRUNABLE, "which weights can be pruned")
flags.DEFINE_list(
    "sparsities", ["0", "0.1", "0.5", "0.9", "0.99"], "fractions to prune, 0 to 1"
)
flags.DEFINE_integer(
    "levels_at_once",
    0,
    "sparsities evaluated in one call; 0: as many as the device "
    "has memory for, on a CPU one",
    lower_bound=0,
)
flags.DEFINE_enum("dtype", "float32", DTYPES, "of weights and activations")
flags.DEFINE_integer(
    "batch_tokens",
    0,
    "tokens in a batch; 0: what suits the device",
    lower_bound=0,
    upper_bound=2**31 - 1,
)
flags.DEFINE_string(
    "mesh", "", "devices for rows and for parts of a model, such as data:4,model:2 "
    "(default: all for rows, but for as many as the model's size asks for)"
)  # fmt: skip
flags.DEFINE_integer(
    "seed", 0, "of methods that draw random numbers, and of --sample=random",
    lower_bound=0,
    upper_bound=2**63 - 1,
)  # fmt: skip
flags.DEFINE_boolean(
    "skip_malformed", False, "leave malformed questions out, and count them"
)

# The command line of the original experiments.
flags.DEFINE_enum(
    "model_type", None, ("d-o", "e-o", "e-d"),
    "the original spelling of models: d-o GPT-2, e-o ELECTRA (generator and "
    "discriminator), e-d T5; runs both protocols",
)  # fmt: skip
flags.DEFINE_boolean("large", None, "with --model_type: the large models, or the small")
flags.DEFINE_boolean(
    "first_and_sec", None, "with --model_type: false means --context=query"
)

ORIGINAL_MODELS = {  # model_type -> large -> models
    "d-o": {True: ["gpt2-xl"], False: ["gpt2-small"]},
    "e-o": {
        True: ["electra-large", "electra-large-discriminator"],
        False: ["electra-small", "electra-small-discriminator"],
    },
    "e-d": {True: ["t5-3b"], False: ["t5-small"]},
}


@dataclass(frozen=True)
class Settings:
    """What the flags say, checked and with defaults filled in."""

    models: tuple[str, ...]
    data: str
    split: str | None
    word_classes: tuple[str, ...] | None
    num_examples: int
    sample: str
    protocols: tuple[str, ...]
    context: str
    detokenize: str
    recipes: tuple[Recipe, ...]
    sparsities: tuple[float, ...]
    levels_at_once: int
    dtype: str
    batch_tokens: int
    mesh: parallel.Axes | None
    seed: int
    skip_malformed: bool
    margin: float | None  # a fraction
    out: Path


def settings_from_flags() -> Settings:
    """Raises InputError for what no run could mean."""
    original = _original_experiment()
    models = original.get("models") or _names("model", FLAGS.model)
    newcomer = not models
    if newcomer and FLAGS["model"].present:
        raise InputError(
            "--model is empty; pass a directory or a name such as gpt2-small, or leave "
            "the flag out for the bundled models"
        )
    models = tuple(models or BUNDLED)
    if FLAGS.data == "":
        raise InputError("--data is empty; pass bundled, cbt, a directory, or a file")
    data = FLAGS.data or ("bundled" if set(models) <= set(BUNDLED) else "cbt")
    num_examples = FLAGS.num_examples
    if num_examples is None:
        few = newcomer and data == "bundled"
        num_examples = NEWCOMERS_QUESTIONS if few else 0
    protocols = original.get("protocols") or FLAGS.protocol
    if protocols is None:
        protocols = scoring.PROTOCOLS if newcomer else ("cloze",)
    protocols = _choices("protocol", list(protocols), scoring.PROTOCOLS)
    methods = _choices("method", FLAGS.method, pruning.METHODS)
    scopes = [pruning.resolve_scope(method, FLAGS.scope) for method in methods]
    word_classes = FLAGS.word_classes
    if word_classes is not None:
        word_classes = _choices("word_classes", word_classes, cbt.WORD_CLASSES)
    return Settings(
        models=models,
        data=data,
        split=FLAGS.split,
        word_classes=word_classes,
        num_examples=num_examples,
        sample=FLAGS.sample,
        protocols=protocols,
        context=original.get("context") or FLAGS.context,
        detokenize=FLAGS.detokenize,
        recipes=tuple(
            Recipe(method, scope, FLAGS.prunable, FLAGS.pattern, FLAGS.seed)
            for method, scope in zip(methods, scopes, strict=True)
        ),
        sparsities=_sparsities(FLAGS.sparsities),
        levels_at_once=FLAGS.levels_at_once,
        dtype=FLAGS.dtype,
        batch_tokens=FLAGS.batch_tokens,
        mesh=parallel.parse(FLAGS.mesh),
        seed=FLAGS.seed,
        skip_malformed=FLAGS.skip_malformed or bool(original),
        margin=margin(),
        out=_out(models, data, num_examples, protocols),
    )


def _original_experiment() -> dict:
    """What --model_type, --large and --first_and_sec stand for; empty without them."""
    if FLAGS.model_type is None:
        for name in ("large", "first_and_sec"):
            if FLAGS[name].present:
                raise InputError(f"--{name} goes with --model_type; or pass --model")
        return {}
    for name in ("model", "protocol", "context"):
        if FLAGS[name].present:
            raise InputError(f"--{name} and --model_type exclude each other")
    return {
        "models": ORIGINAL_MODELS[FLAGS.model_type][bool(FLAGS.large)],
        "protocols": scoring.PROTOCOLS,
        "context": "query" if FLAGS.first_and_sec is False else "full",
    }


def _names(flag: str, values: list[str]) -> tuple[str, ...]:
    """A comma list: no empty entries, none twice."""
    names = [value.strip() for value in values]
    if "" in names:
        raise InputError(f"--{flag}={','.join(values)}: an entry is empty")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--{flag}: {', '.join(twice)} is given twice")
    return tuple(names)


def _choices(flag: str, values: list[str], known) -> tuple[str, ...]:
    names = _names(flag, values)
    if not names:
        raise InputError(f"--{flag} is empty; choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            raise InputError(
                f"--{flag}: unknown value {name!r}; choose from {', '.join(known)}"
            )
    return names


def _sparsities(values: list[str]) -> tuple[float, ...]:
    sparsities = []
    for value in _names("sparsities", values):
        try:
            sparsity = float(value)
        except ValueError:
            raise InputError(f"--sparsities: {value!r} is not a number") from None
        if not 0 <= sparsity <= 1:
            raise InputError(f"--sparsities: {value} is not a fraction from 0 to 1")
        sparsities.append(sparsity)
    if not sparsities:
        raise InputError("--sparsities is empty; fractions such as 0,0.5,0.9")
    if len(set(sparsities)) < len(sparsities):
        raise InputError(f"--sparsities={','.join(values)}: a value is given twice")
    if sum(sparsity > 0 for sparsity in sparsities) > 255:
        raise InputError(
            f"--sparsities: {len(sparsities)} values; at most 255 above 0 in one run"
        )
    return tuple(sorted(sparsities))


def _out(
    models: tuple[str, ...], data: str, num_examples: int, protocols: tuple[str, ...]
) -> Path:
    """--out, or a name made of all that changes scores, so that the same command comes
    back to its results."""
    if FLAGS.out == "":
        raise InputError("--out is empty; name a directory")
    if FLAGS.out is not None:
        return Path(os.path.expanduser(FLAGS.out))
    kept = {name: FLAGS[name].value for name in SCORE_FLAGS}
    kept |= {"model": models, "data": data, "protocol": protocols}
    kept["num_examples"] = num_examples
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    names = "+".join(_last_component(name) for name in models)
    return Path("results") / f"{names[-100:].lstrip('.-+')}-{digest[:8]}"


def _last_component(model: str) -> str:
    """What a model is called in a file name: a directory by its last component."""
    path = os.path.expanduser(model)
    if os.path.isdir(path):
        return os.path.basename(os.path.abspath(path))
    return model.replace("/", "-")


SCORE_FLAGS = (
    "model", "data", "split", "word_classes", "num_examples", "sample", "protocol",
    "context",
    "detokenize", "pattern", "scope", "prunable", "dtype", "seed", "skip_malformed",
    "model_type", "large", "first_and_sec",
)  # fmt: skip


def facts(settings: Settings) -> dict:
    """The settings as run.json keeps them."""
    return {**asdict(settings), "out": str(settings.out)}
