"""The journal: what goes in comes out, whole batches or nothing, and only our files."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from jaxsparse import readings
from jaxsparse.database import APPLICATION
from jaxsparse.journal import (
    FORMAT,
    NAME,
    Answer,
    Journal,
    key_of,
    opened,
)
from jaxsparse.types import InputError

CONDITIONS = {
    "weights": "w" * 64, "method": "magnitude", "pattern": "unstructured",
    "scope": "matrix", "prunable": "blocks", "sparsity": 0.1, "seed": 0,
    "calibration": None, "protocol": "cloze", "context": "full", "detokenize": "ptb",
    "dtype": "float32", "scoring_revision": 1, "pruning_revision": 1,
}  # fmt: skip
PRUNED = key_of(CONDITIONS)
ASKED = ("a", "b", "c", "d")
OTHER_VALUES = {
    "weights": "v" * 64, "method": "random", "pattern": "2:4", "scope": "global",
    "prunable": "all", "sparsity": np.nextafter(0.1, 1).item(), "seed": 1,
    "calibration": "c" * 64, "protocol": "append", "context": "query",
    "detokenize": "none", "dtype": "bfloat16", "scoring_revision": 2,
    "pruning_revision": 2,
}  # fmt: skip


def answer(first=-1.5, seconds=0.25):
    scores = np.linspace(first, -9, 10).astype(np.float32)
    return Answer(scores, np.arange(1, 11, dtype=np.int32), seconds)


def batch(*questions, conditions=PRUNED):
    return [
        (conditions, name, answer(-n / 3, n / 8)) for n, name in enumerate(questions, 1)
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / NAME


def raw(path):
    return sqlite3.connect(path, isolation_level=None)


def count(path):
    connection = raw(path)
    (found,) = connection.execute("SELECT count(*) FROM answers").fetchone()
    connection.close()
    return found


def test_answers_come_back_bit_for_bit_from_the_file(path):
    first = Journal(path)
    first.record(batch("a", "b"))
    first.close()
    again = Journal(path)
    answers = again.answers(PRUNED, ASKED)
    assert answers.keys() == {"a", "b"}
    for _, name, given in batch("a", "b"):
        np.testing.assert_array_equal(answers[name].scores, given.scores)
        assert answers[name].scores.dtype == np.float32
        np.testing.assert_array_equal(answers[name].option_tokens, given.option_tokens)
        assert answers[name].seconds == given.seconds
    assert again.unknown(PRUNED, ("a", "c", "b", "d")) == {"c", "d"}
    assert again.recorded == 0
    again.close()


def test_without_a_path_it_is_in_memory():
    journal = Journal()
    journal.record(batch("a"))
    assert journal.unknown(PRUNED, ["a", "b"]) == {"b"}
    journal.close()


@pytest.mark.parametrize("field", CONDITIONS)
def test_whatever_decides_a_score_is_part_of_the_key(path, field):
    journal = Journal(path)
    journal.record(batch("a"))
    other = key_of({**CONDITIONS, field: OTHER_VALUES[field]})
    assert journal.unknown(other, ["a"]) == {"a"}
    assert journal.unknown(key_of(CONDITIONS), ["a"]) == frozenset()
    journal.record([(other, "a", answer(7.0))])
    assert journal.answers(PRUNED, ASKED)["a"].scores[0] == np.float32(-1 / 3)
    assert journal.answers(other, ["a"])["a"].scores[0] == 7
    journal.close()


def test_the_first_answer_to_a_question_stays(path):
    journal = Journal(path)
    journal.record([*batch("a"), (PRUNED, "a", answer(5.0))])
    journal.record([(PRUNED, "a", answer(6.0)), (PRUNED, "b", answer(6.0))])
    assert journal.answers(PRUNED, ASKED)["a"].scores[0] == np.float32(-1 / 3)
    assert journal.recorded == 2
    journal.close()


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(path):
    journal = Journal(path)
    journal.record(batch("a"))

    def interrupted():
        yield from batch("b", "c", conditions=key_of({**CONDITIONS, "seed": 9}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.record(interrupted())
    assert count(path) == 1
    # What the transaction had made is gone with it, and made again.
    journal.record(batch("b", conditions=key_of({**CONDITIONS, "seed": 9})))
    assert count(path) == 2
    assert journal.answers(key_of({**CONDITIONS, "seed": 9}), ["b"]).keys() == {"b"}
    journal.close()


def test_every_batch_is_on_disk_before_the_next(path):
    journal = Journal(path)
    for number in range(1, 4):
        journal.record(batch(f"question {number}"))
        assert count(path) == number  # as another program sees it
    journal.close()


def test_sources_say_who_made_the_answers_that_were_read(path):
    for name, questions in ("first", "ab"), ("second", "c"), ("third", "d"):
        journal = Journal(path, {"command": name})
        other = key_of({**CONDITIONS, "seed": 3})
        journal.record(
            batch(*questions, conditions=other if name == "third" else PRUNED)
        )
        journal.close()
    journal = Journal(path, {"command": "reads only"})
    journal.answers(PRUNED, ASKED)
    assert journal.sources() == [
        {"command": "first", "answers": 2}, {"command": "second", "answers": 1},
    ]  # fmt: skip
    assert journal.answered == 3
    journal.close()
    journal = Journal(path)
    journal.answers(PRUNED, ["b"])
    assert journal.sources() == [{"command": "first", "answers": 1}]
    journal.close()


def test_a_file_says_whose_it_is(path):
    Journal(path).close()
    connection = raw(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    connection.close()


# Files that cannot be used


def newer(path):
    Journal(path).close()
    connection = raw(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()


def foreign(path):
    connection = raw(path)
    connection.execute("CREATE TABLE answers (id)")
    connection.close()


def filled(path):
    journal = Journal(path)
    journal.record(batch(*(f"{n:064}" for n in range(200))))
    journal.close()


def truncated(path, keep=0.6):
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def overwritten(path):
    filled(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def no_text(path):
    filled(path)
    content = path.read_bytes().replace(b"CREATE", b"DELETE")
    path.write_bytes(content.replace(b"tableanswers", b"tableansw\xd2rs"))


def without_tables(path):
    Journal(path).close()
    connection = raw(path)
    connection.execute("DROP TABLE answers")
    connection.close()


def other_columns(path):
    Journal(path).close()
    connection = raw(path)
    connection.execute("ALTER TABLE answers RENAME COLUMN seconds TO second")
    connection.close()


def with_a_trigger(path):
    Journal(path).close()
    connection = raw(path)
    connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    connection.close()


def text(path):
    path.write_text("question,score\n" * 200)


BAD_FILES = {
    "newer": (newer, r"newer jaxsparse \(format 2, .* up to 1\); update"),
    "foreign": (foreign, r"another program; move it away"),
    "truncated": (truncated, r"damaged, or no SQLite file"),
    "cut in its header": (
        lambda path: truncated(path, 0.001),
        r"damaged, or no SQLite",
    ),
    "overwritten": (overwritten, r"damaged, or no SQLite file"),
    "no text": (no_text, r"damaged, or no SQLite file"),
    "without tables": (without_tables, r"damaged, or no SQLite file .*move it away"),
    "other columns": (other_columns, r"damaged, or no SQLite file .other tables"),
    "a trigger": (with_a_trigger, r"damaged, or no SQLite file .other tables"),
    "text": (text, r"damaged, or no SQLite file .*move it away"),
    "a directory": (lambda path: path.mkdir(), r"cannot be opened"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused_and_left_alone(path, name):
    make, message = BAD_FILES[name]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=message) as caught:
        Journal(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message), opened(path.parent, {}):
        pytest.fail("was opened")
    assert (path.read_bytes() if path.is_file() else None) == before
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_is_a_new_journal(path):
    path.touch()  # as a run leaves it that is killed at its very start
    journal = Journal(path)
    journal.record(batch("a"))
    journal.close()
    assert count(path) == 1


def test_no_room_is_said_and_what_was_committed_stays(path):
    journal = Journal(path)
    journal.record(batch("a"))
    journal._file.execute("PRAGMA max_page_count = 8")

    def fill():
        for start in range(0, 2000, 20):
            journal.record(batch(*(f"{n:064}" for n in range(start, start + 20))))

    with pytest.raises(InputError, match=r"full: there is no room .* repeat the comm"):
        fill()
    kept = count(path)
    assert kept % 20 == 1
    journal._file.execute("PRAGMA max_page_count = 1000")
    journal.record(batch("b"))
    assert count(path) == kept + 1
    journal.close()


def test_a_file_that_another_program_holds_is_waited_for_and_then_named(
    path, monkeypatch
):
    journal = Journal(path)
    journal._file.execute("PRAGMA busy_timeout = 50")
    connection = raw(path)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="another program holds it; close that"):
        journal.record(batch("a"))
    connection.execute("ROLLBACK")
    connection.close()
    journal.record(batch("a"))
    journal.close()


# The directory


def test_the_directory_is_made_and_kept_once_there_is_an_answer(tmp_path):
    with opened(tmp_path / "a" / "b", {}) as journal:
        journal.record(batch("a"))
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == [NAME]
    with opened(tmp_path / "a" / "b", {}) as journal:
        assert journal.unknown(PRUNED, ["a"]) == frozenset()
    assert count(tmp_path / "a" / "b" / NAME) == 1


def test_nothing_recorded_leaves_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    for out in tmp_path / "a" / "b", tmp_path / "mine":
        with pytest.raises(InputError, match="weights"), opened(out, {}):
            raise InputError("no weights")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes"]


def test_what_a_signal_finds_half_written_goes_as_well(tmp_path):
    with opened(tmp_path / "out", {}):
        (tmp_path / "out" / f"{readings.NAME}-journal").touch()
    assert not (tmp_path / "out").exists()


def test_a_journal_without_answers_that_was_there_stays(tmp_path):
    Journal(tmp_path / NAME).close()
    with opened(tmp_path, {}):
        pass
    assert (tmp_path / NAME).exists()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path):
    script = f"""
import sys
from pathlib import Path
from jaxsparse import readings
from jaxsparse.journal import opened
with opened(Path({str(tmp_path)!r}), {{}}):
    print("held", flush=True)
    sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        message = rf"another process \({holder.pid}\) is writing there; wait for it"
        with pytest.raises(InputError, match=message), opened(tmp_path, {}):
            pytest.fail("was opened")
        holder.stdin.close()
    with opened(tmp_path, {}) as journal:
        journal.record(batch("a"))


def test_the_order_of_conditions_does_not_matter_and_old_keys_are_found(path):
    """Keys are content: journals of earlier versions go on serving."""
    assert key_of(dict(reversed(CONDITIONS.items()))) == PRUNED
    assert (
        '{"calibration": null, "context": "full", "detokenize": "ptb", "dtype": '
        '"float32", "method": "magnitude", "pattern": "unstructured", "protocol": '
        '"cloze", "prunable": "blocks", "pruning_revision": 1, "scope": "matrix", '
        f'"scoring_revision": 1, "seed": 0, "sparsity": 0.1, "weights": "{"w" * 64}"}}'
    ) == PRUNED


DAMAGES = {
    "a bit of a score": "scores = X'00' || substr(scores, 2)",
    "a score less": "scores = substr(scores, 1, 36)",
    "text for scores": "scores = 'abcdefgh'",
    "a number for scores": "scores = 5",
    "tokens": "option_tokens = zeroblob(40)",
    "seconds": "seconds = seconds + 1",
    "text for seconds": "seconds = 'soon'",
    "another question's": "question = 'b'",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_an_answer_that_is_not_as_it_was_written_is_refused(path, name):
    journal = Journal(path)
    journal.record(batch("a"))
    journal.close()
    connection = raw(path)
    connection.execute(f"UPDATE answers SET {DAMAGES[name]}")
    connection.close()
    journal = Journal(path)
    with pytest.raises(InputError, match=r"damaged, .*the answer to .* is not sound"):
        journal.answers(PRUNED, ASKED)
    journal.close()


def test_sessions_that_are_no_json_are_refused(path):
    journal = Journal(path)
    journal.record(batch("a"))
    journal.close()
    connection = raw(path)
    connection.execute("UPDATE sessions SET made_by = '{'")
    connection.close()
    journal = Journal(path)
    journal.answers(PRUNED, ASKED)
    with pytest.raises(InputError, match="its sessions are no JSON"):
        journal.sources()
    journal.close()


def test_a_link_to_a_disk_that_is_not_there_is_not_taken_away(tmp_path):
    (tmp_path / NAME).symlink_to("nowhere/at all")
    with pytest.raises(InputError), opened(tmp_path, {}):
        pytest.fail("was opened")
    assert (tmp_path / NAME).is_symlink()
