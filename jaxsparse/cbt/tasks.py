"""Any cloze that is no CBT: json-lines whose rows name their `task`.

    {"task": "colours", "context": ["It had snowed ."], "query": "The hill was XXXXX .",
     "options": ["white", "red"], "answer": "white"}

`context` may be [] or one string. `id`, `group` (else the task's word), `split` (else
the row is of every split) and `story` may be left out. The hub's names for `context`,
`query` and `group` do as well: questions.parquet has those.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxsparse.cbt.questions import (
    SPLIT_NAMES,
    Item,
    Malformed,
    Question,
    Reading,
    Selection,
    are_text,
    is_text,
    is_whole_number,
    query_fault,
    shown,
    story_fault,
    story_of,
)
from jaxsparse.types import InputError

_OPTIONS = range(2, 65)
_HUB_NAMES = {"context": "sentences", "query": "question", "group": "word_class"}
_KEYS = {
    *("task", "options", "answer", "id", "split", "story", "book"),
    *_HUB_NAMES,
    *_HUB_NAMES.values(),
}
_POOLED = "all"  # what a report calls all groups together
_MOST_NAMED = 30  # groups or keys, in a line


@dataclass(frozen=True)
class _Row:
    """A row and where it belongs, as far as it says so."""

    line: int
    fields: Mapping[str, Any]  # by the names that `_HUB_NAMES` begins with
    group: str = "?"
    split: str = ""  # of one that names none
    id: str = ""
    fault: str | None = None  # what is wrong with it, the first thing


def read_task(items: Sequence[Item], file: str, asked: Selection) -> Reading:
    """The questions of the asked split and groups (None: all), in the file's order.

    A malformed row is told wherever it cannot be seen to be of another group or split.

    Raises:
        InputError: there is no such group, or nothing of that split.
    """
    rows = list(_with_ids_once(_row(item) for item in items))
    groups = _groups(rows, file, asked)
    split = asked.split or _only_split(rows)
    chosen = [
        row
        for row in rows
        if row.fault or (row.group in groups and row.split in ("", split))
    ]
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows}))
        raise InputError(
            f"{file}: no questions of these groups are of `split={split}`; "
            f"its splits: {splits}"
        )
    judged = [_judge(row, file) for row in chosen]
    return Reading(
        tuple(found for found in judged if isinstance(found, Question)),
        tuple(found for found in judged if isinstance(found, Malformed)),
        tuple(_unread(items)),
    )


def _unread(items: Sequence[Item]) -> Iterator[str]:
    rows = Counter(key for item in items for key in item.fields if key not in _KEYS)
    for key, number in rows.most_common(_MOST_NAMED):
        yield f"{key} ({number:,} row{'s' * (number > 1)})"
    if len(rows) > _MOST_NAMED:
        yield "…"


def _groups(rows: Sequence[_Row], file: str, asked: Selection) -> Iterable[str]:
    known = dict.fromkeys(row.group for row in rows if not row.fault)
    for name in asked.word_classes or ():
        if name not in known:
            named = ", ".join([*known][:_MOST_NAMED])
            more = f", … ({len(known)} in all)" * (len(known) > _MOST_NAMED)
            raise InputError(
                f"`word_classes`: {file} has no group {name!r}; it has {named}{more}"
            )
    return asked.word_classes or known


def _only_split(rows: Sequence[_Row]) -> str:
    """The one split that rows name; test where they name several."""
    splits = {row.split for row in rows} - {""}
    return splits.pop() if len(splits) == 1 else "test"


def _row(item: Item) -> _Row:
    fields = {name: value for name, value in item.fields.items() if value is not None}
    row = _Row(item.line, fields)
    try:
        if item.fault:
            raise ValueError(item.fault[1])
        for name, hub in _HUB_NAMES.items():
            if name in fields and hub in fields:
                raise ValueError(f"it has {name} and {hub}, which are the same")
            if hub in fields:
                fields[name] = fields[hub]
        task = _line_of_text(fields, "task")
        if not task:
            raise ValueError("it has no task, which other rows of the file have")
        group = _line_of_text(fields, "group") or task
        if group == _POOLED:
            raise ValueError(f"its group is {_POOLED!r}, which means all of them")
        split = _line_of_text(fields, "split")
        if split and split not in SPLIT_NAMES:
            legal = ", ".join(SPLIT_NAMES)
            raise ValueError(f"split is {split!r}, not one of {legal}")
        name = _line_of_text(fields, "id") or f"{group}-{item.line}"
        fields["task"] = task
        return replace(row, group=group, split=SPLIT_NAMES.get(split, ""), id=name)
    except ValueError as reason:
        return replace(row, fault=str(reason))


def _line_of_text(fields: Mapping[str, Any], key: str) -> str:
    """A name that may be missing: "". Whole numbers are names as well."""
    value = fields.get(key, "")
    value = str(value) if is_whole_number(value) else value
    if not is_text(value) or len(value.splitlines()) > 1:
        raise ValueError(f"{key} is {shown(value)}, not one line of text")
    return value.strip()


def _with_ids_once(rows: Iterable[_Row]) -> Iterator[_Row]:
    lines: dict[str, int] = {}
    for row in rows:
        if not row.fault and row.id in lines:
            reason = f"its id {row.id!r} is that of line {lines[row.id]} already"
            row = replace(row, fault=reason)
        elif not row.fault:
            lines[row.id] = row.line
        yield row


def _judge(row: _Row, file: str) -> Question | Malformed:
    """The question that a row is, or why it is none."""
    fields: dict[str, Any] = dict.fromkeys(("query", "answer", "options"))
    fields |= row.fields
    query, answer, options = fields["query"], fields["answer"], fields["options"]
    context: Any = fields.get("context")
    if is_text(context):
        context = [context] if context.strip() else []
    story: Any = story_of(fields)
    reason = (
        row.fault
        or _context_fault(context)
        or query_fault(query, answer, options, _OPTIONS, "query")
        or _repeated(options)
        or story_fault(story)
    )
    if reason:
        name = row.id or f"{row.group}-{row.line}"
        return Malformed(file, row.line, reason, name)
    return Question(
        context=tuple(sentence.strip() for sentence in context),
        query=query.strip(),
        options=tuple(option.strip() for option in options),
        answer=answer.strip(),
        word_class=row.group,
        id=row.id,
        split=row.split,
        source=f"{file}:{row.line}",
        story=story.strip(),
        task=fields["task"],
    )


def _context_fault(context: Any) -> str | None:
    if context is None:
        return "it has no context; [] says that there is none"
    if not are_text(context):
        return f"context is {shown(context)}, neither a list of strings nor one string"
    for number, sentence in enumerate(context, 1):
        if not sentence.strip():
            return f"sentence {number} of its context is empty"
    return None


def _repeated(options: Sequence[str]) -> str | None:
    counts = Counter(option.strip() for option in options)
    twice = next((option for option in counts if counts[option] > 1), None)
    return None if twice is None else f"the option {shown(twice)} is there twice"
