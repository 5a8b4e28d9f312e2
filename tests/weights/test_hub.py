"""Where checkpoints come from: directories, the hub, its cache; and what is said when
there is none."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import huggingface_hub
import pytest

from jaxsparse.types import InputError
from jaxsparse.weights import hub


def test_a_directory_comes_first(tmp_path, monkeypatch):
    (tmp_path / "gpt2-small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub.find("gpt2-small") == Path("gpt2-small")


def test_every_alias_names_a_repository():
    assert set(hub.ALIASES) == {
        *(f"gpt2-{size}" for size in ("small", "medium", "large", "xl")),
        *(f"electra-{size}" for size in ("small", "base", "large")),
        *(f"electra-{size}-discriminator" for size in ("small", "base", "large")),
        *(f"t5-{size}" for size in ("small", "base", "large", "3b")),
        *(f"pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b")),
        *(f"opt-{size}" for size in ("125m", "350m", "1.3b")),
        *("llama-3.2-1b", "smollm2-135m", "qwen3-0.6b"),
        *(f"bert-{size}" for size in ("base", "large")),
        *(f"roberta-{size}" for size in ("base", "large")),
    }
    assert all(repository.count("/") == 1 for repository in hub.ALIASES.values())


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "~/nothing"])
def test_what_looks_like_a_path_is_not_looked_up(name, monkeypatch):
    monkeypatch.setattr(hub, "_download", pytest.fail)
    with pytest.raises(InputError, match="no such directory"):
        hub.find(name)


def test_a_file_is_no_directory(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(InputError, match="pass its directory"):
        hub.find(str(file))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    scan = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(tmp_path))
    return tmp_path


def snapshot(cache: Path, ref: str, commit: str, *files: str) -> Path:
    """A repository google/x in the cache, as huggingface_hub lays it out."""
    repository = cache / "models--google--x"
    directory = repository / "snapshots" / commit
    directory.mkdir(parents=True)
    for file in files:
        (directory / file).write_text("{}")
    reference = repository / "refs" / ref
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit)
    return directory


def test_offline_says_how_to_pass_a_directory(cache):
    with pytest.raises(InputError, match="local directory") as caught:
        hub.find("gpt2-small")
    assert "`model=gpt2-small`" in str(caught.value)
    assert "openai-community/gpt2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_takes_what_the_cache_holds(cache):
    directory = snapshot(cache, "main", "a" * 40, "config.json", "pytorch_model.bin")
    assert hub.find("google/x").resolve() == directory.resolve()


def test_offline_takes_a_conversion_where_main_has_no_weights(cache):
    snapshot(cache, "main", "a" * 40, "config.json")
    converted = snapshot(cache, "refs/pr/3", "b" * 40, "model.safetensors")
    assert hub.find("google/x").resolve() == converted.resolve()


def test_main_comes_before_every_other_branch(cache):
    snapshot(cache, "earlier", "a" * 40, "model.safetensors")
    directory = snapshot(cache, "main", "b" * 40, "pytorch_model.bin")
    assert hub.find("google/x").resolve() == directory.resolve()


class FakeApi:
    """A hub with one repository: files by revision, and pull requests."""

    files: ClassVar[dict[str | None, list[str]]] = {}
    discussions: ClassVar[list[SimpleNamespace]] = []

    def list_repo_files(self, repository, revision=None):
        return self.files[revision]

    def get_repo_discussions(self, repository, author=None):
        assert author == "SFconvertbot"
        return iter(self.discussions)


def conversion(number: int, status: str = "open", title: str | None = None):
    return SimpleNamespace(
        num=number,
        status=status,
        is_pull_request=True,
        title=title or "Adding `safetensors` variant of this model",
    )


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "files", {})
    monkeypatch.setattr(FakeApi, "discussions", [])
    return FakeApi


def test_safetensors_on_main_come_first(api):
    api.files = {None: ["config.json", "model.safetensors", "pytorch_model.bin"]}
    assert hub._revision_and_weights("x/y") == (None, ["model*.safetensors"])


def test_a_conversion_request_comes_before_bin(api):
    api.files = {
        None: ["config.json", "pytorch_model.bin"],
        "refs/pr/7": ["config.json", "model.safetensors.index.json"],
    }
    api.discussions = [conversion(3, "closed"), conversion(5, title="x"), conversion(7)]
    assert hub._revision_and_weights("x/y") == ("refs/pr/7", ["model*.safetensors"])


def test_bin_is_the_last_resort(api):
    api.files = {None: ["config.json", "pytorch_model.bin"]}
    assert hub._revision_and_weights("x/y") == (None, ["pytorch_model*.bin"])


def test_what_is_downloaded(api, monkeypatch, tmp_path):
    api.files = {None: ["config.json", "model.safetensors"]}
    asked = {}

    def snapshot_download(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub.find("t5-3b") == tmp_path
    assert asked["repository"] == "google-t5/t5-3b"
    assert asked["revision"] is None
    assert "model*.safetensors" in asked["allow_patterns"]
    assert not any("bin" in pattern for pattern in asked["allow_patterns"])


@pytest.fixture
def no_network(cache, monkeypatch):
    """Every call to the hub fails, though nobody said that we are offline."""

    def fail(*args, **kwargs):
        raise OSError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", fail)
    return cache


def test_without_a_network_the_cache_serves(no_network):
    directory = snapshot(no_network, "main", "a" * 40, "model.safetensors")
    assert hub.find("google/x").resolve() == directory.resolve()


def test_without_network_and_cache_the_reason_and_the_remedy_are_one_line(no_network):
    with pytest.raises(InputError, match="Name or service not known") as caught:
        hub.find("google/x")
    assert "local directory" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_repository_in_the_cache_does_not_serve(cache):
    snapshot(cache, "main", "a" * 40, "model.safetensors")
    with pytest.raises(InputError, match="google/y"):
        hub.find("google/y")


@pytest.mark.parametrize("name", ["gpt2 small", "-x", "gpt2..xl"])
def test_what_no_repository_can_be_called_is_refused(name, cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match="local directory") as caught:
        hub.find(name)
    assert f"`model={name}`" in str(caught.value)
