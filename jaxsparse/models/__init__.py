"""The families of models, and how each tells itself to the rest of the house."""

from jaxsparse.models import electra, gpt2, t5
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

FAMILIES: dict[str, Family] = {
    family.name: family for family in (gpt2.FAMILY, electra.FAMILY, t5.FAMILY)
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
