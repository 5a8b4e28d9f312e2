"""What long work tells of itself; experiments/ shows it."""

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Is told how far some work is; this one tells nobody."""

    def stage(
        self,
        name: str,
        total: int = 0,
        known: int = 0,
        unit: str = "questions",
        patient: bool = False,
    ) -> None:
        """The next stage: so much of it, of which some is known already.

        One that is `patient` may be over in a moment, and then needs no line.
        """

    def point(self, name: str) -> None:
        """The part of the stage, such as points of a curve, that begins now."""

    def done(self, number: int) -> None:
        """So many more are done."""

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """What keeps the stage from going on meanwhile, such as compiling."""
        yield

    def measured(self, what: str) -> None:
        """What was measured last, to be shown beside how far things are."""

    def note(self, line: str) -> None:
        """A line that stays."""


NOBODY = Progress()  # who is told where nobody asks to be
