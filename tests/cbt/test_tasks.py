"""Any cloze: rows with a task, every key and every way a row can be bad."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from jaxsparse.cbt import chance, detokenize, read, select
from jaxsparse.cbt.baselines import most_frequent_option
from jaxsparse.types import InputError


def row(**changes):
    return {
        "task": "snow",
        "context": [" It had snowed . ", "Ned `` ran '' ."],
        "query": " The hill was XXXXX . ",
        "options": [" white", "red "],
        "answer": "white",
    } | changes


def without(*keys, **changes):
    return {key: value for key, value in row(**changes).items() if key not in keys}


@pytest.fixture
def cloze(tmp_path):
    """Rows -> the path of their json-lines file; a text is a line as it stands."""

    def write(*rows):
        path = tmp_path / "cloze.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write


def test_a_question_holds_what_its_row_says(cloze):
    data = cloze(row(id=" a ", group=" g h ", split="valid", story="Snow", task=" t "))
    (question,) = read(data, "validation", None).questions
    assert question.context == ("It had snowed .", "Ned `` ran '' .")
    assert (question.query, question.answer) == ("The hill was XXXXX .", "white")
    assert question.options == ("white", "red")
    assert (question.task, question.word_class, question.id) == ("t", "g h", "a")
    assert (question.split, question.story) == ("validation", "Snow")
    assert question.source == f"{data}:1"


def test_what_may_be_left_out_is(cloze):
    data = cloze("", row(), row(group="g"), row(id=7))
    questions = read(data, None, None).questions
    assert [question.id for question in questions] == ["snow-2", "g-3", "7"]
    assert [question.word_class for question in questions] == ["snow", "g", "snow"]
    assert {question.split for question in questions} == {""}


@pytest.mark.parametrize(
    ("context", "sentences"),
    [([], ()), ("", ()), (" \n", ()), (" One . Two . ", ("One . Two .",))],
)
def test_a_context_may_be_empty_or_one_text(cloze, context, sentences):
    (question,) = read(cloze(row(context=context)), None, None).questions
    assert question.context == sentences
    for style in ("none", "ptb"):
        said = detokenize(question, style)
        assert (len(said[0]), len(said[2])) == (len(sentences), 2)
    assert most_frequent_option(question) == 0


def test_the_hubs_names_do_as_well(cloze):
    hub = {"sentences": ["One ."], "question": "A XXXXX .", "word_class": "g"}
    data = cloze(without("context", "query", **hub))
    (question,) = read(data, None, None).questions
    assert (question.context, question.query) == (("One .",), "A XXXXX .")
    assert question.word_class == "g"


def test_options_are_counted_row_by_row(cloze):
    many = [f"o{n}" for n in range(64)]
    data = cloze(row(), row(options=many, answer="o63"))
    questions = read(data, None, None).questions
    assert [len(question.options) for question in questions] == [2, 64]
    assert chance(questions) == (1 / 2 + 1 / 64) / 2


MALFORMED = {
    "one option": (row(options=["white"]), "1 option, not 2 to 64: 'white'"),
    "65 options": (
        row(options=[*map(str, range(65))], answer="0"),
        "65 options, not 2 to 64: '0|1|2",
    ),
    "no options": (without("options"), "options is None, not a list of strings"),
    "options as text": (row(options="white|red"), "options is 'white|red', not a list"),
    "an empty option": (row(options=["white", " "]), "an empty option: 'white| '"),
    "an option twice": (row(options=["white", "white "]), "'white' is there twice"),
    "no answer": (without("answer"), "answer is None, not a string"),
    "the answer's number": (row(answer=0), "answer is 0, not a string"),
    "another answer": (row(answer="blue"), "'blue' is not among the options"),
    "no query": (without("query"), "query is None, not a string"),
    "no blank": (row(query="The hill ."), "0 blanks (XXXXX) in 'The hill .', not one"),
    "two blanks": (row(query="XXXXX XXXXX"), "2 blanks"),
    "both names": (row(question="A XXXXX ."), "it has query and question, which are"),
    "no context": (without("context"), "it has no context; [] says that there is none"),
    "a number for context": (row(context=3), "context is 3, neither a list of strings"),
    "an empty sentence": (
        row(context=["A .", ""]),
        "sentence 2 of its context is empt",
    ),
    "no task": (without("task"), "it has no task, which other rows of the file have"),
    "an empty task": (row(task=" "), "it has no task"),
    "a list for task": (row(task=["snow"]), "task is ['snow'], not one line of text"),
    "all": (row(group="all"), "its group is 'all', which means all of them"),
    "all as task": (row(task="all"), "its group is 'all'"),
    "lines for group": (row(group="a\nb"), "group is 'a\\nb', not one line of text"),
    "a list for id": (row(id=[1]), "id is [1], not one line of text"),
    "an id again": (row(id="snow-1"), "its id 'snow-1' is that of line 1 already"),
    "another split": (row(split="dev"), "split is 'dev', not one of train, validation"),
    "a list for story": (row(story=["a"]), "story is ['a'], not a string"),
    "no object": ("[1]", "[1] is not one JSON object per line"),
    "no JSON": ("{", "invalid JSON"),
    "no text": (row(query="XXXXX \ud800"), "not a string"),
}


@pytest.mark.parametrize(("bad", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_row_is_told_by_line_and_value(cloze, bad, reason):
    data = cloze(row(), bad, row())
    reading = read(data, None, None)
    assert [question.id for question in reading.questions] == ["snow-1", "snow-3"]
    (malformed,) = reading.malformed
    assert (malformed.file, malformed.line) == (data, 2)
    assert reason in malformed.reason


def test_cbt_has_no_groups(cloze):
    cbt = {
        "sentences": ["One ."] * 20,
        "question": "A XXXXX .",
        "options": list("abcdefghij"),
        "answer": "a",
        "word_class": "V",
    }
    reading = read(cloze(cbt, cbt | {"group": "g"}), None, None)
    assert len(reading.questions) == 1
    assert reading.malformed[0].line == 2
    assert "it has a group but no task" in reading.malformed[0].reason


def test_groups_are_chosen_and_an_unknown_one_is_told_with_those_there_are(cloze):
    data = cloze(*(row(group=group) for group in ("a", "b, c", "a", "d")))
    chosen = read(data, None, ["d", "a"]).questions
    assert [question.id for question in chosen] == ["a-1", "a-3", "d-4"]
    with pytest.raises(InputError, match=r"cloze\.jsonl has no group 'CN'; it has a, "):
        read(data, None, ["a", "CN"])
    even = select(read(data, None, None).questions, 3)
    assert [question.word_class for question in even] == ["a", "b, c", "d"]


def test_a_row_without_a_split_is_of_every_split(cloze):
    data = cloze(row(), row(split="train"), row(split="test"))
    for split, ids in (
        ("train", ["snow-1", "snow-2"]),
        ("validation", ["snow-1"]),
        ("test", ["snow-1", "snow-3"]),
        (None, ["snow-1", "snow-3"]),
    ):
        found = read(data, split, None).questions
        assert [question.id for question in found] == ids
    only = cloze(row(split="train"))
    assert len(read(only, None, None).questions) == 1
    with pytest.raises(InputError, match="`split=test`; its splits: train"):
        read(only, "test", None)


def test_malformed_rows_of_another_split_are_not_told(cloze):
    bad = row(split="train", answer="blue")
    assert not read(cloze(row(split="test"), bad), "test", None).malformed


def test_keys_that_nobody_reads_are_told(cloze):
    data = cloze(row(level=1, source="x"), row(level=2), row())
    assert read(data, None, None).unread == ("level (2 rows)", "source (1 row)")


def test_parquet_holds_tasks_too(tmp_path):
    rows = [row(id=None, difficulty=2), row(id="x", split="", context=[])]
    path = tmp_path / "train-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    reading = read(str(path), "test", None)
    assert [question.id for question in reading.questions] == ["snow-1", "x"]
    assert reading.questions[1].context == ()
    assert not reading.malformed
