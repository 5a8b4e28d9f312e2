"""The families of models, and how each tells itself to the rest of the house."""

from jaxsparse.models import bert, electra, gpt2, gpt_neox, llama, opt, roberta, t5
from jaxsparse.models.family import (
    PRUNABLE,
    Config,
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Structure,
    Sublayer,
    Tensors,
    Units,
)
from jaxsparse.models.operations import Operations

_MODULES = (gpt2, electra, t5, llama, gpt_neox, opt, bert, roberta)

FAMILIES: dict[str, Family] = {  # by `model_type` of config.json
    model_type: module.FAMILY
    for module in _MODULES
    for model_type in module.FAMILY.model_types or (module.FAMILY.name,)
}

__all__ = [
    "FAMILIES",
    "PRUNABLE",
    "Config",
    "Family",
    "Operations",
    "Prunable",
    "Removable",
    "Size",
    "Stack",
    "Structure",
    "Sublayer",
    "Tensors",
    "Units",
]
