"""A Progress that keeps what it is told."""

from contextlib import contextmanager

from jaxsparse.progress import Progress


class Told(Progress):
    """Keeps stages, what was done of each, and all that was told, in order."""

    def __init__(self):
        self.stages = []  # (name, total, unit, patient)
        self.counts = []  # of each stage
        self.told = []  # (name, total, known) of a stage, the name of a point, or done
        self.lines = []  # notes, and what the stage waited for

    def stage(self, name, total=0, known=0, unit="questions", patient=False):
        self.stages.append((name, total, unit, patient))
        self.counts.append(0)
        self.told.append((name, total, known))
        self.lines.append(f"{name}: {known} of {total} {unit}")

    def point(self, name):
        self.told.append(name)

    def done(self, number):
        if self.counts:
            self.counts[-1] += number
        self.told.append(number)
        self.lines.append(f"{number} done")

    @contextmanager
    def busy(self, what):
        self.lines.append(what)
        yield

    def note(self, line):
        self.lines.append(line)
