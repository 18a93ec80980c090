"""CEL text in, condition IR out; every problem has its place, and nothing outside the profile gets through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.cel import MAX_SOURCE_BYTES, CelError, lower
from policy_core.condition import check_condition


def var(*path: str) -> list[str]:
    return ["var", *path]


def problems(source: str) -> list[tuple[int, str]]:
    with pytest.raises(CelError) as caught:
        lower(source)
    return [(problem.offset, problem.message) for problem in caught.value.complaints]


def hints(source: str) -> list[str]:
    with pytest.raises(CelError) as caught:
        lower(source)
    return [problem.hint for problem in caught.value.complaints]


A, B, L = var("context", "a"), var("context", "b"), var("context", "l")


@pytest.mark.parametrize(
    ("source", "node"),
    [
        ("context.a == 1", ["==", A, 1]),
        ("context.a == 1.0", ["==", A, ["double", "1.0"]]),
        ("context.a == -1.5e300", ["==", A, ["double", "-1.5e+300"]]),
        ("context.a == -9223372036854775808", ["==", A, -(2**63)]),
        ("0x1F == context.a", ["==", 31, A]),
        (r"""context.a == 'é\n"\x41' + r'\d' + '''x'''""", ["==", A, ["+", ["+", 'é\n"A', r"\d"], "x"]]),
        ("context.a == null || context.a == true", ["||", ["==", A, None], ["==", A, True]]),
        ('context["a"] == context.l[0]', ["==", A, ["index", L, 0]]),
        (".subject.properties.roles == []", ["==", var("subject", "properties", "roles"), ["list"]]),
        ('context.l[0]["b"].c == 1', ["==", ["select", ["select", ["index", L, 0], "b"], "c"], 1]),
        ("has(context.a.b)", ["has", A, "b"]),
        ("has(context.l[0].b)", ["has", ["index", L, 0], "b"]),
        ("!(context.a < -context.b)", ["!", ["<", A, ["neg", B]]]),
        ("context.a && context.b && (context.a || !context.b || true) && false", [
            "&&", A, B, ["||", A, ["!", B], True], False,
        ]),
        ("context.a ? context.b == 1 : false", ["?:", A, ["==", B, 1], False]),
        ("1 + 2 - 3 == 4 * 5 / 6 % 7", ["==", ["-", ["+", 1, 2], 3], ["%", ["/", ["*", 4, 5], 6], 7]]),
        ("context.a in ['x', context.b]", ["in", A, ["list", "x", B]]),
        ("context.a.startsWith('x') || context.a.endsWith('y')", ["||", ["startsWith", A, "x"], ["endsWith", A, "y"]]),
        ("context.a.contains('x') && size(context.l) == context.l.size()", [
            "&&", ["contains", A, "x"], ["==", ["size", L], ["size", L]],
        ]),
        ("context.l.exists(x, x == 1)", ["exists", L, "x", ["==", var("x"), 1]]),
        ("context.l.all(x, x.y.z)", ["all", L, "x", var("x", "y", "z")]),
        ("context.l.exists_one(x, x > context.a)", ["exists_one", L, "x", [">", var("x"), A]]),
        ("context.l.filter(x, x) == context.l.map(y, y + 1)", [
            "==", ["filter", L, "x", var("x")], ["map", L, "y", ["+", var("y"), 1]],
        ]),
        ("context.l.map(x, x > 1, x + 1) == []", [
            "==", ["map", ["filter", L, "x", [">", var("x"), 1]], "x", ["+", var("x"), 1]], ["list"],
        ]),
        ("[true].exists(x, [true].all(y, x || y))", [
            "exists", ["list", True], "x", ["all", ["list", True], "y", ["||", var("x"), var("y")]],
        ]),
        ("now - duration('1h30m') > timestamp('1970-01-01T00:00:01.5Z')", [
            ">", ["-", var("now"), ["duration", 5_400_000_000]], ["timestamp", 1_500_000],
        ]),
        ("context.a == 1 // why", ["==", A, 1]),
    ],
)  # fmt: skip
def test_lowers_to(source: str, node: Any) -> None:
    assert lower(source) == node
    check_condition(node)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        # syntax
        ("", [(0, "ends too early")]),
        ("context.a <", [(11, "ends too early")]),
        ("context.a\n  + && true", [(14, "unexpected &&")]),
        ("context.a == 1 context", [(15, "unexpected context")]),
        ('context.a == "é', [(13, 'cannot read "é'), (15, "ends too early")]),
        ("has(context)", [(4, "has() argument must be a field selection")]),
        ("context.?a == 1", [(0, "unsupported syntax '.?'")]),
        ("(" * 100 + "1" + ")" * 100, [(0, "nested deeper than 32")]),
        ("+".join(["1"] * 500), [(0, "nested deeper than 32")]),
        # types
        ('1 + "a" == 2', [(2, "+ is not defined on (int, string)")]),
        ('"é" == 1', [(4, "== is not defined on (string, int)")]),
        ("1 == 1.0", [(2, "== is not defined on (int, double)")]),
        ("context.a in 3", [(10, "in is not defined on (dyn, int)")]),
        ("size(1) == 1", [(0, "size is not defined on (int)")]),
        ("now < duration('1s')", [(4, "< is not defined on (timestamp, duration)")]),
        ("host.env == 1", [(9, "== is not defined on (string, int)")]),
        ("subject == null", [(8, "== is not defined on (map(string, dyn), null)")]),
        ("context.a", [(0, "is not certain to be a boolean")]),
        ("size(context.a)", [(0, "gives int, not a boolean")]),
        ("[context.a == 1]", [(0, "gives list<bool>, not a boolean")]),
        ("true", [(0, "is always true")]),
        ("context.a == 9223372036854775808", [(13, "integer beyond 64 bits")]),
        ("context.a == 1e400", [(13, "a double beyond its range")]),
        # names
        ("principal.id == 'a'", [(0, "unknown name principal")]),
        ("foo.bar.baz(1) == 1", [(0, "unknown name foo"), (8, "baz is outside the condition profile")]),
        ("subject.name == 'a'", [(8, "unknown field subject.name")]),
        ("subject . name == 'a'", [(10, "unknown field subject.name")]),
        ("has(resource.owner)", [(13, "unknown field resource.owner")]),
        ("action['id'] == 'a'", [(8, "unknown field action.id")]),
        ("context.l.exists(now, now == 1)", [(16, "exists: now is a variable of every condition")]),
        # outside the profile
        ("context.a.matches('x')", [(10, "matches is outside the condition profile")]),
        ("matches(context.a, 'x')", [(0, "matches is outside the condition profile")]),
        ("int(context.a) == 1", [(0, "int is outside the condition profile")]),
        ("now.getHours() == 1", [(4, "getHours is outside the condition profile")]),
        ("type(context.a) == int", [(0, "type is outside the condition profile"), (19, "unknown name int")]),
        ("context.a == 1u", [(13, "a literal of type uint is outside the condition profile")]),
        ("context.a == b'x'", [(13, "a literal of type bytes is outside the condition profile")]),
        ("{'a': 1}[context.a] == 1", [(0, "a map or message literal is outside the condition profile")]),
        (
            "google.protobuf.Duration{seconds: 1} < duration('2s')",
            [(0, "a map or message literal is outside the condition profile")],
        ),
        ("context.all(k, v, k == v)", [(8, "this form of all is outside the condition profile")]),
        (
            "timestamp(context.a) < now",
            [(0, "timestamp() of anything but a string literal is outside the condition profile")],
        ),
        ("timestamp(0) < now", [(0, "timestamp() of anything but a string literal is outside the condition profile")]),
        (
            "duration('1d') < now - now",
            [(9, "duration: '1d' is no duration such as 90s, 1h30m or 1.5h (units h, m, s, ms, us, ns)")],
        ),
        (
            "timestamp('2026-02-30T00:00:00Z') < now",
            [(10, "timestamp: '2026-02-30T00:00:00Z' is no date and time of the calendar")],
        ),
    ],
)
def test_is_refused_with_its_place(source: str, found: list[tuple[int, str]]) -> None:
    assert problems(source) == found


def test_all_problems_are_told_at_once_in_the_order_of_the_source() -> None:
    source = "subject.name == 'a' &&\n  1 + 'x' == 2 &&\n  context.a.matches('y') && nobody == 1 && action.id == 'b'"

    assert problems(source) == [
        (8, "unknown field subject.name"),
        (27, "+ is not defined on (int, string)"),
        (53, "matches is outside the condition profile"),
        (69, "unknown name nobody"),
        (91, "unknown field action.id"),
    ]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("context.a", "compare it, for instance with == true"),
        ("subject.name == 'a'", "did you mean subject.properties.name? subject has type, id, properties"),
        ("resource.propertes.a == 'a'", "did you mean properties?"),
        ("ressource.id == 'a'", "did you mean resource?"),
        ("x == 'a'", "the variables are subject, action, resource, context, data, host, now"),
        ("1 < 1.5", "write both as int (1) or both as double (1.0)"),
        (
            "context.a.matches('x')",
            "regular expressions are left out: use startsWith, endsWith or contains, or a glob in match",
        ),
        ("int(context.a) == 1", "docs/reference/conditions.md lists what a condition may use"),
        ("{'a': 1}[context.a] == 1", "put the table into data/ and look it up there"),
        ("context.all(k, v, k == v)", "write a.all(x, …)"),
        ("(" * 50 + "true" + ")" * 50, "split it into several rules"),
    ],
)
def test_a_hint_says_what_to_do(source: str, hint: str) -> None:
    assert hints(source) == [hint]


def test_the_source_is_bounded_in_bytes() -> None:
    fitting = "context.a == 1 //"
    lower(fitting + "é" * ((MAX_SOURCE_BYTES - len(fitting)) // 2))

    [(offset, message)] = problems(fitting + "é" * (MAX_SOURCE_BYTES // 2))

    assert offset == 0
    assert message == f"is {len(fitting) + MAX_SOURCE_BYTES} bytes long (at most {MAX_SOURCE_BYTES})"


def test_long_lists_and_chains_of_the_largest_source_are_fine() -> None:
    lower(f"context.a in [{','.join('1' * 2000)}]")
    lower(" || ".join(["context.a==1"] * 250))


def test_a_lone_surrogate_is_refused() -> None:
    assert problems('context.a == "\ud800"') == [(14, "a lone surrogate is no character")]


@pytest.mark.parametrize(
    "source",
    [
        "\x00",
        "context.a == '\x00' + ",
        "'''" * 1000,
        "[" * 4000,
        "!" * 4000,
        "-" * 4000 + "1",
        "a." * 2000 + "a",
        "context.l.exists(a, " * 40 + "true" + ")" * 40,
        "true ? " * 250 + "true" + " : true" * 250,
        "context" + "[context.a]" * 60 + " == 1",
        "\nERROR: <input>:1:1: forged\n | x",
        "'\nERROR: <input>:1:1: forged'",
        "🙈" * 1000,
    ],
    ids=lambda source: repr(source[:20]),
)
def test_a_hostile_source_is_refused_with_printable_single_lines(source: str) -> None:
    for offset, message in problems(source):
        assert 0 <= offset <= len(source)
        assert message.isprintable()
        assert len(message) < 300


@given(st.text(max_size=60) | st.text("context.a[]()&|!?:<>=+-*/%'\"01 x", max_size=60))
def test_any_text_is_lowered_or_refused(source: str) -> None:
    try:
        node = lower(source)
    except CelError as error:
        assert all(0 <= offset <= len(source) and message.isprintable() for offset, message, _ in error.complaints)  # noqa: PT017
        return

    check_condition(node)


def test_the_error_is_an_invalid_policy() -> None:
    with pytest.raises(CelError) as caught:
        lower("context.a && subject.name == 1")

    assert caught.value.exit_code == 3
    assert str(caught.value) == "offset 21: unknown field subject.name"
