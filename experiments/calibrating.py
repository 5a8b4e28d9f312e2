"""What models are calibrated on: the text of --calibration, in rows of each model."""

from collections.abc import Mapping, Sequence

from experiments import paths
from experiments.flags import Settings
from experiments.prune_settings import Asking, Pruning
from jaxsparse import cbt
from jaxsparse.calibration import Calibration, calibrate
from jaxsparse.model import Blueprint
from jaxsparse.types import InputError


def texts_of(settings: Settings | Pruning) -> tuple[str, ...]:
    """The texts that --calibration names; none where nothing is calibrated."""
    source = settings.calibration
    if source is None:
        return ()
    if source == "bundled":
        return cbt.bundled_texts()
    asked = settings if isinstance(settings, Settings) else settings.asking
    if source == "train" and asked:
        return _stories_of_train(asked)
    files = paths.text_files("calibration", [source])
    return tuple(paths.read_text("calibration", file) for file in files)


def _stories_of_train(settings: Settings | Asking) -> tuple[str, ...]:
    try:
        reading = cbt.read(settings.data, "train", settings.word_classes)
        cbt.check(reading.malformed, settings.skip_malformed)
        _refuse_without_split(reading.questions)
    except InputError as error:
        raise InputError(f"--calibration=train: {error}") from None
    return cbt.context_texts(reading.questions, settings.detokenize)


def _refuse_without_split(questions: Sequence[cbt.Question]) -> None:
    """Rows of a task that name no split are of every split: they are asked, too."""
    if rows := [question.source for question in questions if not question.split]:
        raise InputError(
            f"{rows[0]}: this row names no split, so it can be asked as well (such "
            f"rows: {len(rows):,}); give every row a split, or name a text file"
        )


def rows_of(
    models: Sequence[Blueprint], texts: Sequence[str], settings: Settings | Pruning
) -> dict[str, Calibration]:
    """Rows of the texts for each model, by its name; none where nothing is
    calibrated."""
    found = {}
    for model in models if settings.calibration else ():
        try:
            found[model.name] = calibrate(
                model,
                texts,
                settings.calibration_rows,
                settings.calibration_tokens,
                settings.seed,
                settings.calibration or "",
            )
        except InputError as error:
            raise InputError(f"{model.name}: {error}") from None
    return found


def overlap(
    texts: Sequence[str],
    questions: Sequence[cbt.Question],
    settings: Settings | Pruning,
) -> int:
    """How many pairs of sentences, or whole contexts, of the questions stand in the
    texts.

    Raises:
        InputError: one does, and --allow_overlap is not given.
    """
    if not texts:
        return 0
    named = {f"--calibration={settings.calibration}": texts}
    if not settings.allow_overlap:
        cbt.refuse_overlap(named, questions)
        return 0
    return len({sentences for _, _, sentences in cbt.overlaps(named, questions)})


def checked(
    texts: Sequence[str],
    settings: Pruning,
    asked: Mapping[str, Sequence[cbt.Question]],
) -> str:
    """`overlap` in words, with the questions that are asked, by their split; if there
    are none, with the bundled test questions. Empty where nothing is calibrated."""
    if not texts:
        return ""
    questions = [question for of_split in asked.values() for question in of_split]
    each = [f"{len(of_split):,} {split}" for split, of_split in asked.items()]
    named = f"{' and '.join(each)} questions"
    if not asked:
        questions = cbt.read_questions("bundled", "test")
        named = f"{len(questions):,} bundled ones"
    found = overlap(texts, questions, settings)
    allowed = ", which --allow_overlap allowed" if found else ""
    return f"{found:,} matches with the {named}{allowed}"
