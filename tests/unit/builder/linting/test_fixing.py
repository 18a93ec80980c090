"""What --fix takes out of a file: entries that say nothing new, and not one character beside them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.linting import fix_tree, lint_tree
from builder.source import PolicyTree

SETTINGS = b"name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"
TODAY = datetime.date(2026, 6, 1)
HEAD = "version: v1\nrules:\n  - id: r  # a comment\n    decision: deny\n    match:\n"
TAGS = "      risk_tags:"


def fixed(text: str | bytes) -> tuple[bytes, list[str]]:
    content = text.encode() if isinstance(text, str) else text
    tree = PolicyTree("1" * 40, True, {"policies/a.yaml": content, "writ.yaml": SETTINGS})
    after, fixes = fix_tree(tree, lint_tree(tree, today=TODAY))
    return after.files["policies/a.yaml"], [str(fix) for fix in fixes]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("      risk_tags: [a, b, a]\n", "      risk_tags: [a, b]\n"),
        ("      risk_tags: [a,a , b] # kept\n", "      risk_tags: [a , b] # kept\n"),
        ("      risk_tags: ['a', \"a\", a]\n", "      risk_tags: ['a']\n"),
        (f"{TAGS} [\n        a,\n        b,\n        a,\n      ]\n", f"{TAGS} [\n        a,\n        b,\n      ]\n"),
        (f"{TAGS}\n       - a\n       #b\n       - b\n       - a\n", f"{TAGS}\n       - a\n       #b\n       - b\n"),
        ("      risk_tags:\n      - a\n      - a\n", "      risk_tags:\n      - a\n"),
        ("      actions: ['a.*', a.b, c]\n", "      actions: ['a.*', c]\n"),
        ("      actions: [a.b, a.c, 'a.*', c]\n", "      actions: ['a.*', c]\n"),
        ("      actions: [a.b, 'a.*', a.b]\n", "      actions: ['a.*']\n"),
        ("      actions:\n        - a.b\n        - 'a.*'\n", "      actions:\n        - 'a.*'\n"),
        ("      time: {days: [mon, tue, mon]}\n", "      time: {days: [mon, tue]}\n"),
        ("      subject: {roles: [é, b, é], ids: ['*', x]}\n", "      subject: {roles: [é, b], ids: ['*']}\n"),
        ("      risk_tags: [a, b, a]", "      risk_tags: [a, b]"),
    ],
)  # fmt: skip
def test_what_says_nothing_new_goes(before: str, after: str) -> None:
    content, fixes = fixed(HEAD + before)

    assert content.decode() == HEAD + after
    assert fixes


@pytest.mark.parametrize(
    "text",
    [
        "      risk_tags: [a, # first\n        a]\n",
        "      risk_tags:\n        - a\n        - a  # a reason\n",
        "      risk_tags:\n        - a\n        -\n          a\n",
        "      risk_tags: [a, b]\n",
        "      risk_tags: []\n",
    ],
)
def test_what_is_not_plainly_needless_stays(text: str) -> None:
    assert fixed(HEAD + text) == ((HEAD + text).encode(), [])


def test_a_file_keeps_its_line_ends() -> None:
    before = (HEAD + "      risk_tags: [a, b, a]\n").replace("\n", "\r\n").encode()

    assert fixed(before)[0] == before.replace(b", a]", b"]")


def test_a_file_of_two_kinds_of_line_ends_is_left_alone() -> None:
    before = HEAD.replace("\n", "\r\n").encode() + b"      risk_tags: [a, a]\n"

    assert fixed(before) == (before, [])


def test_each_entry_is_reported_with_its_line() -> None:
    _, fixes = fixed(HEAD + "      risk_tags:\n        - a\n        - b\n        - a\n")

    assert fixes == ["policies/a.yaml:9: fixed: removed the entry 'a'"]


def test_a_tree_with_errors_is_left_alone() -> None:
    before = (HEAD + "      risk_tags: [a, a]\n      acts: [x]\n").encode()

    assert fixed(before) == (before, [])


ENTRIES = st.lists(st.sampled_from(["a", "b.c", "b.*", "'*.c'", '"a"', "d"]), min_size=1, max_size=6)
SEPARATORS = st.sampled_from([", ", ",", " , ", ",\n        ", ", # why\n        "])


@given(entries=ENTRIES, data=st.data(), block=st.booleans())
def test_a_fix_changes_no_decision_keeps_comments_and_leaves_nothing_to_fix(
    entries: list[str], data: st.DataObject, block: bool
) -> None:
    if block:
        notes = [data.draw(st.sampled_from(["", "  # why", "\n        # apart"])) for _ in entries]
        lines = "".join(f"        - {entry}{note}\n" for entry, note in zip(entries, notes, strict=True))
        text = f"{HEAD}      actions:\n{lines}"
    else:
        text = HEAD + "      actions: [" + entries[0]
        text += "".join(data.draw(SEPARATORS) + entry for entry in entries[1:]) + "]\n"

    content, _ = fixed(text)

    assert content.count(b"#") == text.count("#")
    assert wanted(content) == wanted(text.encode())
    assert fixed(content) == (content, [])


def wanted(content: bytes) -> set[str]:
    """Return the actions of the rule without those that another one covers."""
    from builder.compiling import compile_tree
    from policy_core.glob import covers_glob

    tree = PolicyTree("1" * 40, True, {"policies/a.yaml": content, "writ.yaml": SETTINGS})
    actions = compile_tree(tree, today=None).rules[0].match.actions
    return {action for action in actions if not any(o != action and covers_glob(o, action) for o in actions)}
