"""What windows of running text have cost, kept beside the journal: none is computed
twice. A file of its own, so that every version reads the journal's.

A batch of windows is one committed transaction. They are found again by all that
decides them: weights, variant, text and how it was cut (`key`), and their number.
"""

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jaxsparse.database import Database

NAME = "text.sqlite"
FORMAT = 1  # raised when the tables change

_TABLES = (
    """CREATE TABLE windows (
    conditions TEXT NOT NULL,     -- digest of all that decides the nats
    window INTEGER NOT NULL,      -- its number in the text
    nats BLOB NOT NULL,           -- float32, little-endian, one for each target
    crc INTEGER NOT NULL,         -- of the three before, against damage
    PRIMARY KEY (conditions, window)
) WITHOUT ROWID""",
)

Nats = Float32[np.ndarray, " _"]


class Losses:
    """The losses so far, in a file that is made with the first, or in memory.

    Raises:
        InputError: from any method, when the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None):
        self._path = path
        self._opened: Database | None = None
        self.recorded = 0

    @property
    def _database(self) -> Database:
        if self._opened is None:
            self._opened = Database(self._path, _TABLES, FORMAT)
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.file.close()
            self._opened = None

    def windows(self, key: str) -> frozenset[int]:
        """The numbers of the windows that are known under a key."""
        database = self._database
        with database.explained():
            rows = database.file.execute(
                "SELECT window FROM windows WHERE conditions = ?", (_digest(key),)
            )
            return frozenset(window for (window,) in rows)

    def nats(self, key: str) -> dict[int, Nats]:
        """What is known under a key, by the numbers of the windows."""
        database, conditions, found = self._database, _digest(key), {}
        with database.explained():
            rows = database.file.execute(
                "SELECT window, nats, crc FROM windows WHERE conditions = ?",
                (conditions,),
            )
            for window, nats, crc in rows:
                if _checksum(conditions, window, nats) != crc:
                    raise database.damaged(f"window {window} is not sound")
                values = np.frombuffer(nats, "<f4")
                found[window] = values.astype(np.float32, copy=False)
        return found

    def record(self, losses: Iterable[tuple[str, int, Nats]]) -> None:
        """Commits the losses of a batch, by key and window, all or none; what is known
        already stays."""
        rows = []
        for key, window, nats in losses:
            content = _digest(key), window, nats.astype("<f4").tobytes()
            rows.append((*content, _checksum(*content)))
        database = self._database
        with database.explained(), database.transaction():
            added = database.file.executemany(
                "INSERT OR IGNORE INTO windows VALUES (?, ?, ?, ?)", rows
            )
            self.recorded += max(added.rowcount, 0)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(conditions: str, window: object, nats: object) -> int | None:
    """None of what is not of the types that were written."""
    if not (isinstance(window, int) and isinstance(nats, bytes)):
        return None
    return zlib.crc32(f"{conditions} {window} ".encode() + nats)
