"""``writ lint``, as its users call it: output, streams and exit codes."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

import builder.linting
from builder.cli.main import writ as cli

Writ = Callable[..., Any]


def test_lint_of_sound_policies_is_0(writ: Writ) -> None:
    assert writ("lint") == (0, "1 rule in 1 document: no problems\n", "")


def test_lint_looks_at_the_work_tree_or_at_a_commit(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: maybe}]\n"})

    work_tree = writ("lint")

    assert work_tree.code == 3
    assert (
        "policies/b.yaml:2:27: error: unknown decision 'maybe' [E100]\n    hint: expected one of: deny" in work_tree.out
    )
    assert writ("lint", "HEAD").code == 0


def test_lint_for_machines(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: maybe}]\n"})

    run = writ("lint", "--format", "json")

    assert run.code == 3
    assert not run.json["valid"]
    assert (run.json["problems"][0]["file"], run.json["problems"][0]["line"]) == ("policies/b.yaml", 2)


def test_lint_reports_a_link_like_any_other_problem(writ: Writ, policies: Any) -> None:
    (policies.path / "policies/link.yaml").symlink_to("/etc/hostname")

    run = writ("lint")

    assert run.code == 3
    assert "policies/link.yaml: error: is a symbolic link" in run.out


TWICE = "version: v1\nrules:  # two\n  - {id: r, match: {risk_tags: [a, a]}, decision: allow}\n"


def test_warnings_stop_nothing_unless_they_are_asked_to(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE})

    run = writ("lint")

    assert run.code == 0
    assert (
        "policies/b.yaml:3:32: warning: match.risk_tags lists an entry twice [W108]\n    hint: list it once" in run.out
    )
    assert writ("lint", "--strict").code == 3


def test_fix_puts_the_work_tree_right_and_says_so(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE})
    file = policies.path / "policies/b.yaml"
    file.chmod(0o640)

    run = writ("lint", "--fix", "--strict")

    assert run == (
        0, "policies/b.yaml:3: fixed: removed the entry 'a'\n2 rules in 2 documents: no problems\n", ""
    )  # fmt: skip
    assert file.read_text() == TWICE.replace("[a, a]", "[a]")
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_fix_leaves_what_machines_read_alone(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE})

    run = writ("lint", "--fix", "--format", "json")

    assert run.json["warnings"] == []
    assert run.err == "policies/b.yaml:3: fixed: removed the entry 'a'\n"


def test_fix_changes_nothing_where_there_are_errors(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE, "policies/c.yaml": "version: v1\nrules: [{id: r, decision: maybe}]\n"})

    assert writ("lint", "--fix").code == 3
    assert (policies.path / "policies/b.yaml").read_text() == TWICE


def test_fix_leaves_a_file_alone_that_was_saved_meanwhile(
    writ: Writ, policies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies.write({"policies/b.yaml": TWICE})
    saved = TWICE + "# saved\n"
    fix = builder.linting.fix_tree

    def slowly(*arguments: Any) -> Any:
        (policies.path / "policies/b.yaml").write_text(saved)
        return fix(*arguments)

    monkeypatch.setattr(builder.linting, "fix_tree", slowly)

    run = writ("lint", "--fix")

    assert (run.code, (policies.path / "policies/b.yaml").read_text()) == (2, saved)
    assert "was changed meanwhile" in run.err


def test_a_commit_cannot_be_fixed(writ: Writ) -> None:
    run = writ("lint", "--fix", "HEAD")

    assert run.code == 2
    assert run.err.startswith("error: --fix beside a revision")


def test_a_code_is_explained_with_an_example(writ: Writ) -> None:
    run = writ("lint", "--explain", "w101")

    assert run.code == 0
    assert run.out.startswith("W101 duplicate-rule\n")
    assert "# policies/a.yaml" in run.out


def test_an_unknown_code_is_a_usage_error(writ: Writ) -> None:
    run = writ("lint", "--explain", "W10")

    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("error: no code 'W10'\nhint: did you mean 'W1")


def test_sarif_comes_on_stdout(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE})

    run = writ("lint", "--format", "sarif")

    assert (run.code, run.err) == (0, "")
    assert [result["ruleId"] for result in run.json["runs"][0]["results"]] == ["W108"]


def test_kinds_of_findings_are_told_apart_by_colour_on_a_terminal_only(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": TWICE})

    assert "\x1b" not in writ("lint").out
    assert "\x1b[33m: warning: " in CliRunner().invoke(cli, ["-C", str(policies.path), "lint"], color=True).output
