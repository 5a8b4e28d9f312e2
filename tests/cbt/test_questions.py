"""Reading questions: every format, every way an item or a source can be bad."""

import dataclasses
import json
import pickle
from collections import Counter
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt import Malformed, Question, check, read, select
from jaxsparse.types import InputError

SAMPLE = Path(__file__).parents[2].parent / "shared/data/cbt_sample"
OPTIONS = [
    *("bucket", "fence", "garden", "hen", "kettle"),
    *("lantern", "orchard", "pony", "ribbon", "stove"),
]


def fields(name="hen", **changes):
    """One good item by the hub's columns, with `changes`."""
    return {
        "sentences": [f"Sentence {n} about the {name} ." for n in range(1, 21)],
        "question": "She gave the XXXXX its corn .",
        "answer": "hen",
        "options": list(OPTIONS),
    } | changes


def text(name="hen", **changes):
    """The same item as CBTest text, 21 lines."""
    item = fields(name, **changes)
    lines = [f"{n} {sentence}" for n, sentence in enumerate(item["sentences"], 1)]
    options = "|".join(item["options"])
    return [*lines, f"21 {item['question']}\t{item['answer']}\t\t{options}"]


def write_text(path, *items, end="\n"):
    blocks = ["".join(line + end for line in item) for item in items]
    path.write_bytes(end.join(blocks).encode())
    return str(path)


def write_json(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write_parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def only_fault(reading):
    assert not reading.questions
    (malformed,) = reading.malformed
    return malformed


@pytest.fixture
def ne_test(tmp_path):
    return tmp_path / "cbtest_NE_test_2500ex.txt"


# The record


def test_a_question_holds_what_the_file_says(ne_test):
    data = write_text(ne_test, text(), text("pony"))
    first, second = read(data, None, None).questions
    assert first.context == tuple(fields()["sentences"])
    assert first.query == "She gave the XXXXX its corn ."
    assert first.options == tuple(OPTIONS)
    assert (first.answer, first.word_class, first.split) == ("hen", "NE", "test")
    assert (first.id, second.id) == ("NE-test-1", "NE-test-2")
    assert (first.source, second.source) == (f"{ne_test}:21", f"{ne_test}:43")


def test_the_digest_is_of_the_content_alone(ne_test, tmp_path):
    first, second = read(
        write_text(ne_test, text(), text("pony")), None, None
    ).questions
    row = read(write_json(tmp_path / "a.jsonl", fields()), "train", ["V"]).questions[0]
    assert first.digest == row.digest != second.digest
    assert first.digest.startswith("595810b68ab02718")  # and in every later run
    for change in (
        {"query": "XXXXX ."},
        {"answer": "pony"},
        {"options": first.options[::-1]},
        {"context": first.context[::-1]},
    ):
        assert dataclasses.replace(first, **change).digest != first.digest
    assert dataclasses.replace(first, story="Hens").digest == first.digest


def test_asking_for_the_digest_leaves_the_record_as_it_was(ne_test):
    asked = read(write_text(ne_test, text()), None, None).questions[0]
    other = dataclasses.replace(asked)
    before = repr(asked), hash(asked), pickle.dumps(asked)
    assert asked.digest is asked.digest
    assert asked == other
    assert (repr(asked), hash(asked), pickle.dumps(asked)) == before
    assert pickle.loads(pickle.dumps(asked)).digest == other.digest


def test_malformed_names_file_line_and_reason():
    assert str(Malformed("a.txt", 7, "no blank", "NE-test-1")) == "a.txt:7: no blank"


# CBTest text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(ne_test, end):
    write_text(ne_test, text(), text("pony"), end=end)
    plain = read(str(ne_test), None, None).questions
    ne_test.write_bytes(b"\xef\xbb\xbf" + ne_test.read_bytes())
    marked = read(str(ne_test), None, None).questions
    assert marked == plain
    assert plain[0].options[-1] == "stove"


def test_only_a_newline_ends_a_line(ne_test):
    sentences = fields()["sentences"]
    sentences[4] = "A line\u2028separator , a\x0bvertical tab and a\x85next line ."
    reading = read(write_text(ne_test, text(sentences=sentences)), None, None)
    assert reading.questions[0].context[4] == sentences[4]


def test_blank_lines_between_items_may_be_missing_or_many(ne_test):
    lines = [*text(), *text("pony"), "", "  ", *text("stove")]
    reading = read(write_text(ne_test, lines), None, None)
    assert [q.id for q in reading.questions] == [f"NE-test-{n}" for n in (1, 2, 3)]
    assert reading.questions[2].source == f"{ne_test}:65"


def changed(line, new):
    lines = text()
    lines[line - 1] = new
    return lines


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (text()[:13], 13, "ends after line 13 of 21"),
        (text()[:1], 1, "ends after line 1 of 21"),
        (text()[1:], 1, "begins with '2' where line 1"),
        (changed(5, "6 Twice six ."), 5, "begins with '6' where line 5"),
        (changed(5, "No number ."), 5, "begins with 'No' where line 5"),
        (changed(9, "9 "), 9, "sentence 9 is empty"),
        (changed(9, "9"), 9, "sentence 9 is empty"),
        (changed(21, "21 The XXXXX ran ."), 21, "between tabs: 'The XXXXX ran .'"),
        (changed(21, "21 The XXXXX .\then\ta|b"), 21, "between tabs"),
        (changed(21, "21 A XXXXX .\then\twhat\ta|b"), 21, "between tabs"),
        (text(options=OPTIONS[:9]), 21, "9 options, not 10: 'bucket|fence"),
        (text(options=[*OPTIONS, "one"]), 21, "11 options, not 10"),
        (text(options=[*OPTIONS[:9], " "]), 21, "an empty option"),
        (text(question="No blank ."), 21, "0 blanks (XXXXX) in 'No blank .'"),
        (text(question="XXXXX and XXXXX ."), 21, "2 blanks"),
        (text(answer="Hen"), 21, "the answer 'Hen' is not among the options"),
        (text(answer=""), 21, "the answer '' is not among the options"),
    ],
)
def test_a_malformed_item_is_told_by_line_and_value(ne_test, lines, line, reason):
    reading = read(write_text(ne_test, text("pony"), lines, text()), None, None)
    assert [q.id for q in reading.questions] == ["NE-test-1", "NE-test-3"]
    (malformed,) = reading.malformed
    assert malformed.file == str(ne_test)
    assert malformed.line == 22 + line
    assert reason in malformed.reason
    assert malformed.id == "NE-test-2"


def test_a_file_that_ends_within_a_line_is_malformed(ne_test):
    ne_test.write_text("\n".join(text())[:-60])
    malformed = only_fault(read(str(ne_test), None, None))
    assert malformed.line == 21


# Rows: json-lines, parquet, the hub


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_rows_and_text_give_equal_questions(tmp_path, ne_test, suffix):
    path = tmp_path / f"cbtest_NE_test_2500ex{suffix}"
    rows = [fields(), fields("pony")]
    write_parquet(path, rows) if suffix == ".parquet" else write_json(path, *rows)
    from_text = read(write_text(ne_test, text(), text("pony")), None, None).questions
    from_rows = read(str(path), None, None).questions
    assert [q.digest for q in from_rows] == [q.digest for q in from_text]
    assert [q.id for q in from_rows] == [q.id for q in from_text]
    assert from_rows[1].source == f"{path}:2"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sentences": ["One ."] * 19}, "19 sentences, not 20"),
        ({"sentences": "One ."}, "sentences is 'One .', not a list of strings"),
        ({"sentences": [None] * 20}, "not a list of strings"),
        ({"question": 3}, "question is 3, not a string"),
        ({"question": "No blank ."}, "0 blanks"),
        ({"answer": None}, "answer is None, not a string"),
        ({"options": "a|b"}, "options is 'a|b', not a list of strings"),
        ({"options": OPTIONS[:9]}, "9 options, not 10"),
        ({"answer": "\ud800"}, "not a string"),
        ({"story": ["Hens"]}, "story is ['Hens'], not a string"),
        ({"story": 7.5, "book": "b"}, "story is 7.5, not a string"),
        ({"story": True}, "story is True, not a string"),
    ],
)
def test_a_malformed_row_is_told_by_row_and_value(tmp_path, changes, reason):
    data = write_json(tmp_path / "a.jsonl", fields("pony"), fields(**changes))
    (malformed,) = read(data, None, ["V"]).malformed
    assert (malformed.line, malformed.id) == (2, "V-test-2")
    assert reason in malformed.reason


def test_a_column_names_the_story(tmp_path):
    rows = [
        fields(story=" Hens ", book="b"),
        fields(story=None, book="b"),
        fields(story="", book="b"),
        fields(story="7"),
        fields(),
    ]
    for data in (
        write_json(tmp_path / "a.jsonl", *rows),
        write_parquet(tmp_path / "a.parquet", rows),
    ):
        questions = read(data, None, ["V"]).questions
        assert [one.story for one in questions] == ["Hens", "b", "", "7", ""]
    numbered = read(write_json(tmp_path / "a.jsonl", fields(book=7)), None, ["V"])
    assert numbered.questions[0].story == "7"


@pytest.mark.parametrize("book", [7.5, {"title": "Hens"}, ["Hens"], True])
def test_a_column_book_that_names_nothing_is_ignored(tmp_path, book):
    """It need not be ours."""
    rows = [fields(story="Hens", book=book), fields(story=None, book=book)]
    for data in (
        write_json(tmp_path / "a.jsonl", *rows),
        write_parquet(tmp_path / "a.parquet", rows),
    ):
        reading = read(data, None, ["V"])
        assert not reading.malformed
        assert [one.story for one in reading.questions] == ["Hens", ""]


def test_a_line_that_is_no_json_object_is_malformed(tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps(fields())
    path.write_text(f"{good[:50]}\n\n[1, 2]\n{good}\n{'[' * 100_000}\n")
    reading = read(str(path), None, ["CN"])
    broken, no_object, deep = reading.malformed
    assert (broken.line, no_object.line, deep.line) == (1, 3, 5)
    assert "invalid JSON" in broken.reason
    assert "[1, 2] is not one JSON object per line" in no_object.reason
    assert "invalid JSON" in deep.reason
    assert reading.questions[0].id == "CN-test-3"


def test_a_parquet_column_that_is_not_asked_for_is_not_read(tmp_path):
    """A date beyond Python's would be an error."""
    table = pyarrow.Table.from_pylist([fields(word_class="P")])
    dates = pyarrow.array([2**30], pyarrow.date32())
    pyarrow.parquet.write_table(
        table.append_column("when", dates), tmp_path / "a.parquet"
    )
    reading = read(str(tmp_path / "a.parquet"), None, ["P"])
    assert len(reading.questions) == 1
    pyarrow.parquet.write_table(
        table.append_column("story", dates), tmp_path / "b.parquet"
    )
    with pytest.raises(InputError, match=r"b\.parquet cannot be read as parquet"):
        read(str(tmp_path / "b.parquet"), None, ["P"])


def test_parquet_text_that_is_not_utf8_is_one_line(tmp_path):
    table = pyarrow.Table.from_pylist([fields(word_class="P")])
    bad = pyarrow.array([b"\xff"]).cast(pyarrow.string(), safe=False)
    at = table.schema.get_field_index("question")
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(table.set_column(at, "question", bad), path)
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read(str(path), None, ["P"])


def test_parquet_nulls_are_malformed(tmp_path):
    rows = [fields(), fields(options=None), fields(sentences=None)]
    reading = read(write_parquet(tmp_path / "a.parquet", rows), None, ["P"])
    assert [one.line for one in reading.malformed] == [2, 3]


def test_a_missing_column_is_named(tmp_path):
    rows = [{k: v for k, v in fields().items() if k != "options"}] * 2
    for data in (
        write_json(tmp_path / "a.jsonl", *rows),
        write_parquet(tmp_path / "a.parquet", rows),
    ):
        with pytest.raises(InputError, match=r"a\.\w+ has no column 'options'"):
            read(data, None, ["CN"])


def test_a_column_missing_from_one_row_makes_that_row_malformed(tmp_path):
    short = {k: v for k, v in fields().items() if k != "options"}
    reading = read(write_json(tmp_path / "a.jsonl", fields(), short), None, ["CN"])
    assert len(reading.questions) == 1
    assert "options is None" in reading.malformed[0].reason


def test_a_word_class_column_decides_and_is_filtered(tmp_path):
    rows = [fields(word_class=name) for name in ("CN", "NE", "V", "NE", "verb")]
    data = write_json(tmp_path / "a.jsonl", *rows)
    everything = read(data, None, None)
    assert [q.id for q in everything.questions] == [
        "CN-test-1",
        "NE-test-2",
        "V-test-3",
        "NE-test-4",
    ]
    assert "word_class is 'verb', not one of CN, NE" in everything.malformed[0].reason
    some = read(data, None, ["V", "NE"])
    assert [q.id for q in some.questions] == ["NE-test-2", "V-test-3", "NE-test-4"]
    assert len(some.malformed) == 1  # what it is cannot be told, so it does not vanish


def test_a_split_column_decides_and_is_filtered(tmp_path):
    splits = ("train", "valid", "validation", "test", "dev")
    rows = [fields(split=split) for split in splits]
    data = write_json(tmp_path / "a.jsonl", *rows)
    reading = read(data, "validation", ["CN"])
    assert [q.id for q in reading.questions] == ["CN-validation-2", "CN-validation-3"]
    assert "split is 'dev'" in reading.malformed[0].reason
    assert [q.id for q in read(data, None, ["CN"]).questions] == ["CN-test-4"]


def test_the_only_split_of_a_column_needs_no_flag(tmp_path):
    data = write_json(tmp_path / "a.jsonl", fields(split="valid", word_class="P"))
    assert read(data, None, None).questions[0].id == "P-validation-1"
    with pytest.raises(InputError, match=r"a\.jsonl holds no questions .*`split=train"):
        read(data, "train", None)


def test_the_hub_is_read_by_class_and_split(monkeypatch):
    asked = []

    def load_dataset(*arguments, **options):
        asked.append((*arguments, options))
        rows = [fields(), fields(answer="cow")]
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    reading = read("cbt", "validation", ["V", "CN"])
    assert asked == [
        ("cam-cst/cbt", "V", {"split": "validation"}),
        ("cam-cst/cbt", "CN", {"split": "validation"}),
    ]
    assert [q.id for q in reading.questions] == ["V-validation-1", "CN-validation-1"]
    assert reading.malformed[0].file == "cam-cst/cbt/V/validation"
    assert reading.malformed[0].line == 2


@pytest.mark.parametrize("error", [ConnectionError, ValueError, RuntimeError])
def test_offline_the_hub_error_says_what_to_pass(monkeypatch, error):
    def load_dataset(*_, **__):
        raise error("Couldn't reach it\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError) as raised:
        read("cbt", None, ["NE"])
    message = str(raised.value)
    for part in ("offline", "Couldn't reach it", "`data=DIR`", ".jsonl or .parquet"):
        assert part in message
    assert "\n" not in message


# Directories, names and flags


def test_a_directory_gives_the_asked_classes_in_the_asked_order(tmp_path):
    names = ("CN_train", "CN_valid_2000ex", "CN_test_2500ex", "V_test_1ex", "NE_train")
    for name in names:
        write_text(tmp_path / f"cbtest_{name}.txt", text(name))
    (tmp_path / "cbtest_P_test_2500ex.txt").write_bytes(b"\xff not asked for")
    (tmp_path / "notes.txt").write_bytes(b"\xff not read")
    ids = [q.id for q in read(str(tmp_path), None, ["V", "CN", "V"]).questions]
    assert ids == ["V-test-1", "CN-test-1"]
    (validation,) = read(str(tmp_path), "validation", ["CN"]).questions
    assert "CN_valid_2000ex" in validation.context[0]
    (train,) = read(str(tmp_path), "train", ["NE"]).questions
    assert train.id == "NE-train-1"


def test_a_directory_names_the_missing_file(tmp_path):
    write_text(tmp_path / "cbtest_CN_test_2500ex.txt", text())
    with pytest.raises(InputError, match=r"has no cbtest_NE_test\*\.txt; .*`split"):
        read(str(tmp_path), None, None)


def test_a_directory_names_both_candidates(tmp_path):
    for name in ("a", "b"):
        write_text(tmp_path / f"cbtest_CN_test_{name}.txt", text())
    with pytest.raises(InputError, match=r"cbtest_CN_test_a.txt and cbtest_CN_test_b"):
        read(str(tmp_path), None, ["CN"])


def test_class_and_split_come_from_the_name(tmp_path):
    data = write_text(tmp_path / "cbtest_NE_valid_2000ex.txt", text())
    assert read(data, None, None).questions[0].id == "NE-validation-1"
    assert read(data, "validation", ["NE"]).questions[0].id == "NE-validation-1"
    data = write_text(tmp_path / "cbtest_P.txt", text())
    assert read(data, None, None).questions[0].id == "P-test-1"
    assert read(data, "train", None).questions[0].id == "P-train-1"


def test_flags_that_contradict_the_name_are_refused(tmp_path):
    data = write_text(tmp_path / "cbtest_NE_valid_2000ex.txt", text())
    with pytest.raises(InputError, match="contradicts `split=test"):
        read(data, "test", None)
    for classes in (["CN"], ["NE", "CN"]):
        with pytest.raises(InputError, match=r"contradicts `word_classes=.*CN"):
            read(data, None, classes)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("validation-00000-of-00001.parquet", "validation"),
        ("valid-00000-of-00001.parquet", "validation"),
        ("train-00002-of-00010.parquet", "train"),
        ("test-00000-of-00001.parquet", "test"),
        ("validation-00000-of-00001.jsonl", "validation"),
    ],
)
def test_the_hubs_file_names_say_the_split_and_no_class(tmp_path, name, split):
    data = tmp_path / "CN" / name
    data.parent.mkdir()
    if data.suffix == ".parquet":
        write_parquet(data, [fields()])
    else:
        write_json(data, fields())
    with pytest.raises(InputError, match=rf"{name}: .*`word_classes"):
        read(str(data), None, None)
    (question,) = read(str(data), None, ["V"]).questions
    assert (question.id, question.split) == (f"V-{split}-1", split)
    assert read(str(data), split, ["V"]).questions == (question,)
    other = "train" if split != "train" else "test"
    with pytest.raises(InputError, match=rf"{split} .*contradicts `split={other}"):
        read(str(data), other, ["V"])


def test_a_class_column_in_a_file_of_the_hubs_name(tmp_path):
    data = tmp_path / "validation-00000-of-00001.parquet"
    write_parquet(data, [fields(word_class="P"), fields(word_class="NE")])
    ids = [question.id for question in read(str(data), None, None).questions]
    assert ids == ["P-validation-1", "NE-validation-2"]


def test_a_nameless_file_needs_one_word_class(tmp_path):
    data = write_text(tmp_path / "mine.txt", text())
    for classes in (None, ["CN", "V"]):
        with pytest.raises(InputError, match=r"mine\.txt.*`word_classes"):
            read(data, None, classes)
    assert read(data, "train", ["V"]).questions[0].id == "V-train-1"


@pytest.mark.parametrize("name", ["cbtest_NE_test.txt", "a.jsonl", "a.parquet"])
def test_an_empty_file_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(InputError, match=name):
        read(str(path), None, None)
    with pytest.raises(InputError, match=r"cbtest_NE_test|no cbtest"):
        read(str(tmp_path), None, ["NE"])


def test_a_file_without_the_asked_class_is_named(tmp_path):
    data = write_json(tmp_path / "a.jsonl", fields(word_class="CN"))
    with pytest.raises(InputError, match=r"a\.jsonl holds no questions .*=V"):
        read(data, None, ["V"])


def test_bytes_that_are_not_utf8_are_told_by_line(ne_test):
    ne_test.write_bytes("\n".join(text()).encode() + b"\n\n1 caf\xe9\n")
    with pytest.raises(InputError, match=r"2500ex\.txt:23: byte 6 .*not UTF-8"):
        read(str(ne_test), None, None)


def test_unusable_sources_say_what_data_accepts(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    for data in (str(tmp_path / "nowhere"), str(tmp_path / "a.csv")):
        with pytest.raises(
            InputError, match=r"`data` accepts bundled, cbt .*\.parquet"
        ):
            read(data, None, ["CN"])


def test_a_file_that_is_not_parquet_is_refused_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as") as raised:
        read(str(path), None, ["CN"])
    assert "\n" not in str(raised.value)


def test_unknown_flag_values_are_refused(ne_test):
    data = write_text(ne_test, text())
    with pytest.raises(InputError, match="`split=dev`: choose one of train"):
        read(data, "dev", None)
    for classes in (["XX"], []):
        with pytest.raises(InputError, match="`word_classes="):
            read(data, None, classes)


# check and select


def test_check_counts_and_shows_the_first_three():
    malformed = [Malformed("a.txt", n, f"reason {n}", f"CN-test-{n}") for n in range(5)]
    with pytest.raises(InputError) as raised:
        check(malformed, skip=False)
    message = str(raised.value)
    assert message.startswith("5 malformed items: a.txt:0: reason 0; ")
    assert "a.txt:2: reason 2" in message
    assert "reason 3" not in message
    assert "`skip_malformed`" in message
    assert "\n" not in message
    with pytest.raises(InputError, match=r"^1 malformed item: "):
        check(malformed[:1], skip=False)


def test_check_lets_pass():
    check([], skip=False)
    check([Malformed("a.txt", 1, "reason", "CN-test-1")], skip=True)


def questions_of(classes):
    blank = Question((), "", (), "", "", "test", "", "")
    return [
        dataclasses.replace(blank, word_class=word_class, id=str(position))
        for position, word_class in enumerate(classes)
    ]


@pytest.mark.parametrize(
    ("classes", "number", "ids"),
    [
        ("CCCNNN", 0, "012345"),
        ("CCCNNN", 2, "03"),
        ("CCCNNN", 3, "013"),
        ("NNNCCC", 3, "013"),
        ("CNNNNVVVV", 6, "012356"),
        ("CNNNNVVVV", 7, "0123567"),
        ("CNCN", 2, "01"),
        ("CN", 9, "01"),
    ],
)
def test_select_is_even_over_classes(classes, number, ids):
    chosen = select(questions_of(classes), number)
    assert "".join(q.id for q in chosen) == ids


@given(st.lists(st.sampled_from(["CN", "NE", "V", "P"])), st.integers(0, 30))
def test_select_takes_prefixes_and_differs_by_one(classes, number):
    questions = questions_of(classes)
    chosen = select(questions, number)
    assert len(chosen) == min(number or len(classes), len(classes))
    assert list(chosen) == [q for q in questions if q in chosen]
    present, taken = Counter(classes), Counter(q.word_class for q in chosen)
    for word_class in present:
        ours = [q for q in questions if q.word_class == word_class]
        assert [q for q in chosen if q in ours] == ours[: taken[word_class]]
        for other in present:
            exhausted = taken[word_class] == present[word_class]
            assert exhausted or taken[other] <= taken[word_class] + 1


@given(
    st.lists(st.sampled_from(["CN", "NE", "V", "P"])),
    st.integers(0, 30),
    st.integers(0, 5),
)
def test_select_draws_as_many_of_each_class_and_fewer_among_more(classes, n, seed):
    questions = questions_of(classes)
    first, drawn = select(questions, n), select(questions, n, seed)
    assert list(drawn) == [q for q in questions if q in drawn]
    counts = [Counter(q.word_class for q in one) for one in (first, drawn)]
    assert counts[0] == counts[1]
    assert n == 0 or set(drawn) <= set(select(questions, n + 3, seed))


def test_select_draws_by_the_seed_alone():
    questions = questions_of(["CN", "V"] * 50)
    draws = [select(questions, 10, seed) for seed in (1, 1, 2, None)]
    assert draws[0] == draws[1]
    assert len({tuple(q.id for q in one) for one in draws}) == 3


def test_select_refuses_a_negative_number():
    with pytest.raises(InputError, match="`num_examples` is -1"):
        select([], -1)


# The real thing, where it is


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not part of the project")
def test_the_sample_is_read_whole():
    for split in ("train", "test"):
        reading = read(str(SAMPLE), split, None)
        assert not reading.malformed
        assert Counter(q.word_class for q in reading.questions) == {
            "CN": 2,
            "NE": 2,
            "V": 2,
            "P": 2,
        }
    cut = read(str(SAMPLE / "truncated/cbtest_NE_test_2500ex.txt"), None, None)
    assert len(cut.questions) == 2
    assert "ends after line 6 of 21" in str(cut.malformed[0])
