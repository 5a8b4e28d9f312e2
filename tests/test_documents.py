"""The documents keep to the program: what they link, name, run and list is there."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.jobs import JOBS
from experiments.usage import parse

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *("README.md", "BUILD.md", "jaxsparse/assets/models/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/*.md"))),
]
OTHER_JOBS = ("test", "check", "help")
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
