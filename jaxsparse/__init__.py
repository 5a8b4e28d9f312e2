"""How much of a language model can be cut before it stops understanding a story?"""

import importlib

_HOMES = {
    "InputError": ("jaxsparse.types", "InputError"),
    "Model": ("jaxsparse.model", "Model"),
    "Point": ("jaxsparse.points", "Point"),
    "Presentation": ("jaxsparse.types", "Presentation"),
    "Question": ("jaxsparse.cbt", "Question"),
    "Recipe": ("jaxsparse.pruning", "Recipe"),
    "Training": ("jaxsparse.training.training", "Training"),
    "Variant": ("jaxsparse.variants", "Variant"),
    "Calibration": ("jaxsparse.calibration", "Calibration"),
    "calibrate": ("jaxsparse.calibration", "calibrate"),
    "evaluate": ("jaxsparse.sweep", "evaluate"),
    "finetune": ("jaxsparse.finetuning", "finetune"),
    "largest_affordable": ("jaxsparse.affordable", "largest_affordable"),
    "load_model": ("jaxsparse.model", "load_model"),
    "prune": ("jaxsparse.one_shot", "prune"),
    "read": ("jaxsparse.cbt", "read_questions"),
    "save": ("jaxsparse.variants", "save"),
    "sweep": ("jaxsparse.sweep", "sweep"),
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Imports what is asked for when it is: most of it takes JAX, and seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own_name = _HOMES[name]
    value = getattr(importlib.import_module(module), own_name)
    globals()[name] = value
    return value
