"""``writ lint``, as its users call it: output, streams and exit codes."""

from collections.abc import Callable
from typing import Any

Writ = Callable[..., Any]


def test_lint_of_sound_policies_is_0(writ: Writ) -> None:
    assert writ("lint") == (0, "1 rule in 1 document: no problems\n", "")


def test_lint_looks_at_the_work_tree_or_at_a_commit(writ: Writ, policies: Any) -> None:
    policies.write({"policies/b.yaml": "version: v1\nrules: [{id: r, decision: maybe}]\n"})

    work_tree = writ("lint")

    assert work_tree.code == 3
    assert "policies/b.yaml:2:27: error: unknown decision 'maybe'\n    hint: expected one of: deny" in work_tree.out
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
