"""The flag that says where a sweep, or a report, goes."""

from absl import flags

flags.DEFINE_string(
    "out", None, "directory of the results (default, of a sweep: results/…)"
)
