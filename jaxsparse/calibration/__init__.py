"""Rows of text, and what they tell of every prunable matrix."""

from jaxsparse.calibration.rows import Calibration, calibrate
from jaxsparse.calibration.walk import Stage, Walk

__all__ = ["Calibration", "Stage", "Walk", "calibrate"]
