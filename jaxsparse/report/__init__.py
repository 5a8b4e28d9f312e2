"""What a run leaves behind for people and for programs, and what several make together.

labels: what curves are called; columns: of the files; summary, recovery, statistics:
what the points show; claims, trained: the same in sentences; losses: what is lost on
running text; reconstruction: how far outputs of matrices are from the dense ones';
repeats: points that are the same; names: what several runs call alike; cells, tables,
costs, original, text: for readers; lines, curves: what plots show; pictures, text_plot,
timing, beside: how it is drawn; charts, sections, about, page, explorer: the page;
files, reading: to disk and back; merge: several runs.
"""

from jaxsparse.report.about import calibrated_on
from jaxsparse.report.explorer import MOST_QUESTIONS
from jaxsparse.report.files import FILES, check_replaceable, files_of, write
from jaxsparse.report.merge import MERGED_FILES, JointRuns, merge, write_merged
from jaxsparse.report.reading import RunFiles, read
from jaxsparse.report.statistics import Statistics, statistics
from jaxsparse.report.text import terminal

__all__ = [
    "FILES",
    "MERGED_FILES",
    "MOST_QUESTIONS",
    "JointRuns",
    "RunFiles",
    "Statistics",
    "calibrated_on",
    "check_replaceable",
    "files_of",
    "merge",
    "read",
    "statistics",
    "terminal",
    "write",
    "write_merged",
]
