"""From a question to the scores of its options.

`encode` turns a question into rows of tokens on the host, `plan` and `batch` turn
questions into batches of few shapes, `option_scores` runs on the device. One file for
each way of reading a question: causal (GPT-2), masked (ELECTRA's generator and
discriminator), seq2seq (T5).
"""

from jaxsparse.scoring.batching import BatchPlan, BatchShape, padding, plan
from jaxsparse.scoring.encoded import Encoded
from jaxsparse.scoring.reading import (
    Reader,
    check_tokenizer,
    check_tokens,
    check_usable,
    encode,
    encode_all,
)
from jaxsparse.scoring.scores import REVISION, Batch, batch, option_scores
from jaxsparse.types import CONTEXTS, PROTOCOLS, Unusable

__all__ = [
    "CONTEXTS",
    "PROTOCOLS",
    "REVISION",
    "Batch",
    "BatchPlan",
    "BatchShape",
    "Encoded",
    "Reader",
    "Unusable",
    "batch",
    "check_tokenizer",
    "check_tokens",
    "check_usable",
    "encode",
    "encode_all",
    "option_scores",
    "padding",
    "plan",
]
