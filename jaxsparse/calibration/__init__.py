"""Rows of text, and what they tell of every prunable matrix."""

from jaxsparse.calibration.dense import DenseStatistics, dense_statistics
from jaxsparse.calibration.gradients import gradients
from jaxsparse.calibration.rows import Calibration, bundled, calibrate
from jaxsparse.calibration.walk import Stage, Walk

__all__ = [
    "Calibration",
    "DenseStatistics",
    "Stage",
    "Walk",
    "bundled",
    "calibrate",
    "dense_statistics",
    "gradients",
]
