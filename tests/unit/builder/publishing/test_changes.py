"""What an approver is told: whatever reaches hosts, or is demanded of later releases, cannot change unseen."""

import datetime

import pytest

from builder.compiling import Compiled, compile_tree
from builder.publishing.changes import differences
from builder.source import PolicyTree

FILES = {
    "writ.yaml": "version: v1\nname: demo\nstore: file:///srv/store\nchannels: [prod]\n",
    "policies/a.yaml": "version: v1\nid: a\nmetadata: {title: A}\nrules:\n"
    "  - {id: reads, match: {actions: [x.read]}, decision: allow}\n",
    "classify/a.yaml": "version: v1\nid: facts\nclassify:\n"
    "  - {id: deletes, match: {actions: ['*.delete']}, risk_tags: [destructive]}\n",
    "data/services.yaml": "critical: [db]\n",
}


WRIT, POLICY, CLASSIFY, DATA = FILES


def compiled(changes: dict[str, str] | None = None) -> Compiled:
    """Return the policy with other files."""
    files = {name: content.encode() for name, content in {**FILES, **(changes or {})}.items()}
    return compile_tree(PolicyTree("0" * 40, False, files), today=datetime.date(2026, 11, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "seen"),
    [
        (POLICY, "allow", "deny", "rule a/reads"),
        (POLICY, "title: A", "title: B", "metadata a"),
        (CLASSIFY, "'*.delete'", "x.delete", "classification facts/deletes"),
        (DATA, "db", "web", "data services"),
        (WRIT, "/srv/store", "/srv/other", "setting store"),
        (WRIT, "[prod]\n", "[prod]\ngovernance: {required_metadata: [title]}\n", "setting governance"),
        (WRIT, "[prod]\n", "[prod]\nhosts: {max_pin: 1h}\n", "setting hosts"),
    ],
)
def test_a_change_is_named(file: str, old: str, new: str, seen: str) -> None:
    assert old in FILES[file]

    found = differences(compiled(), compiled({file: FILES[file].replace(old, new)}))

    assert (found.added, found.removed, found.changed) == ((), (), (seen,))


def test_layout_is_no_change() -> None:
    moved = {file: f"# moved\n\n{FILES[file]}" for file in FILES}

    found = differences(compiled(), compiled(moved))

    assert (found.added, found.removed, found.changed) == ((), (), ())


def test_of_a_first_release_the_policy_is_named() -> None:
    found = differences(None, compiled())

    assert found.added == ("classification facts/deletes", "data services", "rule a/reads")
