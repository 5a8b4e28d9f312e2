"""What questions became when they were read, kept beside the journal: not read twice.

Nothing depends on the file. What it lacks is read again, and so is everything where it
is damaged, or cannot be opened or written.
"""

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jaxsparse.cbt.questions import Question
from jaxsparse.database import APPLICATION, Database
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError, Unusable

if TYPE_CHECKING:
    from jaxsparse.scoring import Encoded, Reader

NAME = "reading.sqlite"
FORMAT = 1  # raised when the tables change

_TABLES = (
    """CREATE TABLE readings (
    conditions TEXT NOT NULL,     -- digest of all that decides how questions are read
    question TEXT NOT NULL,       -- digest of its content
    content BLOB NOT NULL,
    crc INTEGER NOT NULL,         -- of question and content, against damage
    UNIQUE (conditions, question)
)""",
)


class Readings:
    """Readings by conditions and question; without a path, or with a file that is of no
    use, none are known and none kept."""

    def __init__(self, path: Path | None = None):
        self.trouble = ""  # what is wrong with the file, in a line
        self._path = path
        self._database: Database | None = None

    def close(self) -> None:
        if self._database is not None:
            self._database.file.close()
            self._database = None

    def read(
        self,
        reader: "Reader",
        questions: Sequence[Question],
        progress: Progress = NOBODY,
    ) -> "tuple[Encoded, ...]":
        """Every question in tokens: as it is known, or read and then kept.

        Raises:
            InputError: the model cannot read one, or lacks one of its tokens.
        """
        conditions = json.dumps(reader.conditions, sort_keys=True)
        key = hashlib.sha256(conditions.encode()).hexdigest()
        known = self._known(key)
        new = reader.all(q for q in questions if q.digest not in known)
        encoded: list[Encoded] = []
        kept: dict[str, bytes] = {}
        for question in questions:
            content = known.get(question.digest)
            try:
                found = reader.recall(question, content) if content else next(new)
            except Unusable as reason:
                raise InputError(
                    f"{question.source or question.id}: {reason}; leave the question "
                    "out"
                ) from None
            if not content:
                kept[question.digest] = found.to_bytes()
            encoded.append(found)
            progress.done(1)
        self._keep(key, kept)
        if self.trouble:
            progress.note(self.trouble)
            self.trouble = ""
        return tuple(encoded)

    def _known(self, key: str) -> dict[str, bytes]:
        """What is known under some conditions, by the questions' digests."""
        if self._path is None or not os.path.lexists(self._path):
            return {}
        with self._left_out_if_faulty():
            rows = self._opened().file.execute(
                "SELECT question, content, crc FROM readings WHERE conditions = ?",
                (key,),
            )
            return {
                question: content
                for question, content, crc in rows
                if _is_sound(question, content, crc)
            }
        return {}

    def _keep(self, key: str, contents: Mapping[str, bytes]) -> None:
        """Keeps readings, all or none."""
        if self._path is None or not contents:
            return
        rows = [
            (key, question, content, _checksum(question, content))
            for question, content in contents.items()
        ]
        with self._left_out_if_faulty():
            database = self._opened()
            with database.transaction():
                database.file.executemany(
                    "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)", rows
                )

    def _opened(self) -> Database:
        if self._database is None:
            if self._path and os.path.lexists(self._path) and not self._path.is_file():
                raise InputError(f"{self._path} is no file")
            self._database = Database(self._path, _TABLES, FORMAT)
        return self._database

    @contextmanager
    def _left_out_if_faulty(self) -> Iterator[None]:
        """A file that fails is made anew if it is ours, and else not used again."""
        try:
            yield
        except (InputError, sqlite3.Error, UnicodeDecodeError) as error:
            self.close()
            what, *_ = " ".join(str(error).split()).split("; ")  # without a remedy
            if self._path is None or not _removed(self._path):
                self._path = None
            then = "it is made anew" if self._path else "questions are read without it"
            self.trouble = f"{NAME} is of no use ({what}); {then}"


def _removed(path: Path) -> bool:
    """Removes a file of ours; says whether it is gone."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            # Where the header of an SQLite file names its program.
            if file.read(72)[68:] != APPLICATION.to_bytes(4):
                return False
        path.unlink()
    except OSError:
        return False
    return True


def _checksum(question: str, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(question.encode()))


def _is_sound(question: object, content: object, crc: object) -> bool:
    return (
        isinstance(question, str)
        and isinstance(content, bytes)
        and _checksum(question, content) == crc
    )
