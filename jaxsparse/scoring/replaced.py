"""The ELECTRA discriminator: does the option look like what the author wrote?"""

from typing import Any

from jaxsparse.scoring import masked
from jaxsparse.scoring.encoded import Encoded
from jaxsparse.scoring.passage import Options, Passage


def cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options in the blank; scored at the option's pieces."""

    def spans(dropped: int, options: Options) -> list[masked.Span]:
        before, after = passage.around_blank(dropped)
        return [
            (f"{before}{option}{after}", len(before), len(before) + len(option))
            for option in options
        ]

    return masked.encode_whole_rows(passage, tokenizer, config, spans)


append = masked.append
