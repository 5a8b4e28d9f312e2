"""Paths that flags name: texts to read, directories to write."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl.flags import FlagValues

from experiments.values import comma_hint
from jaxsparse.pruning import Recipe
from jaxsparse.types import InputError


def text_files(flag: str, names: Sequence[str]) -> list[Path]:
    """The files that a flag names; of a directory its .txt files, sorted by name."""
    if not names:
        raise InputError(f"--{flag} is missing; name text files or their directory")
    found: list[Path] = []
    for name in names:
        if not name:
            raise InputError(f"--{flag}: an entry is empty; name a file or a directory")
        path = Path(os.path.expanduser(name))
        if not path.exists():
            raise InputError(
                f"--{flag}={name}: no such file or directory{comma_hint(names, name)}"
            )
        inside = [path]
        if path.is_dir():
            texts = (file for file in path.iterdir() if file.suffix.lower() == ".txt")
            inside = sorted(texts)
        if not inside:
            raise InputError(f"--{flag}={name}: no .txt file in that directory")
        found += inside
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"--{flag}: the file name {str(path)!r} is not UTF-8; rename it"
            ) from None
    return found


BUNDLED_TEXT = "bundled"


def texts(values: FlagValues) -> tuple[str, ...]:
    """The files of --text, and perhaps "bundled"; what else there is to say of them
    needs some."""
    if values["text"].present:
        files = [name for name in values.text if name != BUNDLED_TEXT]
        bundled = (BUNDLED_TEXT,) if BUNDLED_TEXT in values.text else ()
        if bundled and not files:
            return bundled
        return *bundled, *map(str, text_files("text", files))
    for name in ("text_tokens", "text_details"):
        if values[name].value:
            raise InputError(f"--{name} goes with --text; name text files")
    return ()


OF_CALIBRATION = ("calibration_rows", "calibration_tokens", "allow_overlap")


def calibration(
    values: FlagValues,
    recipes: Sequence[Recipe],
    goes_with: Sequence[str] = OF_CALIBRATION,
) -> str | None:
    """--calibration; None where no recipe is calibrated and nobody asks for errors of
    reconstruction: then there is nothing else to say of rows, in the flags that go with
    it."""
    named = values.calibration
    if named is None and any(recipe.calibrated for recipe in recipes):
        return "bundled"
    if named is not None and named not in ("bundled", "train"):
        text_files("calibration", [named])
    for name in goes_with:
        if named is None and name in values and values[name].present:
            raise InputError(
                f"--{name} goes with --calibration, or a method that is calibrated"
            )
    return named


def read_text(flag: str, path: Path) -> str:
    """A text file that a flag names, as it stands."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"--{flag}={path}: cannot be read ({error.strerror}); name a text file"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"--{flag}={path}: byte {error.start + 1} of the file is not UTF-8; "
            "convert the file to UTF-8"
        ) from None
    if not text.strip():
        raise InputError(f"--{flag}={path}: the file is empty; name one with a text")
    return text


LONGEST_NAME = 200  # bytes; while it is written its name is somewhat longer


def new_directory(flag: str, name: str | None) -> Path:
    """A directory that a flag names and that does not exist yet, but could."""
    if not name:
        raise InputError(f"--{flag} is missing; name the directory to write")
    directory = Path(os.path.abspath(os.path.expanduser(name)))
    if os.path.lexists(directory):
        raise InputError(f"--{flag}={name}: exists already; name a new directory")
    check_writable(flag, directory)
    return directory


def new_file(flag: str, name: str | None) -> Path:
    """A file that a flag names, to be written or replaced."""
    if not name:
        raise InputError(f"--{flag} is empty; name a file to write")
    file = Path(os.path.expanduser(name))
    check_writable(flag, file.parent)
    if file.is_dir():
        raise InputError(f"--{flag}={file}: a directory; name a file")
    return file


def check_writable(flag: str, directory: Path) -> None:
    """Raises InputError unless the directory can be written, or be made. It is not made
    here: there is nothing to write yet."""
    nearest = next(  # a link to nowhere is there, too
        path for path in (directory, *directory.absolute().parents)
        if os.path.lexists(path)
    )  # fmt: skip
    if not nearest.is_dir():
        raise InputError(f"--{flag}={directory}: {nearest} is a file; name a directory")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"--{flag}={directory}: cannot write in {nearest} ({error.strerror}); "
            "name another directory"
        ) from None
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in directory.parts):
        raise InputError(f"--{flag}={directory}: the name is too long")


def check_apart(**directories: Path) -> None:
    """Raises InputError where one of two directories, by their flags, lies in the
    other."""
    (first, one), (second, other) = directories.items()
    one, other = one.resolve(), other.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise InputError(
            f"--{first}={directories[first]} and --{second}={directories[second]}: one "
            "lies in the other; name another directory"
        )
