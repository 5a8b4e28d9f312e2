"""What has been scored, kept in one SQLite file: no question is scored twice.

A batch is one committed transaction, so that a run which is killed has lost the batch
in flight and nothing else. An answer is found again by all that decides it: the content
of weights and question, how the one was pruned and the other put (`key_of`). Where
it was scored decides nothing; `sessions` tell it of each answer.
"""

import hashlib
import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from jaxsparse import losses, readings
from jaxsparse.database import Database
from jaxsparse.losses import Losses
from jaxsparse.readings import Readings
from jaxsparse.whole import locked, made, temporary

NAME = "journal.sqlite"
FORMAT = 1  # raised when older programs could no longer read what newer ones write

_TABLES = (
    """CREATE TABLE conditions (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, content TEXT NOT NULL
)""",
    "CREATE TABLE sessions (id INTEGER PRIMARY KEY, made_by TEXT NOT NULL)",
    """CREATE TABLE answers (
    conditions INTEGER NOT NULL REFERENCES conditions,
    question TEXT NOT NULL,       -- digest of its content
    scores BLOB NOT NULL,         -- float32, little-endian, one for each option
    option_tokens BLOB NOT NULL,  -- int32, likewise
    seconds REAL NOT NULL,        -- its share of its batch
    crc INTEGER NOT NULL,         -- of the four before, against damage
    session INTEGER NOT NULL REFERENCES sessions,
    PRIMARY KEY (conditions, question)
) WITHOUT ROWID""",
)


def key_of(conditions: Mapping[str, Any]) -> str:
    """All that decides what a model says to a question, but for the question, as the
    journal is asked for it.

    Args:
        conditions: JSON values by name, of the model, the variant, and how questions
            are put to it.
    """
    return json.dumps(conditions, sort_keys=True)


@dataclass(frozen=True)
class Answer:
    """What a model said to one question."""

    scores: Float32[np.ndarray, " option"]  # nats, or probabilities
    option_tokens: Int32[np.ndarray, " option"]
    seconds: float


class Journal:
    """The answers so far, in a file or, without one, in memory.

    Raises:
        InputError: from any method, when the file cannot be read or written.
    """

    def __init__(
        self, path: Path | None = None, made_by: Mapping[str, Any] | None = None
    ):
        self._made_by = json.dumps(made_by or {}, sort_keys=True)
        self._session: int | None = None
        self._read: Counter[int] = Counter()  # session -> its answers read
        self._ids: dict[str, int] = {}
        self.recorded = 0
        self.directory = path and path.parent  # for what is kept beside it
        self.readings = Readings(path and path.with_name(readings.NAME))
        self.losses = Losses(path and path.with_name(losses.NAME))
        self._database = Database(path, _TABLES, FORMAT)
        self._file = self._database.file

    def close(self) -> None:
        self._file.close()
        self.readings.close()
        self.losses.close()

    def unknown(self, key: str, questions: Collection[str]) -> frozenset[str]:
        """Those of the questions, by digest, that have no answer yet."""
        with self._database.explained():
            rows = self._file.execute(
                "SELECT question FROM answers WHERE conditions = ?",
                (self._find(key),),
            )
            return frozenset(questions) - {question for (question,) in rows}

    def answers(self, key: str, questions: Collection[str]) -> dict[str, Answer]:
        """The answers to those of the questions that have one, by their digests."""
        asked, answers = frozenset(questions), {}
        with self._database.explained():
            rows = self._file.execute(
                "SELECT question, scores, option_tokens, seconds, crc, session "
                "FROM answers WHERE conditions = ?",
                (self._find(key),),
            )
            for question, scores, tokens, seconds, crc, session in rows:
                if question not in asked:
                    continue
                if not _is_sound(question, scores, tokens, seconds, crc):
                    raise self._database.damaged(
                        f"the answer to {question[:8]}… is not sound"
                    )
                answers[question] = Answer(
                    np.frombuffer(scores, "<f4").astype(np.float32, copy=False),
                    np.frombuffer(tokens, "<i4").astype(np.int32, copy=False),
                    seconds,
                )
                self._read[session] += 1
        return answers

    def record(self, answers: Iterable[tuple[str, str, Answer]]) -> None:
        """Commits the answers of a batch, all or none. The first answer to a question
        stays: one that is asked twice in a run has one answer."""
        with self._database.explained(), self._transaction():
            rows = [self._row(*answer) for answer in answers]
            added = self._file.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )
            self.recorded += max(added.rowcount, 0)

    def _row(self, key: str, question: str, answer: Answer) -> tuple[Any, ...]:
        content = (
            question,
            answer.scores.astype("<f4").tobytes(),
            answer.option_tokens.astype("<i4").tobytes(),
            answer.seconds,
        )
        conditions = self._find_or_make(key)
        return conditions, *content, _checksum(*content), self._own_session()

    @property
    def answered(self) -> int:
        """How many answers were read."""
        return self._read.total()

    def sources(self) -> list[dict[str, Any]]:
        """Of all answers read so far: what made them, and how many each made."""
        with self._database.explained():
            rows = self._file.execute("SELECT id, made_by FROM sessions ORDER BY id")
            try:
                return [
                    {**json.loads(made_by), "answers": self._read[session]}
                    for session, made_by in rows
                    if session in self._read
                ]
            except (ValueError, TypeError):
                raise self._database.damaged("its sessions are no JSON") from None

    def _find(self, key: str) -> int | None:
        """The row of these conditions, if there is one."""
        if key not in self._ids:
            row = self._file.execute(
                "SELECT id FROM conditions WHERE digest = ?", (_digest(key),)
            ).fetchone()
            if row is None:
                return None
            (self._ids[key],) = row
        return self._ids[key]

    def _find_or_make(self, key: str) -> int:
        found = self._find(key)
        if found is None:
            made = self._file.execute(
                "INSERT INTO conditions (digest, content) VALUES (?, ?)",
                (_digest(key), key),
            )
            found = self._ids[key] = made.lastrowid or 0
        return found

    def _own_session(self) -> int:
        if self._session is None:
            made = self._file.execute(
                "INSERT INTO sessions (made_by) VALUES (?)", (self._made_by,)
            )
            self._session = made.lastrowid or 0
        return self._session

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._ids, self._session = {}, None  # rows that are gone again
            raise


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(question: str, scores: bytes, tokens: bytes, seconds: float) -> int:
    content = question.encode() + scores + tokens + struct.pack("<d", seconds)
    return zlib.crc32(content)


def _is_sound(question: Any, scores: Any, tokens: Any, seconds: Any, crc: Any) -> bool:
    """Whether a row is as it was written: its checksum holds, and so its types."""
    try:
        return _checksum(question, scores, tokens, seconds) == crc
    except (TypeError, AttributeError, struct.error):
        return False


@contextmanager
def opened(directory: Path, made_by: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a directory, which is made where need be and locked meanwhile.

    If that ends before anything is recorded, what was made is taken away again.

    Raises:
        InputError: another process holds the directory; the file is not ours to use.
    """
    path = directory / NAME
    with made(directory), locked(directory):
        new = not os.path.lexists(path) or (
            path.is_file() and not path.is_symlink() and path.stat().st_size == 0
        )
        fresh = [path] if new else []
        beside = [path.with_name(name) for name in (readings.NAME, losses.NAME)]
        fresh += [file for file in beside if not os.path.lexists(file)]
        journal = None

        def forget() -> None:
            kept = journal and (journal.recorded or journal.losses.recorded)
            if new and not kept:
                for file in fresh:
                    file.unlink(missing_ok=True)
                    # Of SQLite, when a signal comes while it writes.
                    file.with_name(f"{file.name}-journal").unlink(missing_ok=True)

        with temporary(forget), closing(Journal(path, made_by)) as opening:
            journal = opening
            yield journal
