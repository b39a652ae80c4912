"""What expressions are worth, and which are refused."""

import pytest

from local_cloud.workflows.errors import SourceError, WorkflowError
from local_cloud.workflows.expressions import parse_expression
from local_cloud.workflows.scope import Scope
from local_cloud.workflows.templates import read_template

VARIABLES = {
    "a": 3,
    "half": 0.5,
    "text": "magika",
    "list": [1, "two", {"three": 3}],
    "map": {"key": "value", "inner": {"deep": [7]}, "in": 1},
    "yes": True,
    "nothing": None,
}


def value_of(text):
    scope = Scope({"REGION": "europe-west4"}, dict(VARIABLES))
    return scope.fill(read_template("${" + text + "}"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-a + 1", -2),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("7 % 2", 1),
        ("1.5e2", 150.0),
        ('text + "@" + string(a)', "magika@3"),
        ('"a \\"quoted\\" word\\n"', 'a "quoted" word\n'),
        ("a == 3 and yes", True),
        ("a == 3 AND NOT yes", False),
        ("not yes or a > 2", True),
        ("not yes == yes", False),
        ("nothing == null", True),
        ("yes == 1", False),
        ("1 == 1.0", True),
        ('"b" > "a"', True),
        ("list[2].three", 3),
        ("map.inner.deep[0]", 7),
        ('map["key"]', "value"),
        ("map.in", 1),
        ('"key" in map', True),
        ("2 in list", False),
        ("[1, a]", [1, 3]),
        ('{"k": a, "l": []}', {"k": 3, "l": []}),
        ("default(nothing, a)", 3),
        ('map.get(map, "none")', None),
        ('map.get(map, ["inner", "deep"])', [7]),
        ('map.get(map, ["none", "deep"])', None),
        ("len(list) + len(text)", 9),
        ("keys(map.inner)", ["deep"]),
        ('int("12") + int(3.9)', 15),
        ('double("0.5")', 0.5),
        ("string(yes)", "true"),
        ("get_type(half)", "double"),
        ('json.encode_to_string({"a": [1, null]})', '{"a":[1,null]}'),
        ('json.decode("[1]")[0]', 1),
        ('text.split("a@b", "@")[1]', "b"),
        ('text.replace_all("a.b", ".", "-")', "a-b"),
        ('text.url_encode("a/b c")', "a%2Fb%20c"),
        ('sys.get_env("REGION")', "europe-west4"),
        ('sys.get_env("POLL_S", "15")', "15"),
        ('sys.get_env("NONE")', None),
        ("TRUE and True", True),
    ],
)
def test_an_expression_has_the_value_that_google_documents(text, value):
    came = value_of(text)

    assert came == value
    assert type(came) is type(value)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('"a" + 1', "TypeError"),
        ("yes + 1", "TypeError"),
        ("1 and yes", "TypeError"),
        ("-text", "TypeError"),
        ('"k" in text', "TypeError"),
        ("text.key", "TypeError"),
        ("list[-1]", "IndexError"),
        ("list[3]", "IndexError"),
        ("map.none", "KeyError"),
        ("stranger", "KeyError"),
        ("1 / 0", "ZeroDivisionError"),
        ('int("x")', "ValueError"),
        ('json.decode("{")', "ValueError"),
        ("len(a)", "TypeError"),
        ("string(map)", "TypeError"),
    ],
)
def test_what_does_not_fit_is_an_error_with_googles_tag(text, tag):
    with pytest.raises(WorkflowError) as caught:
        value_of(text)

    assert caught.value.value["tags"] == [tag]


def test_and_and_or_leave_out_what_does_not_matter():
    assert value_of("a == 3 or stranger") is True
    assert value_of("a == 4 and stranger") is False


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1 +", "the end"),
        ("1 2", "'2'"),
        ("(1", "the end"),
        ("'single'", "'single'"),
        ("a ? b", "? b"),
        ("a = 1", "= 1"),
        ('"\\x"', "\\x"),
        ("a not in b", "'not'"),
        ("a[1](2)", "operator"),
        ("x" * 401, "400"),
    ],
)
def test_an_expression_that_cannot_be_read_is_refused_with_the_place(text, named):
    with pytest.raises(SourceError) as refusal:
        parse_expression(text)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["events.await_callback(x)", "__import__(x)", "len.x(a)", "http.get(x)"]
)
def test_a_function_that_is_not_known_is_refused_by_its_name(text):
    with pytest.raises(SourceError, match=text.split("(")[0]):
        value_of(text)


def test_a_function_with_too_many_arguments_is_refused():
    with pytest.raises(SourceError, match=r"len.*expected 1 arguments, 2 came"):
        value_of("len(a, a)")


def test_an_expression_inside_a_longer_string_is_refused():
    with pytest.raises(SourceError, match="whole value"):
        read_template("hello ${text}")
