"""``governance.approvals``: globs over paths, and teams that can approve."""

import pytest

from builder.language.nodes import Report
from builder.language.path_approvals import PathApprovals
from builder.language.project import read_project

HEAD = "name: a\nstore: s3://b/c\nchannels: [prod]\n"
TEAMS = "teams: {security: [ana, bo], sre: [cy], lone: [cy]}"


def read(governance: str) -> tuple[PathApprovals | None, list[str]]:
    report = Report("writ.yaml")
    project = read_project(f"{HEAD}governance: {{{TEAMS}, {governance}}}\n".encode(), report)
    problems = [problem.message for problem in sorted(report.problems)]
    return project and project.governance.path_approvals, problems


def test_globs_teams_and_signers_are_read() -> None:
    found, problems = read("approvals: {'policies/**': [security], writ.yaml: [security, sre]}, signers: trust/people")

    assert problems == []
    assert found == PathApprovals(
        {"policies/**": ("security",), "writ.yaml": ("security", "sre")},
        {"security": ("ana", "bo"), "sre": ("cy",), "lone": ("cy",)},
        "trust/people",
    )


def test_nothing_is_demanded_by_default() -> None:
    found, problems = read("exceptions: {max_days: 30}")

    assert (found, problems) == (PathApprovals(), [])


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("policies/**", "policies/a.yaml", True),
        ("policies/**", "policies/deep/down/a.yaml", True),
        ("policies/*", "policies/deep/down/a.yaml", True),
        ("policies/**", "policies", True),
        ("policies/**", "policies.md", False),
        ("policies/**", "Policies/a.yaml", False),
        ("policies/**", "x/policies/a.yaml", False),
        ("policies/**", "policies/\udcff\n", True),
        ("writ.yaml", "writ.yaml", True),
        ("writ.yaml", "writxyaml", False),
        ("*.yaml", "policies/a.yaml", True),
        (".github/**", ".github/workflows/a.yml", True),
    ],
)
def test_globs_match_whole_paths(glob: str, path: str, *, matches: bool) -> None:
    assert PathApprovals({glob: ("security",)}, {}).teams_of(path) == (("security",) if matches else ())


def test_a_path_needs_the_teams_of_every_glob_that_matches() -> None:
    approvals = PathApprovals({"policies/**": ("security",), "*.yaml": ("sre", "security"), "data/**": ("data",)}, {})

    assert approvals.teams_of("policies/a.yaml") == ("security", "sre")


@pytest.mark.parametrize(
    ("governance", "expected"),
    [
        ("approvals: []", "governance.approvals: expected a mapping, found a list"),
        ("approvals: {}", "governance.approvals is empty"),
        ("approvals: {'a/**': []}", "governance.approvals.a/** is an empty list"),
        ("approvals: {'a/**': [securty]}", "governance.approvals.a/**: unknown team 'securty'"),
        ("approvals: {'a/**': [sre, lone]}", "governance.approvals.a/**: sre, lone have too few members to approve it"),
        ("approvals: {/policies/**: [sre]}", "glob of governance.approvals matches nothing: '/policies/**'"),
        ("approvals: {policies/: [sre]}", "glob of governance.approvals matches nothing: 'policies/'"),
        ("approvals: {./policies/*: [sre]}", "glob of governance.approvals matches nothing: './policies/*'"),
        ("approvals: {policies//*: [sre]}", "glob of governance.approvals matches nothing: 'policies//*'"),
        ("approvals: {policies/../x: [sre]}", "glob of governance.approvals matches nothing: 'policies/../x'"),
        (
            "approvals: {'**/a.yaml': [sre]}",
            "glob of governance.approvals: '**/' in '**/a.yaml' would ask for a folder",
        ),
        ("approvals: {'a/**/b': [sre]}", "glob of governance.approvals: '**/' in 'a/**/b' would ask for a folder"),
        ("approvals: {'a[bc]': [sre]}", "glob of governance.approvals: reserved character [ ] in glob 'a[bc]'"),
        ("approvals: {'é': [sre]}", "glob of governance.approvals 'é' is not valid"),
        ("approvals: {'a b': [sre]}", "glob of governance.approvals 'a b' is not valid"),
        ("signers: trust/signers", "governance.signers without governance.approvals"),
        ("approvals: {a: [sre]}, signers: keys/signers", "governance.signers 'keys/signers' is not valid"),
        ("approvals: {a: [sre]}, signers: trust/../signers", "governance.signers 'trust/../signers' is not valid"),
    ],
)
def test_what_could_never_be_or_match_is_refused(governance: str, expected: str) -> None:
    assert read(governance) == (None, [expected])


def test_a_name_too_long_to_be_signed_is_refused() -> None:
    report = Report("writ.yaml")
    long = "a" * 101
    read_project(f"{HEAD}governance: {{teams: {{sre: [{long}]}}, approvals: {{a: [sre]}}}}\n".encode(), report)

    assert [problem.message for problem in report.problems] == [
        "governance.approvals.a: name of a member is too long (limit 100 characters)"
    ]
