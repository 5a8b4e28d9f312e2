"""Imports point down only, and each outside package stays in its room."""

import ast
import re
from pathlib import Path

import pytest

from experiments.jobs import JOBS

ROOT = Path(__file__).parents[1]

# From the bottom up; a room may import those before it, and itself. Rooms of one group
# do not import one another, but for what SIDEWAYS allows.
GROUPS = (
    {"types", "assets", "progress", "device"},
    {"trees", "whole", "hosts", "database", "processes", "arrays"},
    {"parallel", "sparse"},
    {"models", "weights", "pruning", "cbt"},
    {"model", "running_text"},
    {"calibration", "training"},
    {"variants", "texts"},
    {"smaller", "portions"},
    {"one_shot"},
    {"scoring", "stats", "plots", "answers"},
    {"readings", "losses"},
    {"journal", "capacity", "accuracy"},
    {"points"},
    {"evaluation", "execution"},
    {"text_loss", "exam"},
    {"draws", "inquiry"},
    {"sweep"},
    {"affordable"},
    {"report", "finetuning", "pretraining", "model_card"},
    {"experiments"},
)
SIDEWAYS = {("models", "jaxsparse.weights.rules")}
TORCH = (
    "weights/reading.py",
    *(
        f"benchmark/{name}.py"
        for name in (
            *("feed_forward_torch", "masks", "methods_torch", "peers"),
            "training_torch",
        )
    ),
)
RANK = {room: rank for rank, group in enumerate(GROUPS) for room in group}


def modules() -> list[Path]:
    return sorted([*ROOT.glob("jaxsparse/**/*.py"), *ROOT.glob("experiments/**/*.py")])


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(ROOT).with_suffix("").parts
    return first if first == "experiments" else rest[0]


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, by full name, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(f"{node.module}.{alias.name}", top) for alias in node.names]
    return found


def breaks_order(room: str, name: str) -> bool:
    package, *rest = name.split(".")
    if package not in ("jaxsparse", "experiments") or not rest:
        return False
    target = "experiments" if package == "experiments" else rest[0]
    if target not in RANK or target == room:  # a name of the package itself
        return False
    allowed = any(name.startswith(path) for source, path in SIDEWAYS if source == room)
    return RANK[target] >= RANK[room] and not allowed


@pytest.mark.parametrize(
    "path", modules(), ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_point_down(path):
    room = room_of(path)
    if room == "__init__":  # the package's own face
        return
    assert room in RANK, f"{path}: a room that DESIGN does not know"
    wrong = [name for name, _ in imports(path) if breaks_order(room, name)]
    assert not wrong, f"{path} imports {wrong}"


def test_the_order_itself_can_be_broken():
    assert breaks_order("trees", "jaxsparse.model.Model")
    assert breaks_order("cbt", "jaxsparse.pruning.masks")
    assert breaks_order("weights", "jaxsparse.models.gpt2")
    assert breaks_order("training", "jaxsparse.pretraining.PretrainingRun")
    assert not breaks_order("models", "jaxsparse.weights.rules.Rule")
    assert breaks_order("models", "jaxsparse.weights.reading")


@pytest.mark.parametrize(
    "path", modules(), ids=lambda path: str(path.relative_to(ROOT))
)
def test_outside_packages_stay_in_their_rooms(path):
    room = room_of(path)
    for name, top in imports(path):
        if name.startswith("flax"):
            assert room == "models", f"{path} imports {name}"
        if name.startswith("absl"):
            assert room == "experiments", f"{path} imports {name}"
        if name.split(".")[0] == "torch":
            assert path.as_posix().endswith(TORCH), f"{path} imports torch"
            assert not top, f"{path} imports torch at its top level"


def test_the_library_names_arguments_and_no_flags():
    flags = sorted({name for flags in JOBS.values() for name in flags})
    named = re.compile(rf"--({'|'.join(flags)})\b")
    for path in ROOT.glob("jaxsparse/**/*.py"):
        assert not named.findall(path.read_text(encoding="utf-8")), path
