"""What has been scored, kept in one SQLite file: no question is scored twice.

A batch is one committed transaction, so that a run which is killed has lost the batch
in flight and nothing else. An answer is found again by all that decides it: the content
of weights and question, how the one was pruned and the other put (`Conditions`). Where
it was scored decides nothing; `sessions` tell it of each answer.
"""

import hashlib
import json
import os
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from jaxsparse.types import InputError
from jaxsparse.whole import held, made, temporary

NAME = "journal.sqlite"
FORMAT = 1  # raised when older programs could no longer read what newer ones write
APPLICATION = int.from_bytes(b"jxsp")  # how SQLite files tell whose they are

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
_REMEDY = "move it away, or name another directory with `out`"


@dataclass(frozen=True)
class Conditions:
    """All that decides what a model says to a question, but for the question.

    Of a dense model, which no recipe made, `method` is "dense" and the rest None.
    """

    weights: str  # digest of the model's content
    method: str
    pattern: str | None
    scope: str | None
    prunable: str | None
    sparsity: float
    seed: int | None
    calibration: str | None  # digest of the text
    protocol: str
    context: str
    detokenize: str
    dtype: str
    scoring_revision: int
    pruning_revision: int | None

    @property
    def content(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


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
        self.path = path
        self._made_by = json.dumps(made_by or {}, sort_keys=True)
        self._session: int | None = None
        self._read: Counter[int] = Counter()  # session -> its answers read
        self._ids: dict[Conditions, int] = {}
        self.recorded = 0
        with self._explained():
            self._file = sqlite3.connect(
                path or ":memory:", timeout=60, isolation_level=None
            )
            # Damaged text is found out by its checksum.
            self._file.text_factory = lambda text: text.decode(errors="replace")
            try:
                self._open()
            except BaseException:
                self._file.close()
                raise

    def _open(self) -> None:
        """Makes the tables in a new file; refuses one that is not ours."""
        rows = self._file.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")
        tables = {sql for (sql,) in rows}
        (application,) = self._one("PRAGMA application_id")
        (version,) = self._one("PRAGMA user_version")
        if not tables and not application:
            with self._transaction():
                for table in _TABLES:
                    self._file.execute(table)
                self._file.execute(f"PRAGMA application_id = {APPLICATION}")
                self._file.execute(f"PRAGMA user_version = {FORMAT}")
            return
        if application != APPLICATION:
            raise InputError(
                f"{self.path} is an SQLite file of another program; {_REMEDY}"
            )
        if version > FORMAT:
            raise InputError(
                f"{self.path} was written by a newer jaxsparse (format {version}, this "
                f"one reads up to {FORMAT}); update jaxsparse, or {_REMEDY}"
            )
        (verdict,) = self._one("PRAGMA quick_check(1)")
        if verdict != "ok" or version != FORMAT or tables != set(_TABLES):
            raise self._damaged(verdict if verdict != "ok" else "other tables")

    def close(self) -> None:
        self._file.close()

    def unknown(
        self, conditions: Conditions, questions: Collection[str]
    ) -> frozenset[str]:
        """Those of the questions, by digest, that have no answer yet."""
        with self._explained():
            rows = self._file.execute(
                "SELECT question FROM answers WHERE conditions = ?",
                (self._find(conditions),),
            )
            return frozenset(questions) - {question for (question,) in rows}

    def answers(
        self, conditions: Conditions, questions: Collection[str]
    ) -> dict[str, Answer]:
        """The answers to those of the questions that have one, by their digests."""
        asked, answers = frozenset(questions), {}
        with self._explained():
            rows = self._file.execute(
                "SELECT question, scores, option_tokens, seconds, crc, session "
                "FROM answers WHERE conditions = ?",
                (self._find(conditions),),
            )
            for question, scores, tokens, seconds, crc, session in rows:
                if question not in asked:
                    continue
                if not _is_sound(question, scores, tokens, seconds, crc):
                    raise self._damaged(f"the answer to {question[:8]}… is not sound")
                answers[question] = Answer(
                    np.frombuffer(scores, "<f4").astype(np.float32),
                    np.frombuffer(tokens, "<i4").astype(np.int32),
                    seconds,
                )
                self._read[session] += 1
        return answers

    def record(self, answers: Iterable[tuple[Conditions, str, Answer]]) -> None:
        """Commits the answers of a batch, all or none. The first answer to a question
        stays: one that is asked twice in a run has one answer."""
        with self._explained(), self._transaction():
            for conditions, question, answer in answers:
                row = (
                    question,
                    answer.scores.astype("<f4").tobytes(),
                    answer.option_tokens.astype("<i4").tobytes(),
                    answer.seconds,
                )
                added = self._file.execute(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        self._find_or_make(conditions),
                        *row,
                        _checksum(*row),
                        self._own_session(),
                    ),
                )
                self.recorded += added.rowcount

    @property
    def answered(self) -> int:
        """How many answers were read."""
        return self._read.total()

    def sources(self) -> list[dict[str, Any]]:
        """Of all answers read so far: what made them, and how many each made."""
        with self._explained():
            rows = self._file.execute("SELECT id, made_by FROM sessions ORDER BY id")
            try:
                return [
                    {**json.loads(made_by), "answers": self._read[session]}
                    for session, made_by in rows
                    if session in self._read
                ]
            except (ValueError, TypeError):
                raise self._damaged("its sessions are no JSON") from None

    def _find(self, conditions: Conditions) -> int | None:
        """The row of these conditions, if there is one."""
        if conditions not in self._ids:
            row = self._file.execute(
                "SELECT id FROM conditions WHERE digest = ?", (conditions.digest,)
            ).fetchone()
            if row is None:
                return None
            (self._ids[conditions],) = row
        return self._ids[conditions]

    def _find_or_make(self, conditions: Conditions) -> int:
        found = self._find(conditions)
        if found is None:
            made = self._file.execute(
                "INSERT INTO conditions (digest, content) VALUES (?, ?)",
                (conditions.digest, conditions.content),
            )
            found = self._ids[conditions] = made.lastrowid or 0
        return found

    def _own_session(self) -> int:
        if self._session is None:
            made = self._file.execute(
                "INSERT INTO sessions (made_by) VALUES (?)", (self._made_by,)
            )
            self._session = made.lastrowid or 0
        return self._session

    def _one(self, query: str) -> tuple:
        return self._file.execute(query).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._file.execute("ROLLBACK")
            self._ids, self._session = {}, None  # rows that are gone again
            raise

    def _damaged(self, how: object) -> InputError:
        return InputError(f"{self.path}: {_DAMAGED.format(_in_one_line(how))}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors in one line, with what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _EXPLANATIONS:
                raise
            said = _EXPLANATIONS[code].format(_in_one_line(error))
            raise InputError(f"{self.path}: {said}") from error


def _checksum(question: str, scores: bytes, tokens: bytes, seconds: float) -> int:
    content = question.encode() + scores + tokens + struct.pack("<d", seconds)
    return zlib.crc32(content)


def _is_sound(question: Any, scores: Any, tokens: Any, seconds: Any, crc: Any) -> bool:
    """Whether a row is as it was written: its checksum holds, and so its types."""
    try:
        return _checksum(question, scores, tokens, seconds) == crc
    except (TypeError, AttributeError, struct.error):
        return False


def _in_one_line(said: object) -> str:
    return " ".join(str(said).split())


_GOES_ON = "repeat the command, which goes on from the last batch that was committed"
_FULL = f"{{}}: there is no room left for it; make room and {_GOES_ON}"
_FAILED = f"{{}}: a quota is reached, or the disk fails; mend that and {_GOES_ON}"
_DAMAGED = f"damaged, or no SQLite file ({{}}); {_REMEDY}"
_UNWRITABLE = f"cannot be opened and written ({{}}); {_REMEDY}"
_LOCKED = "{}: another program holds it; close that, and repeat the command"
_EXPLANATIONS = {  # by SQLite's primary result code
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FAILED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
}


@contextmanager
def opened(directory: Path, made_by: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a directory, which is made where need be and held meanwhile.

    If that ends before anything is recorded, what was made is taken away again.

    Raises:
        InputError: another process holds the directory; the file is not ours to use.
    """
    path = directory / NAME
    with made(directory), held(directory):
        new = not os.path.lexists(path) or (
            path.is_file() and not path.is_symlink() and path.stat().st_size == 0
        )
        journal = None

        def forget() -> None:
            if new and not (journal and journal.recorded):
                path.unlink(missing_ok=True)

        with temporary(forget), closing(Journal(path, made_by)) as opening:
            journal = opening
            yield journal
