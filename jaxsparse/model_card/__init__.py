"""The model card of an exported directory: README.md, as the Hugging Face hub shows it.

It says what the model is, how it was made and how it is loaded. card: all of it;
sections: what is said of the model; loading: how it is loaded, by format; markdown:
tables, and texts that are somebody else's.
"""

from jaxsparse.model_card.card import NAME, text
from jaxsparse.model_card.sections import TrainedBack, measured

__all__ = ["NAME", "TrainedBack", "measured", "text"]
