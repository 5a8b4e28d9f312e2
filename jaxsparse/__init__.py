"""How much of a language model can be cut before it stops understanding a story?"""

from jaxsparse.model import Model, load_model
from jaxsparse.types import InputError

__all__ = ["InputError", "Model", "load_model"]
