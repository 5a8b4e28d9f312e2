"""What `data` may name, and which class and split each file of it holds."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jaxsparse.assets import QUESTIONS, STORIES
from jaxsparse.cbt import items as formats
from jaxsparse.cbt.items import of_task
from jaxsparse.cbt.questions import (
    SPLIT_NAMES,
    SPLITS,
    WORD_CLASSES,
    Item,
    Malformed,
    Question,
    Reading,
    Selection,
    check,
    judge,
    select,
    shown,
)
from jaxsparse.cbt.references import from_references
from jaxsparse.cbt.tasks import read_task
from jaxsparse.types import InputError

READERS: dict[str, Callable[[Path], Iterable[Item]]] = {
    ".txt": formats.from_text,
    ".json": formats.from_json,
    ".jsonl": formats.from_json,
    ".parquet": formats.from_parquet,
}
ACCEPTED = (
    "`data` accepts bundled, cbt (the hub data set), a directory of CBTest text files, "
    "or one CBTest .txt, .json/.jsonl (json-lines) or .parquet file; the last two may "
    "hold any other cloze, each row with a task"
)
MAY_HOLD_A_TASK = (".json", ".jsonl", ".parquet")
PATTERNS = {"train": "train", "validation": "valid*", "test": "test*"}
LEGAL = {"word_class": {name: name for name in WORD_CLASSES}, "split": SPLIT_NAMES}
FILE_NAME = re.compile(
    r"cbtest_(?P<word_class>CN|NE|V|P)(?=[_.])(_(?P<split>train|valid|test))?"
)
HUB_NAME = re.compile(  # its folder may be called after a class, or after anything
    r"(?P<split>train|valid|validation|test)-\d+-of-\d+\."
)

Judged = Iterator[Question | Malformed]


def read(data: str, split: str | None, word_classes: Sequence[str] | None) -> Reading:
    """Reads every question of the asked split and classes (None: the flag's default).

    A directory and the hub are read class by class in the asked order, a file from top
    to bottom. A file whose rows have a `task` is any cloze (tasks.py), and the classes
    are its groups.

    Raises:
        InputError: there is nothing of that name, class or split, or it cannot be read.
            Malformed items raise nothing here; `check` does.
    """
    if split is not None and split not in SPLITS:
        raise InputError(f"`split={split}`: choose one of {', '.join(SPLITS)}")
    classes = None if word_classes is None else tuple(dict.fromkeys(word_classes))
    asked = Selection(split, classes)
    path = Path(os.path.expanduser(data))
    if data not in ("bundled", "cbt") and path.is_file():
        items = _items(path)
        if of_task(items):
            return read_task(items, str(path), asked)
        judged = _read_file(path, items, _of_cbt(asked))
    elif data == "bundled":
        judged = _read_bundled(_of_cbt(asked))
    elif data == "cbt":
        judged = _read_hub(_of_cbt(asked))
    elif path.is_dir():
        judged = _read_directory(path, _of_cbt(asked))
    else:
        raise InputError(
            f"`data={data}`: there is no such file or directory; {ACCEPTED}"
        )
    return _reading(judged, data, asked)


def read_questions(
    data: str = "bundled",
    split: str | None = None,
    word_classes: str | Sequence[str] | None = None,
    num_examples: int = 0,
) -> tuple[Question, ...]:
    """Reads questions, all of which must be sound.

    Args:
        data: bundled, cbt (the hub data set), a directory, or a file.
        split: train, validation or test; test unless the data say.
        word_classes: of CN, NE, V and P, or groups of another cloze; all of them.
        num_examples: so many, as even as possible over the classes; 0: all.

    Raises:
        InputError: as `read` does, and for malformed items.
    """
    if isinstance(word_classes, str):
        word_classes = [word_classes]
    reading = read(data, split, word_classes)
    check(reading.malformed, skip=False)
    return select(reading.questions, num_examples)


def may_hold_a_task(data: str) -> bool:
    """Whether `data` may have groups of its own, which are known once it is read."""
    return Path(data).suffix in MAY_HOLD_A_TASK


def _of_cbt(asked: Selection) -> Selection:
    """`asked`; its classes must be CBT's."""
    classes = asked.word_classes
    if classes is not None and not (classes and set(classes) <= set(WORD_CLASSES)):
        named = ",".join(classes)
        raise InputError(f"`word_classes={named}`: choose of {','.join(WORD_CLASSES)}")
    return asked


def _reading(judged: Judged, data: str, asked: Selection) -> Reading:
    found = tuple(judged)
    if not found:
        classes = ",".join(asked.the_classes)
        raise InputError(
            f"{data} holds no questions of `word_classes={classes}`, "
            f"`split={asked.the_split}`"
        )
    return Reading(
        tuple(item for item in found if isinstance(item, Question)),
        tuple(item for item in found if isinstance(item, Malformed)),
    )


def _read_bundled(asked: Selection) -> Judged:
    """The questions that ship with the package, class by class."""
    split = asked.the_split
    path = QUESTIONS / f"{split}.jsonl"
    found = list(from_references(path, STORIES / split))
    for word_class in asked.the_classes:
        rows = [item for item in found if item.fields["word_class"] == word_class]
        for position, item in enumerate(rows, 1):
            yield judge(item, str(path), word_class, split, position)


def _read_hub(asked: Selection) -> Judged:
    for word_class in asked.the_classes:
        rows = formats.from_hub(word_class, asked.the_split)
        file = f"{formats.HUB}/{word_class}/{asked.the_split}"
        yield from _judged(rows, file, word_class, asked.the_split)


def _read_directory(directory: Path, asked: Selection) -> Judged:
    """All files are found before the first is read: train files are large."""
    split = asked.the_split
    paths = {name: _file_of(directory, name, split) for name in asked.the_classes}
    for word_class, path in paths.items():
        yield from _judged(formats.from_text(path), str(path), word_class, split)


def _file_of(directory: Path, word_class: str, split: str) -> Path:
    pattern = f"cbtest_{word_class}_{PATTERNS[split]}.txt"
    found = sorted(path for path in directory.glob(pattern) if path.is_file())
    if not found:
        raise InputError(
            f"{directory} has no {pattern}; pass the directory of CBTest's text files, "
            "or choose others with `split` and `word_classes`"
        )
    if len(found) > 1:
        raise InputError(
            f"{directory} has {' and '.join(path.name for path in found)} for "
            f"{word_class}, {split}; pass one of them as `data`, or keep one"
        )
    return found[0]


def _judged(rows: Iterable[Item], file: str, word_class: str, split: str) -> Judged:
    position = 0
    for position, item in enumerate(rows, 1):
        yield judge(item, file, word_class, split, position)
    if not position:
        raise InputError(f"{file} holds no questions")


def _items(path: Path) -> list[Item]:
    if path.suffix not in READERS:
        raise InputError(f"`data={path}`: unknown kind of file; {ACCEPTED}")
    return list(READERS[path.suffix](path))


def _read_file(path: Path, items: Sequence[Item], asked: Selection) -> Judged:
    """The items of one file that are of an asked class and split.

    An item's class and split stand in columns, else in the file's name, else in the
    flags. An item too broken to tell is kept: it must not vanish.
    """
    asked = _agreed(path, asked)
    rows = [_placed(item) for item in items]
    if not rows:
        raise InputError(f"{path} holds no questions")
    in_columns = any("word_class" in item.fields for item in rows)
    if not in_columns and len(asked.the_classes) != 1:
        raise InputError(
            f"{path}: neither its name nor a word_class column says its class; "
            f"name one with `word_classes` (of {','.join(WORD_CLASSES)})"
        )
    if in_columns:
        rows = [_with_class(item) for item in rows]
    default = "?" if in_columns else asked.the_classes[0]
    split = asked.split or _only_split(rows)
    for position, item in enumerate(rows, 1):
        word_class = item.fields.get("word_class", default)
        item_split = item.fields.get("split", split)
        if item.fault or (word_class in asked.the_classes and item_split == split):
            yield judge(item, str(path), word_class, item_split, position)


def _agreed(path: Path, asked: Selection) -> Selection:
    """What is asked once the file's name has spoken; flags must not contradict it."""
    match = FILE_NAME.match(path.name) or HUB_NAME.match(path.name)
    if not match:
        return asked
    split = SPLIT_NAMES.get(match["split"])
    word_class = match.groupdict().get("word_class")
    if word_class and asked.word_classes not in (None, (word_class,)):
        raise InputError(
            f"{path} holds {word_class} by its name, which contradicts "
            f"`word_classes={','.join(asked.the_classes)}`; leave it out"
        )
    if split and asked.split not in (None, split):
        raise InputError(
            f"{path} holds {split} questions by its name, which contradicts "
            f"`split={asked.split}`; leave it out"
        )
    classes = (word_class,) if word_class else asked.word_classes
    return Selection(split or asked.split, classes)


def _only_split(rows: Iterable[Item]) -> str:
    """The one split that a split column holds; test where it holds several, or none."""
    splits = {item.fields["split"] for item in rows if "split" in item.fields}
    return splits.pop() if len(splits) == 1 else "test"


def _with_class(item: Item) -> Item:
    """An item of a file that has a column word_class must have one, too."""
    if "word_class" in item.fields:
        return item
    return replace(item, fault=item.fault or (0, "it has no word_class"))


def _placed(item: Item) -> Item:
    """`item` with its columns word_class and split, where it has them, made legal."""
    fields = dict(item.fields)
    fault = item.fault
    for column, legal in LEGAL.items():
        if column not in fields:
            continue
        value = fields[column]
        fields[column] = legal.get(value) if isinstance(value, str) else None
        if fields[column] is None:
            fields[column] = "?"
            reason = f"{column} is {shown(value)}, not one of {', '.join(legal)}"
            fault = fault or (0, reason)
    if fields.get("group") not in (None, ""):
        reason = "it has a group but no task; CBT's questions have a word_class"
        fault = fault or (0, reason)
    return replace(item, fields=fields, fault=fault)
