"""Attribute tests: what each operator says, and that what cannot be compared is an error, never an answer."""

import subprocess
import sys

import pytest

from policy_core import attributes
from policy_core.attributes import RegexUnavailableError, check_path, check_tests, compile_regex, holds
from policy_core.matcher.attributes import attribute_check, reader
from policy_core.model import AttributeTests
from policy_core.request import normalise

ERROR = None


def request(value):
    return normalise(
        {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "a"},
            "resource": {"type": "t", "id": "r"},
            "context": {} if value is ... else {"v": value},
        },
        now=0.0,
        host={},
    )


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "outcome"),
    [
        ("eq", "a", "a", True),
        ("eq", "a*", "ab", False),
        ("eq", 1, 1.0, True),
        ("eq", 1, True, ERROR),
        ("eq", True, 1, ERROR),
        ("eq", 0, False, ERROR),
        ("eq", "1", 1, ERROR),
        ("eq", "a", ["a"], ERROR),
        ("eq", "a", ..., ERROR),
        ("eq", "a", None, ERROR),
        ("ne", "a", "b", True),
        ("ne", "a", "a", False),
        ("ne", "a", 1, ERROR),
        ("ne", "a", ..., ERROR),
        ("in", ("a", 1), "b", False),
        ("in", ("a", 1), 1.0, True),
        ("in", ("a", 1), True, ERROR),
        ("not_in", ("a",), "b", True),
        ("not_in", ("a",), 5, ERROR),
        ("not_in", ("a",), ..., ERROR),
        ("lt", 2, 1.5, True),
        ("lt", 2, 2, False),
        ("le", 2, 2, True),
        ("gt", 2, 2, False),
        ("ge", 2, 2.0, True),
        ("ge", 2, 10**30, True),
        ("ge", 2, "3", ERROR),
        ("ge", 0, True, ERROR),
        ("lt", 2, ..., ERROR),
        ("glob", ("p*", "x"), "prod", True),
        ("glob", ("p*",), "a", False),
        ("glob", ("*",), 5, ERROR),
        ("prefix", ("/srv/", "/opt/"), "/opt/a", True),
        ("prefix", ("/srv/*",), "/srv/a", False),
        ("prefix", ("a",), ..., ERROR),
        ("exists", True, "a", True),
        ("exists", True, ..., False),
        ("exists", True, None, False),
        ("exists", False, ..., True),
        ("exists", False, False, False),
        ("cidr", ("10.0.0.0/8",), "10.9.8.7", True),
        ("cidr", ("10.0.0.0/8",), "11.0.0.0", False),
        ("cidr", ("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        ("cidr", ("10.0.0.0/8",), "fd00::1", False),
        ("cidr", ("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        ("cidr", ("10.0.0.0/8",), "10.0.0", ERROR),
        ("cidr", ("10.0.0.0/8",), " 10.0.0.1", ERROR),
        ("cidr", ("10.0.0.0/8",), "010.0.0.1", ERROR),
        ("cidr", ("10.0.0.0/8",), 167772161, ERROR),
        ("regex", ("OPS-[0-9]+",), "OPS-12", True),
        ("regex", ("OPS-[0-9]+",), "xOPS-12", False),
        ("regex", ("a", "b"), "b", True),
        ("regex", ("a",), "a\n", False),
        ("regex", ("a",), 5, ERROR),
        ("regex", ("a",), "\ud800", ERROR),
    ],
)
def test_an_operator_says_true_false_or_error(operator, wanted, value, outcome):
    tests = AttributeTests(**{"in_" if operator == "in" else operator: wanted})

    assert attribute_check("context.v", tests)(request(value)) is outcome
    assert holds(operator, wanted, None if value is ... else value) is outcome


@pytest.mark.parametrize(
    ("value", "outcome"), [(3, True), (9, False), (-1, False), ("a", ERROR), (..., ERROR), ({}, ERROR)]
)
def test_operators_of_one_path_are_joined_by_and(value, outcome):
    assert attribute_check("context.v", AttributeTests(ge=0, le=5))(request(value)) is outcome


def test_exists_guards_an_attribute_that_may_be_absent():
    check = attribute_check("context.v", AttributeTests(exists=True, eq="a"))

    assert [check(request(value)) for value in (..., "a", "b", 5)] == [False, True, False, ERROR]


@pytest.mark.parametrize("value", [{}, {"a": None}, {"a": "text"}, {"a": ["b"]}, {"a": {"b": None}}, "a", 5])
def test_a_path_that_leads_nowhere_is_absent(value):
    assert reader("context.v.a.b")(request(value)) is None


def test_scalars_and_nested_values_have_paths():
    raw = request({"a": {"b": [1]}})

    assert reader("context.v.a.b")(raw) == [1]
    assert [reader(path)(raw) for path in ("subject.type", "action.name", "resource.id")] == ["user", "a", "r"]


@pytest.mark.parametrize(
    "path", ["context.a", "subject.id", "resource.properties.a.b", "action.properties.x", "action.name"]
)
def test_a_path_a_request_can_have_is_accepted(path):
    assert check_path(path) is None


@pytest.mark.parametrize("path", ["", "a", "context", "context.", "host.env", "data.a", "subject.name", "action.id",
                                  "subject.type.x", "resource.properties", "context." + "a" * 256])  # fmt: skip
def test_a_path_no_request_has_is_refused(path):
    assert check_path(path) is not None


@pytest.mark.parametrize(
    "tests",
    [
        AttributeTests(),
        AttributeTests(exists=False, eq=1),
        AttributeTests(cidr=("10.0.0.1/8",)),
        AttributeTests(regex=("(",)),
        AttributeTests(regex=("a" * 1_001,)),
        AttributeTests(regex=("((a{1000}){1000}){1000}",)),
        AttributeTests(regex=("\ud800",)),
    ],
)
def test_tests_no_builder_writes_are_refused(tests):
    assert check_tests(tests)


def test_a_catastrophic_regex_takes_linear_time():
    pattern = compile_regex("(a+)+b|(x*)*y|(.*a){20}")

    assert pattern.fullmatch("a" * 1_000_000 + "c") is None


def test_without_the_library_a_regex_is_refused_and_the_rest_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    attributes.compile_regex.cache_clear()

    with pytest.raises(RegexUnavailableError, match="google-re2 is not installed") as refused:
        check_tests(AttributeTests(regex=("never compiled before",)))

    assert refused.value.exit_code == 3
    assert check_tests(AttributeTests(glob=("a",))) == ""


def test_the_library_is_loaded_only_by_a_rule_with_a_regex():
    code = (
        "import sys\n"
        "from policy_core.decision import PolicyRef\n"
        "from policy_core.matcher import encode_rules, load\n"
        "from policy_core.model import AttributeTests, Clauses, Decision, Rule\n"
        "for tests in (AttributeTests(glob=('a*',), cidr=('10.0.0.0/8',)), AttributeTests(regex=('a',))):\n"
        "    rule = Rule(policy='p', id='r', decision=Decision.DENY, match=Clauses(attributes={'context.a': tests}))\n"
        "    load(encode_rules([rule]), policy=PolicyRef(bundle='', revision=''))\n"
        "    print('re2' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]
