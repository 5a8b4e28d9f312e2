"""What a job that is run as a file finds: python experiments/sweep.py.

Python then looks into this directory first, for `experiments` too. The package is put
in the place of this module.
"""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
del sys.modules[__name__]
importlib.import_module("experiments")
