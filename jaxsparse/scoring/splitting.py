"""Whether a tokenizer reads a text word by word, as its parts say.

It does if it splits every text at its spaces, and if nothing that happens to a word
depends on what stands beyond the space. Each part of the pipeline is known to keep that
or it is not; of one that is not known nothing is assumed.
"""

import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxsparse.scoring.tokens import token_ids

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

Node = Mapping[str, Any]  # a part, as tokenizer.json has it
Known = Mapping[str, Callable[[Node], bool]]


def _always(node: Node) -> bool:
    return True


def _replaces_no_single_space(node: Node) -> bool:
    """T5's turns several spaces into one mark; other texts must hold no space, and
    leave something."""
    pattern, content = node["pattern"], node["content"]
    if pattern == {"Regex": " {2,}"}:
        return True
    text = pattern.get("String", "")
    if not text or not content:
        return False
    return not _has_space(text) and all(map(is_plain, content))


# What changes a character by itself or with the marks behind it: a space has none.
_NORMALIZERS: Known = {
    **dict.fromkeys(("BertNormalizer", "Lowercase", "StripAccents"), _always),
    **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"), _always),
    "Strip": lambda node: not node["strip_left"],  # words begin with a space
    "Replace": _replaces_no_single_space,
}
# The patterns of Llama 3 and of Qwen 2 and 3: no alternative has a space behind what is
# no space, and none but that of spaces at the end of a text looks ahead.
_SPACE_FIRST = tuple(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + numbers
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for numbers in (r"\p{N}{1,3}", r"\p{N}")
)


def _splits_before_spaces(node: Node) -> bool:
    alike = node["behavior"] == "Isolated" and not node["invert"]
    return alike and node["pattern"].get("Regex") in _SPACE_FIRST


# What splits at every space, and the other splits of which depend on a word alone.
_AT_SPACES: Known = {
    "Split": _splits_before_spaces,
    **dict.fromkeys(("BertPreTokenizer", "WhitespaceSplit", "Whitespace"), _always),
    "ByteLevel": lambda node: node.get("use_regex", True),
    "Metaspace": lambda node: (
        node.get("split", True) and node.get("prepend_scheme") in ("always", "never")
    ),
}
# What splits within words, by their own characters; of these, what may come before the
# split at spaces, which it leaves as they are.
_WITHIN_WORDS: Known = dict.fromkeys(("Digits", "Punctuation", "ByteLevel"), _always)
_BEFORE: Known = dict.fromkeys(("Digits", "Punctuation"), _always)
_DROP_SPACES = ("BertPreTokenizer", "WhitespaceSplit", "Whitespace")
# A text's first token covers other characters where a space was put before it and taken
# off again; by words, there are many first ones.
_PROCESSORS: Known = {
    **dict.fromkeys(
        ("ByteLevel", "RobertaProcessing"),
        lambda node: not (node["trim_offsets"] and node["add_prefix_space"]),
    ),
    "BertProcessing": _always,
    "TemplateProcessing": lambda node: (
        sum("Sequence" in piece for piece in node["single"]) == 1
    ),
}
_PROBE = (
    "Ned said, \"Isn't it 3,000 -- or 1.5?\" (So I'd have thought; we'll see!) Zoë's",
    "un-heard-of `` A ca n't , '' 12 B-c's -LRB- x -RRB- ... THE END",
)


def splits_at_spaces(tokenizer: "PreTrainedTokenizerFast") -> bool:
    """Whether the tokens of a text are those of its words, each with the space before
    it; words that begin and end with `is_plain` characters, between single spaces.

    What the parts say is held against a probe: they may mean something else in another
    version of the library.
    """
    try:
        return _parts_say_so(tokenizer.backend_tokenizer) and all(
            _reads_word_by_word(tokenizer, text) for text in _PROBE
        )
    except Exception:  # of a part written in Python, or of a token that is missing
        return False


def is_plain(character: str) -> bool:
    """Whether a character is sure to stay beside a space, and not to become one."""
    if "!" <= character <= "~" or character in "“”‘’—–…":
        return True
    return all(map(str.isalnum, unicodedata.normalize("NFKC", character)))


def _parts_say_so(backend: "tokenizers.Tokenizer") -> bool:
    normalizers = list(_nodes(backend.normalizer))
    splitters = list(_nodes(backend.pre_tokenizer))
    processors = list(_nodes(backend.post_processor))
    return (
        all(_holds(_NORMALIZERS, node) for node in normalizers)
        and _split_at_spaces(splitters)
        and not (_adds_spaces(normalizers) and _minds_spaces(normalizers, splitters))
        and all(_holds(_PROCESSORS, node) for node in processors)
        and not any(_has_space(text) for text in _added(backend))
    )


def _split_at_spaces(splitters: Sequence[Node]) -> bool:
    """Whether one does, before any makes another character of them."""
    behind = [*itertools.dropwhile(lambda node: _holds(_BEFORE, node), splitters)]
    return any(_holds(_AT_SPACES, node) for node in behind[:1]) and all(
        _holds(_AT_SPACES, node) or _holds(_WITHIN_WORDS, node) for node in behind
    )


def _adds_spaces(normalizers: Sequence[Node]) -> bool:
    """Whether Chinese characters get spaces around them."""
    return any(node.get("handle_chinese_chars") for node in normalizers)


def _minds_spaces(normalizers: Sequence[Node], splitters: Sequence[Node]) -> bool:
    """Whether it matters how many spaces are in a row."""
    first = next(node for node in splitters if not _holds(_BEFORE, node))
    return first["type"] not in _DROP_SPACES or any(
        "Regex" in node.get("pattern", ()) for node in normalizers
    )


def _nodes(part: Any) -> Iterator[Node]:
    """A part, or what it is a sequence of."""
    waiting = [] if part is None else [json.loads(part.__getstate__())]
    while waiting:
        node = waiting.pop(0)
        inner = next((value for value in node.values() if isinstance(value, list)), [])
        if node["type"] == "Sequence":
            waiting = [*inner, *waiting]
        else:
            yield node


def _holds(known: Known, node: Node) -> bool:
    return node["type"] in known and known[node["type"]](node)


def _added(backend: "tokenizers.Tokenizer") -> Iterator[str]:
    """Added tokens, which are found before words are: as written, and normalized."""
    for token in backend.get_added_tokens_decoder().values():
        yield token.content
        if backend.normalizer is not None:
            yield backend.normalizer.normalize_str(token.content)


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def _reads_word_by_word(tokenizer: "PreTrainedTokenizerFast", text: str) -> bool:
    first, *others = text.split(" ")
    words = [first, *(f" {word}" for word in others)]
    parts = tokenizer.backend_tokenizer.encode_batch(words, add_special_tokens=False)
    by_words = itertools.chain.from_iterable(part.ids for part in parts)
    return token_ids(tokenizer, [text]) == [list(by_words)]
