"""The documents keep to the program: what they link, name, run and list is there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxsparse
from experiments.jobs import JOBS
from experiments.usage import parse

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *("README.md", "BUILD.md", "jaxsparse/assets/models/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/*.md"))),
]
OTHER_JOBS = ("test", "check", "help")
PUBLISHED = {
    "dev.jsonl": '{"qID": "A-1", "sentence": "Ned gave _ the hat .", "option1": "Ann", '
    '"option2": "Tom", "answer": "2"}\n',
    "BEAR/metadata_relations.json": '{"P30": {"templates": ["[X] is in [Y]."]}}',
    "BEAR/P30.jsonl": '{"sub_label": "Rome", "obj_label": "Europe"}\n'
    '{"sub_label": "Cairo", "obj_label": "Africa"}\n',
    "MSC_testing_data.csv": "id,question,a),b),c),d),e)\n"
    '4,"We got off , _____ our fare .",rubbing,doubling,paid,naming,carrying\n',
    "MSC_test_answer.csv": "id,answer\n4,c\n",
}
IN_EVERY_JOB = {"help", "version"}  # which no table of flags needs to name


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(document), re.M | re.S)


def commands(document: str) -> Iterator[list[str]]:
    """The arguments of every ./run.sh, in blocks and in running text."""
    shell = "\n".join(blocks(document, "sh")).replace("\\\n", " ")
    spans = re.findall(r"`(\./run\.sh[^`]*)`", text(document))
    for line in [*shell.split("\n"), *spans]:
        for found in re.findall(r"\./run\.sh\b([^&|;>]*)", line):
            yield shlex.split(found.replace('"', " "))


def assert_parses(arguments: list[str]) -> None:
    job = arguments[0] if arguments and not arguments[0].startswith("-") else "sweep"
    if job in OTHER_JOBS:
        assert job != "help" or {*arguments[1:]} <= {*JOBS}
        return
    given = arguments[arguments[:1] == [job] :]
    names = {a.removeprefix("--").partition("=")[0] for a in given if a[:2] == "--"}
    assert names <= {*JOBS[job], *IN_EVERY_JOB}, f"{job}: {names}"
    parse(job, [a for a in given if "$" not in a and a[2:] not in IN_EVERY_JOB])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text(document)):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_are_named_exist(document):
    ours = r"`((?:jaxsparse|experiments|tests|docs|\.ci)/[\w./-]*|[\w/]+\.py)`"
    for path in re.findall(ours, text(document)):
        assert (ROOT / path).exists() or any(ROOT.glob(f"jaxsparse/*/{path}")), path


def test_the_map_names_what_is_there():
    (drawn,) = re.findall(r"^## Map\n+```\n(.*?)^```$", text("BUILD.md"), re.M | re.S)
    named = re.findall(r"[\w/]+(?:\.py|/)(?=[\s,;:]|$)", drawn)
    missing = [
        path
        for path in named
        if not any(
            (ROOT / at / path).exists() for at in ("", "jaxsparse", "experiments")
        )
    ]
    assert len(named) > 20
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_those_of_the_program(document):
    for arguments in commands(document):
        assert_parses(arguments)


def test_a_command_can_be_wrong():
    assert len([*commands("README.md")]) > 15
    for wrong in (["sweep", "--runs=a"], ["help", "sweeep"], ["--sample=last"]):
        with pytest.raises(Exception, match=r"runs|help|sample"):
            assert_parses(wrong)


def test_the_tables_of_flags_are_those_of_the_sweep():
    rows = re.findall(r"^\| (`--.*?) \|", text("README.md"), re.M)
    named = [name for row in rows for name in re.findall(r"`--(\w+)`", row)]
    assert sorted(named) == sorted({*JOBS["sweep"], *IN_EVERY_JOB})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_flags_in_running_text_are_of_some_job(document):
    flags = [flag for job in JOBS.values() for flag in job.items()]
    known = {name for name, _ in flags} | {flag.also for _, flag in flags}
    assert {*re.findall(r"`--(\w+)", text(document))} <= known | IN_EVERY_JOB


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_in_the_documents_imports_what_is_there(document):
    for block in blocks(document, "python"):
        for node in ast.parse(block).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), document, "exec"), {})


def test_the_python_in_the_readme_runs(tmp_path):
    """With fewer questions, in a program of its own: a user's checks no types."""
    affording = "largest_affordable"  # asks hundreds: test_affordable.py
    of_readme = blocks("README.md", "python")
    program = "\n".join(block for block in of_readme if affording not in block)
    assert len(of_readme) > 1
    assert "num_examples=40" in program
    program = program.replace("num_examples=40", "num_examples=4")  # for time's sake
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    points = [line.split() for line in run.stdout.splitlines()]
    sparsities = [("magnitude", s) for s in (0, 0.5, 0.9)]
    sparsities += [("random", s) for s in (0, 0.5, 0.9)]
    assert [(method, float(s)) for method, s, _ in points] == sparsities
    pruned = jaxsparse.load_model(str(tmp_path / "pruned-gpt2"))
    assert pruned.digest != jaxsparse.load_model("tiny-gpt2").digest


def test_the_task_files_in_the_documents_are_read(tmp_path):
    for document, rows in (("README.md", 3), ("docs/questions.md", 1)):
        (task,) = blocks(document, "json")
        (tmp_path / "task.jsonl").write_text(task, encoding="utf-8")
        assert len(jaxsparse.read(str(tmp_path / "task.jsonl"))) == rows


def test_published_formats_become_task_rows(tmp_path, monkeypatch, capsys):
    """Each program of docs/questions.md, on files made in the format that it reads."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BEAR").mkdir()
    for name, content in PUBLISHED.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for program, answer in zip(
        blocks("docs/questions.md", "python"), ("Tom", "Europe", "paid"), strict=True
    ):
        exec(compile(program, "docs/questions.md", "exec"), {})
        (tmp_path / "task.jsonl").write_text(capsys.readouterr().out, encoding="utf-8")
        question = jaxsparse.read(str(tmp_path / "task.jsonl"))[0]
        assert question.answer == answer


def test_lines_of_the_readme_fit_a_window():
    """But for tables, and JSON, of which a row is a line."""
    for line in text("README.md").splitlines():
        assert len(line) <= 100 or line.startswith(("| ", "{")), line


def test_a_family_took_as_many_lines_as_its_files_have():
    page = text("BUILD.md").split("## How to add a family")[1].split("\n## ")[0]
    counts = re.findall(r"`(\w+\.py)` (\d+)", page)
    assert len(counts) == 8
    for name, lines in counts:
        path = ROOT / "jaxsparse/models" / name
        assert len(path.read_text().splitlines()) == int(lines), name
