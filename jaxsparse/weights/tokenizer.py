"""The tokenizer beside a checkpoint: what tokenizer.json says, the whole of it."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxsparse.types import InputError, brief
from jaxsparse.weights.reading import read_json

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
MAPPED = "special_tokens_map.json"  # of older versions
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
NAMES = tuple(
    f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
)

# Special tokens by the names that BERT gave them -> what RoBERTa calls them.
ALSO = {"[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}


def called(name: str, vocabulary: Mapping[str, int]) -> str:
    """What a vocabulary calls a special token."""
    also = ALSO.get(name, name)
    return also if also in vocabulary and name not in vocabulary else name


def first_token(tokenizer: "PreTrainedTokenizerFast", config: Any) -> int | None:
    """The token that stands before a causal model's rows where nothing else does: that
    of the configuration, else `bos_token`, else `eos_token`; None without any."""
    token = config.first or tokenizer.bos_token or tokenizer.eos_token
    return tokenizer.get_vocab().get(str(token)) if token else None


def load_tokenizer(directory: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of a directory in Hugging Face format; no code of its own is run.

    Where there is a tokenizer.json, it decides. transformers' own classes build parts
    of it anew, each as its family once was, and so drop what the file says. What
    tokenizer_config.json says against the file, and those classes would honour (letter
    case, accents, a space in front, tokens that the file lacks), is refused. Truncation
    and padding that were left switched on are switched off.

    Without a tokenizer.json (vocab.txt, vocab.json and merges.txt, spiece.model) the
    tokenizer is the one that transformers makes.

    Raises:
        InputError: there is none, it has no character offsets, or its files disagree.
    """
    settings = read_json(directory / SETTINGS) if _has(directory, SETTINGS) else {}
    if settings.get("split_special_tokens"):
        raise InputError(
            f"{directory / SETTINGS}: split_special_tokens is not implemented; "
            "set it to false"
        )
    if _has(directory, FILE):
        tokenizer = _from_file(directory, settings)
    else:
        tokenizer = _made_by_transformers(directory)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _has(directory: Path, name: str) -> bool:
    return (directory / name).exists()


def _unreadable(directory: Path, error: BaseException) -> InputError:
    return InputError(
        f"{directory}: no tokenizer that transformers can read ({brief(error)}); "
        "copy the model's tokenizer files there"
    )


def _from_file(
    directory: Path, settings: Mapping[str, Any]
) -> "PreTrainedTokenizerFast":
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    path = directory / FILE
    try:
        said = tokenizers.Tokenizer.from_file(str(path))
    except BaseException as error:  # plain exceptions, and its panics are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise _unreadable(directory, error) from None
    values = read_json(path)
    if isinstance(model := values.get("model"), Mapping) and model.get("dropout"):
        raise InputError(
            f"{path}: its model has a dropout of {model['dropout']}, so that the same "
            "text has other tokens each time; set it to null"
        )
    added = {token.content for token in said.get_added_tokens_decoder().values()}
    _check_settings(directory, settings, values, said)
    _check_special(directory, settings, added)
    special = {name: _text(token) for name, token in _named(directory, settings)}
    special = {name: token for name, token in special.items() if token in added}
    said.no_truncation()
    said.no_padding()
    made = PreTrainedTokenizerFast(tokenizer_object=said, **special)
    _check_parts(path, said, made.backend_tokenizer)
    if values["model"].get("type") == "Unigram":
        made.backend_tokenizer.model = _exact_unigram(values["model"])
    return made


def _named(directory: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the usual special tokens are called: by tokenizer_config.json, else by the
    older file."""
    mapped = read_json(directory / MAPPED) if _has(directory, MAPPED) else {}
    for name in NAMES:
        yield name, settings.get(name) or mapped.get(name)


def _text(token: Any) -> str | None:
    """A token as tokenizer_config.json writes it: text, or an object with it."""
    token = token.get("content") if isinstance(token, Mapping) else token
    return token if isinstance(token, str) else None


def _exact_unigram(model: Mapping[str, Any]) -> "tokenizers.models.Unigram":
    """Its scores to the last bit. The library reads decimals one unit off, and of two
    ways to cut a row of dashes, whose sums are equal, takes another one."""
    from tokenizers.models import Unigram

    vocabulary = [(piece, score) for piece, score in model["vocab"]]
    return Unigram(vocabulary, model.get("unk_id"), model.get("byte_fallback", False))


def _check_settings(
    directory: Path,
    settings: Mapping[str, Any],
    values: Mapping[str, Any],
    said: "tokenizers.Tokenizer",
) -> None:
    """Raises InputError where other files contradict tokenizer.json."""
    for key, value in _honoured_settings(values).items():
        asked = settings.get(key)
        if asked is not None and bool(asked) != value:
            raise InputError(
                f"{directory}: {SETTINGS} says {key} {json.dumps(asked)}, by {FILE} it "
                f"is {json.dumps(value)}; make them agree"
            )
    decoder = settings.get("added_tokens_decoder")
    added: list[Any] = list(decoder.values()) if isinstance(decoder, Mapping) else []
    if _has(directory, "added_tokens.json"):
        added += read_json(directory / "added_tokens.json")
    for token in map(_text, added):
        if token is not None and not (
            _is_utf8(token) and said.token_to_id(token) is not None
        ):
            raise InputError(
                f"{directory}: {token!r} is an added token, which {FILE} lacks; "
                "save the tokenizer again, or take the token out"
            )


def _check_special(
    directory: Path, settings: Mapping[str, Any], added: Collection[str]
) -> None:
    """Raises InputError for a special token beyond the usual ones that tokenizer.json
    does not add: transformers would cut it out of every text."""
    mapped = read_json(directory / MAPPED) if _has(directory, MAPPED) else {}
    for values in (settings, mapped):
        for key in "additional_special_tokens", "extra_special_tokens":
            listed = values.get(key) or ()
            listed = listed.values() if isinstance(listed, Mapping) else listed
            for token in map(_text, listed):
                if token is not None and token not in added:
                    raise InputError(
                        f"{directory}: {token!r} is one of the {key}, which {FILE} "
                        "does not add; save the tokenizer again, or take the token out"
                    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _honoured_settings(values: Mapping[str, Any]) -> dict[str, bool]:
    """What tokenizer.json says where tokenizer_config.json has a word for it."""
    found = {}
    for node in _nodes(values.get("normalizer")):
        lowers = node.get("type") == "Lowercase" or bool(node.get("lowercase"))
        found["do_lower_case"] = found.get("do_lower_case", False) or lowers
        if node.get("type") == "BertNormalizer":
            found["tokenize_chinese_chars"] = bool(node.get("handle_chinese_chars"))
            strips = node.get("strip_accents")  # null: as letters' case
            found["strip_accents"] = lowers if strips is None else bool(strips)
    for node in _nodes(values.get("pre_tokenizer")):
        if node.get("type") == "ByteLevel":
            found["add_prefix_space"] = bool(node.get("add_prefix_space"))
    return found


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """A part of the pipeline, and the parts it is a sequence of."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _check_parts(
    path: Path, said: "tokenizers.Tokenizer", made: "tokenizers.Tokenizer"
) -> None:
    """Raises InputError for a part that transformers has changed all the same."""
    changed = [
        part
        for part in PARTS
        if (asked := getattr(said, part)) is not None
        and asked.__getstate__() != getattr(made, part).__getstate__()
    ]
    if said.get_added_tokens_decoder() != made.get_added_tokens_decoder():
        changed.append("added_tokens")
    if changed:
        raise InputError(
            f"{path}: transformers does not honour its {' and '.join(changed)}; "
            "try another version of transformers"
        )


def _made_by_transformers(directory: Path) -> "PreTrainedTokenizerFast":
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # transformers raises whatever its readers meet
        raise _unreadable(directory, error) from None
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{directory}: the tokenizer has no character offsets; a {FILE} is needed"
        )
    # Of a directory without tokenizer files transformers makes an empty tokenizer.
    files = set(tokenizer.vocab_files_names.values()) - {FILE}
    if not files or not all(_has(directory, name) for name in files):
        raise InputError(
            f"{directory}: no tokenizer; copy the model's {FILE}"
            + (f", or its {' and '.join(sorted(files))}," if files else "")
            + " there"
        )
    return tokenizer
