"""Where a checkpoint is: a directory here, or the Hugging Face hub."""

import os
from collections.abc import Iterable
from pathlib import Path

from jaxsparse.assets import MODELS
from jaxsparse.types import InputError, brief
from jaxsparse.weights.reading import BITMASK, SAFETENSORS

ALIASES = {
    "gpt2-small": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "electra-small": "google/electra-small-generator",
    "electra-base": "google/electra-base-generator",
    "electra-large": "google/electra-large-generator",
    "electra-small-discriminator": "google/electra-small-discriminator",
    "electra-base-discriminator": "google/electra-base-discriminator",
    "electra-large-discriminator": "google/electra-large-discriminator",
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
    "t5-3b": "google-t5/t5-3b",
    "pythia-70m": "EleutherAI/pythia-70m",
    "pythia-160m": "EleutherAI/pythia-160m",
    "pythia-410m": "EleutherAI/pythia-410m",
    "pythia-1b": "EleutherAI/pythia-1b",
    "pythia-1.4b": "EleutherAI/pythia-1.4b",
    "opt-125m": "facebook/opt-125m",
    "opt-350m": "facebook/opt-350m",
    "opt-1.3b": "facebook/opt-1.3b",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "bert-base": "google-bert/bert-base-uncased",
    "bert-large": "google-bert/bert-large-uncased",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
}
BUNDLED = ("tiny-gpt2", "tiny-electra", "tiny-t5")

_BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model")  # configuration and tokenizer
_CONVERSION_AUTHOR = "SFconvertbot"
_CONVERSION_TITLE = "Adding `safetensors` variant of this model"


def find(name_or_dir: str) -> Path:
    """The local directory of a checkpoint: as given, or downloaded from the hub.

    Raises:
        InputError: neither a directory nor something the hub gives us.
    """
    directory = Path(os.path.expanduser(name_or_dir))
    if directory.is_dir():
        return directory
    if name_or_dir in BUNDLED:
        return MODELS / name_or_dir
    if directory.exists():
        raise InputError(f"`model={name_or_dir}`: a file; pass its directory")
    looks_local = name_or_dir.startswith((".", "/", "~")) or name_or_dir.count("/") > 1
    if looks_local or not name_or_dir:
        raise InputError(f"`model={name_or_dir}`: no such directory")
    return _download(name_or_dir, ALIASES.get(name_or_dir, name_or_dir))


def repository(name_or_dir: str) -> str | None:
    """The hub's id of a model that is neither a directory nor bundled."""
    if Path(os.path.expanduser(name_or_dir)).is_dir() or name_or_dir in BUNDLED:
        return None
    return ALIASES.get(name_or_dir, name_or_dir)


def _download(name: str, repository: str) -> Path:
    """Takes a snapshot of the files we read; honours HF_HOME and HF_HUB_OFFLINE.

    Without a network, what an earlier run left in the cache serves.
    """
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            return _cached(repository)
        revision, weights = _revision_and_weights(repository)
        patterns = [*_BESIDE_WEIGHTS, *weights]
        return Path(
            huggingface_hub.snapshot_download(
                repository, revision=revision, allow_patterns=patterns
            )
        )
    except HFValidationError:
        reason = "not a directory, and not a name the hub could know"
    except Exception as error:  # every failure of the network looks different
        reason = f"not a directory here, and the hub gave nothing ({brief(error)})"
        try:
            return _cached(repository)
        except LookupError:
            pass
    raise InputError(
        f"`model={name}`: {reason}; pass the path of a local directory that holds "
        f"{repository}'s config.json, tokenizer and weights"
    )


def _cached(repository: str) -> Path:
    """The snapshot in the hub's cache that holds weights, main before conversions."""
    import huggingface_hub
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = huggingface_hub.scan_cache_dir()
    except CacheNotFound as error:
        raise LookupError(f"no cache at {error.cache_dir}") from None
    revisions = {
        ref: revision
        for repo in cache.repos
        if repo.repo_id == repository and repo.repo_type == "model"
        for ref, revision in repo.refs.items()
    }
    for ref in sorted(revisions, key=lambda ref: (ref != "main", ref)):
        files = {file.file_name for file in revisions[ref].files}
        if any(file.endswith((".safetensors", ".bin")) for file in files):
            return Path(revisions[ref].snapshot_path)
    raise LookupError(f"{repository} is not in the cache")


def _revision_and_weights(repository: str) -> tuple[str | None, list[str]]:
    """Where the hub keeps a repository's weights, and in which files.

    Safetensors on the main branch, else in the conversion pull request that
    transformers looks at, else torch's files.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    if _has_safetensors(api.list_repo_files(repository)):
        return None, ["model*.safetensors"]
    for discussion in api.get_repo_discussions(repository, author=_CONVERSION_AUTHOR):
        if (
            discussion.is_pull_request
            and discussion.title == _CONVERSION_TITLE
            and discussion.status != "closed"
        ):
            revision = f"refs/pr/{discussion.num}"
            if _has_safetensors(api.list_repo_files(repository, revision=revision)):
                return revision, ["model*.safetensors"]
    return None, ["pytorch_model*.bin"]


def _has_safetensors(files: Iterable[str]) -> bool:
    single = (SAFETENSORS, BITMASK)
    return any(file.removesuffix(".index.json") in single for file in files)
