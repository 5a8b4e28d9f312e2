"""What a flag's value may be, and what is said in plain words where it is not."""

import csv
import glob
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

TRUE, FALSE = ("true", "t", "1"), ("false", "f", "0")


class Text(flags.ArgumentParser):
    """Any text. Other kinds of values say how a text becomes one."""

    boolean = False

    def parse(self, argument: Any) -> Any:
        return self.read(argument) if isinstance(argument, str) else argument

    def read(self, text: str) -> Any:
        """Raises ValueError with what is wanted instead."""
        return text


class YesNo(Text):
    boolean = True

    def read(self, text: str) -> bool:
        if text.lower() in (*TRUE, *FALSE):
            return text.lower() in TRUE
        raise ValueError("neither true nor false")


class Choice(Text):
    def __init__(self, *values: str):
        self.values = values

    def read(self, text: str) -> str:
        if text not in self.values:
            between = " | " if "," in "".join(self.values) else ", "
            raise ValueError(f"choose from {between.join(self.values)}")
        return text


class Number(Text):
    """A fraction or a whole number, from `least` to `most`."""

    convert, name = float, "a number"

    def __init__(self, least: int, most: int | None = None):
        self.least, self.most = least, most

    def read(self, text: str) -> float:
        try:
            number = self.convert(text)
        except ValueError:
            number = None
        if number is None or not self.least <= number <= (self.most or float("inf")):
            to = "on" if self.most is None else f"to {self.most}"
            raise ValueError(f"{self.name} is wanted, from {self.least} {to}")
        return number


class Integer(Number):
    convert, name = int, "a whole number"


class Names(Text):
    """A comma list; a name with a comma stands in double quotes."""

    def read(self, text: str) -> list[str]:
        try:
            (names,) = csv.reader([text], strict=True) if text else ([],)
        except csv.Error as error:
            raise ValueError(f"not a list with commas ({error})") from None
        return [name.strip() for name in names]


class Paths(Names):
    """A comma list in which a path that exists is taken whole, commas and all."""

    def read(self, text: str) -> list[str]:
        if not text or _exists([text]):
            return [text] if text else []
        if '"' in text:
            return super().read(text)
        parts, names = text.split(","), []
        while parts:
            # The longest of those that exist, else what stands before the next comma.
            lengths = range(len(parts), 1, -1)
            length = next((n for n in lengths if _exists(parts[:n])), 1)
            names.append(",".join(parts[:length]).strip())
            del parts[:length]
        return names


def _exists(parts: Sequence[str]) -> bool:
    return os.path.exists(os.path.expanduser(",".join(parts).strip()))


def comma_hint(names: Sequence[str], missing: str, hub: bool = False) -> str:
    """What to add to an error about one of several names that is not there: perhaps it
    is a part of a path. `hub`: it may as well be a name of something elsewhere."""
    path = os.path.expanduser(missing)
    by_path = not hub or any(name.startswith((".", "/", "~")) for name in names)
    begun = glob.glob(f"{glob.escape(path)},*")
    if len(names) < 2 or os.path.exists(path) or not (by_path or begun):
        return ""
    return (
        f" (commas separate names: {len(names)} were read; an existing path that holds "
        "a comma is taken whole)"
    )
