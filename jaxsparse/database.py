"""An SQLite file of ours: made, recognised, checked, and its errors in one line."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxsparse.types import InputError

APPLICATION = int.from_bytes(b"jxsp")  # how SQLite files tell whose they are


class Database:
    """A file of given tables, or without a path the same in memory.

    Raises:
        InputError: from `explained`, when the file cannot be read or written, is
            damaged, or not ours.
    """

    def __init__(self, path: Path | None, tables: Sequence[str], version: int):
        self.path = path
        with self.explained():
            self.file = sqlite3.connect(
                path or ":memory:", timeout=60, isolation_level=None
            )
            # Damaged text is found out by its checksum.
            self.file.text_factory = lambda text: text.decode(errors="replace")
            try:
                self._open(tables, version)
            except BaseException:
                self.file.close()
                raise

    def _open(self, tables: Sequence[str], newest: int) -> None:
        """Makes the tables in a new file; refuses one that is not ours."""
        rows = self.file.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")
        there = {sql for (sql,) in rows}
        application, version = (
            self.file.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        )
        if not there and not application:
            with self.transaction():
                for table in tables:
                    self.file.execute(table)
                self.file.execute(f"PRAGMA application_id = {APPLICATION}")
                self.file.execute(f"PRAGMA user_version = {newest}")
            return
        if application != APPLICATION:
            raise InputError(
                f"{self.path} is an SQLite file of another program; {_REMEDY}"
            )
        if version > newest:
            raise InputError(
                f"{self.path} was written by a newer jaxsparse (format {version}, this "
                f"one reads up to {newest}); update jaxsparse, or {_REMEDY}"
            )
        (verdict,) = self.file.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok" or version != newest or there != set(tables):
            raise self.damaged(verdict if verdict != "ok" else "other tables")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within, or nothing of it."""
        self.file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self.file.execute("ROLLBACK")
            raise

    def damaged(self, how: object) -> InputError:
        return InputError(f"{self.path}: {_DAMAGED.format(_in_one_line(how))}")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """SQLite's errors in one line, with what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _EXPLANATIONS:
                raise
            said = _EXPLANATIONS[code].format(_in_one_line(error))
            raise InputError(f"{self.path}: {said}") from error
        except UnicodeDecodeError as error:  # SQLite quotes what it found in the file
            raise self.damaged(error.reason) from error


def _in_one_line(said: object) -> str:
    return " ".join(str(said).split())


_REMEDY = "move it away, or name another directory with `out`"
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
