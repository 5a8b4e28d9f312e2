"""Values of flags: what they become, and what is said where they cannot."""

import pytest

from experiments.values import Choice, Integer, Names, Number, Paths, YesNo, comma_hint


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Integer(0), "12", 12),
        (Integer(0, 5), " 5", 5),
        (Number(0), "1e-3", 0.001),
        (Number(0), "inf", float("inf")),  # the one who asks looks for that
        (YesNo(), "True", True),
        (YesNo(), "0", False),
        (Choice("a", "b"), "b", "b"),
        (Names(), "a, b", ["a", "b"]),
        (Names(), '"a,b",c', ["a,b", "c"]),
        (Names(), "", []),
        (Names(), "a,", ["a", ""]),
    ],
)
def test_values(kind, text, value):
    assert kind.parse(text) == value
    assert kind.parse(value) == value  # as defaults are given


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Integer(0), "ten", "a whole number is wanted, from 0 on"),
        (Integer(1), "0", "a whole number is wanted, from 1 on"),
        (Integer(0, 5), "6", "a whole number is wanted, from 0 to 5"),
        (Integer(0), "1.5", "a whole number"),
        (Integer(0), "", "a whole number"),
        (Number(0), "-1", "a number is wanted, from 0 on"),
        (Number(0), "nan", "a number is wanted"),
        (YesNo(), "maybe", "neither true nor false"),
        (Choice("a", "b"), "c", "choose from a, b"),
        (Names(), '"a', "not a list with commas"),
    ],
)
def test_what_is_no_value_says_what_is_wanted(kind, text, said):
    with pytest.raises(ValueError, match=said):
        kind.parse(text)


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in ("a,b", "a", "c,d,e", "deep/x,y"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "deep"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b", ["a,b"]),  # whole, though `a` exists too
        ("a,c,d,e,gpt2", ["a", "c,d,e", "gpt2"]),
        ("gpt2,a,b,c,d,e", ["gpt2", "a,b", "c,d,e"]),
        ("deep/x,y,a,b", ["deep/x,y", "a,b"]),
        ("~/x,y, a", ["~/x,y", "a"]),
        ("c,d", ["c", "d"]),
        ('"a",b', ["a", "b"]),
        ("a,,b", ["a", "", "b"]),
        ("", []),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_path_that_exists_is_taken_whole(text, names):
    assert Paths().parse(text) == names


@pytest.mark.usefixtures("place")
def test_where_a_comma_may_be_meant_the_error_says_so():
    two = ["gpt2-small", "t5-small"]
    assert "names: 2 were read" in comma_hint(two, two[0])
    assert comma_hint(two, two[0], hub=True) == ""
    assert "names: 2 were read" in comma_hint(
        ["c", "d"], "c", hub=True
    )  # c,d,e is there
    assert "names: 2 were read" in comma_hint(["/x/one", "two"], "two", hub=True)
    assert comma_hint(["./nowhere"], "./nowhere") == ""
    assert comma_hint(["a", "./b"], "a") == ""
