"""``writ simulate`` as a person runs it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.cli.main import main

BEFORE = """\
version: v1
rules:
  - id: reads
    match: {actions: [service.read]}
    decision: allow
  - id: runs
    match: {actions: [service.run]}
    decision: allow_with_constraints
    constraints: {max_runtime_sec: 10}
  - id: stops
    match: {actions: [service.stop]}
    decision: allow
"""
AFTER = """\
version: v1
rules:
  - id: reads
    match: {actions: [service.read]}
    decision: allow
  - id: runs
    match: {actions: [service.run]}
    decision: allow_with_constraints
    constraints: {max_runtime_sec: 20}
  - id: stops-need-a-person
    match: {actions: [service.stop]}
    decision: require_approval
  - id: starts
    match: {actions: [service.start]}
    decision: allow
"""


def request(action: str, **more: Any) -> str:
    asked = {
        "subject": {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}},
        "action": {"name": action},
        "resource": {"type": "service", "id": "web"},
        "context": {"risk_tags": ["prod"]},
    }
    return json.dumps({"request": asked, **more}) + "\n"


CORPUS = (
    request("service.read") * 5
    + request("service.run") * 2
    + request("service.stop")
    + request("service.start", name="at deployment")
    + request("service.drop")
)


@pytest.fixture
def changed(policies: Any) -> Any:
    """Commit BEFORE and then AFTER, with a corpus."""
    suite = {"tests/a.yaml": "cases: [{name: a, request: {job: {topic: service.read}}, expect: {decision: allow}}]\n"}
    policies.commit({"policies/a.yaml": BEFORE, **suite})
    policies.git("tag", "before")
    policies.commit({"policies/a.yaml": AFTER, "corpus/a.jsonl": CORPUS})
    return policies


TEXT = """\
from  commit {before}
to    commit {after}
10 requests (5 distinct): 4 flips (40.00 %), 3 widened, 1 narrowed

! widened: 2 requests, allow_with_constraints, other constraints
    before  a/runs  policies/a.yaml:6
    after   a/runs  policies/a.yaml:6
    · user ada [sre]: service.run on service web [prod]  (corpus/a.jsonl:6, 2 times)
        max_runtime_sec: 10 → 20

! widened: 1 request, deny → allow
    before  no rule grants it
    after   a/starts  policies/a.yaml:13
    · user ada [sre]: service.start on service web [prod]  (corpus/a.jsonl:9 'at deployment')

- narrowed: 1 request, allow → require_approval
    before  a/stops  policies/a.yaml:10
    after   a/stops-need-a-person  policies/a.yaml:10
    · user ada [sre]: service.stop on service web [prod]  (corpus/a.jsonl:8)
"""


def test_flips_are_grouped_by_the_rules_that_decided(changed: Any, writ: Callable[..., Any]) -> None:
    done = writ("simulate", "--from", "before")

    before, after = (changed.git("rev-parse", name)[:12] for name in ("before", "HEAD"))
    assert (done.code, done.err) == (0, "")
    assert done.out == TEXT.format(before=before, after=after)


def test_json_says_the_same_and_holds_the_requests(changed: Any, writ: Callable[..., Any]) -> None:
    found = writ("simulate", "--from", "before", "--format", "json").json

    assert found["from"]["revision"] == changed.git("rev-parse", "before")
    assert {name: found[name] for name in ("requests", "distinct", "flips", "widened", "changed", "narrowed")} == {
        "requests": 10, "distinct": 5, "flips": 4, "widened": 3, "changed": 0, "narrowed": 1,
    }  # fmt: skip
    assert found["flips_percent"] == 40.0
    first = found["groups"][0]
    assert first["before"] == {"decision": "allow_with_constraints", "rule": "a/runs", "place": "policies/a.yaml:6"}
    (example,) = first["examples"]
    assert example["request"]["action"]["name"] == "service.run"
    assert example["constraints"] == [{"name": "max_runtime_sec", "before": 10, "after": 20, "kind": "widened"}]
    assert example["after"]["applied_rules"] == ["a/runs"]


def test_the_same_policy_flips_nothing(changed: Any, writ: Callable[..., Any]) -> None:
    done = writ("simulate", "--from", "HEAD", "--max-flips-percent", "0", "--max-widened", "0")

    assert done.code == 0
    assert done.out.endswith("10 requests (5 distinct): no flips\n")


def test_the_work_tree_is_simulated_before_it_is_committed(changed: Any, writ: Callable[..., Any]) -> None:
    changed.write({"policies/a.yaml": BEFORE})

    assert "no flips" in writ("simulate", "--from", "before", "--worktree").out
    assert "to    work tree" in writ("simulate", "--from", "HEAD", "--worktree").out


def test_the_requests_of_the_other_side_can_be_replayed(changed: Any, writ: Callable[..., Any]) -> None:
    changed.git("tag", "with-corpus")
    changed.commit({"policies/a.yaml": BEFORE, "corpus/a.jsonl": request("service.read")})

    assert "1 request (1 distinct): no flips" in writ("simulate", "--from", "with-corpus").out
    assert "10 requests (5 distinct): 4 flips" in writ("simulate", "--from", "with-corpus", "--corpus", "from").out


def test_examples_are_limited(changed: Any, writ: Callable[..., Any]) -> None:
    many = "".join(json.dumps({"job": {"topic": "service.start", "job_id": f"j{n}"}}) + "\n" for n in range(9))
    changed.commit({"corpus/a.jsonl": many})

    assert writ("simulate", "--from", "before", "--examples", "2").out.count("  · ") == 3
    assert "· … and 7 more" in writ("simulate", "--from", "before", "--examples", "2").out
    assert "  · " not in writ("simulate", "--from", "before", "--examples", "0").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-widened", "2"], "simulation: 3 widened or changed (limit 2); first: user ada [sre]: service.run on"),
        (["--max-flips-percent", "39.9"], "error: simulation: 40.00 % of the requests flip (limit 39.9 %); first: "),
        (["--max-flips-percent", "1", "--max-widened", "0"], "40.00 % of the requests flip (limit 1 %); 3 widened or"),
    ],
)  # fmt: skip
def test_more_than_a_threshold_ends_with_4(
    changed: Any, writ: Callable[..., Any], options: list[str], message: str
) -> None:
    done = writ("simulate", "--from", "before", *options)

    assert done.code == 4
    assert message in done.err
    assert "4 flips" in done.out, "the report is printed all the same"


def test_as_much_as_a_threshold_passes(changed: Any, writ: Callable[..., Any]) -> None:
    assert writ("simulate", "--from", "before", "--max-flips-percent", "40", "--max-widened", "3").code == 0


@pytest.mark.parametrize(("limit", "code"), [(2, 4), (3, 0)])
def test_check_judges_by_the_gate_of_the_compared_revision_alone(
    changed: Any, writ: Callable[..., Any], limit: int, code: int
) -> None:
    settings = (changed.path / "writ.yaml").read_text()
    gate = "gates: {{simulation: {{max_widened: {}}}}}\n"
    changed.commit({"writ.yaml": settings + gate.format(limit), "policies/a.yaml": BEFORE})
    changed.git("tag", "gated")
    changed.write({"writ.yaml": settings + gate.format(1000), "policies/a.yaml": AFTER})

    done = writ("simulate", "--from", "gated", "--worktree", "--check")

    assert done.code == code
    assert "4 flips" in done.out
    if code:
        assert "gates.simulation, replaying the corpus of the work tree: 3 widened or changed (limit 2)" in done.err


def test_a_check_without_a_gate_is_no_check(changed: Any, writ: Callable[..., Any]) -> None:
    done = writ("simulate", "--from", "before", "--check")

    assert done.code == 2
    assert "has no gates.simulation" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "before", "--to", "HEAD", "--worktree"], 2, "--worktree: simulates what is not committed"),
        (["--from", "nowhere"], 2, "nowhere: no such commit"),
        (["--from", "HEAD", "--to", "before"], 2, "corpus/: no recorded requests in the commit"),
        (["--from", "before", "--examples", "-1"], 2, "invalid value for '--examples'"),
        (["--from", "live"], 2, "trust/root.json: not in HEAD"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused_with_a_hint(
    changed: Any, writ: Callable[..., Any], arguments: list[str], code: int, message: str
) -> None:
    done = writ("simulate", *arguments)

    assert (done.code, done.out) == (code, "")
    assert f"error: {message}" in done.err
    assert "hint: " in done.err


def test_a_broken_revision_is_named(changed: Any, writ: Callable[..., Any]) -> None:
    changed.commit({"policies/a.yaml": "version: v1\nrules: 1\n"})

    done = writ("simulate", "--from", "before")

    assert done.code == 3
    assert f"error: commit {changed.git('rev-parse', 'HEAD')[:12]}: 1 problem in the policy repository" in done.err


def test_a_broken_corpus_is_refused(changed: Any, writ: Callable[..., Any]) -> None:
    changed.commit({"corpus/b.jsonl": "{}\n", "corpus/c.jsonl.gz": "no gzip"})

    done = writ("simulate", "--from", "before")

    assert done.code == 3
    assert "corpus/b.jsonl:1:1: request: subject is missing" in done.err
    assert "corpus/c.jsonl.gz: damaged gzip" in done.err


def test_control_characters_of_a_request_do_not_reach_the_terminal(changed: Any, writ: Callable[..., Any]) -> None:
    changed.commit({"corpus/a.jsonl": json.dumps({"job": {"topic": "service.start", "actor_id": "\x1b[31m"}}) + "\n"})

    assert "\x1b" not in writ("simulate", "--from", "before").out


class TestLive:
    @pytest.fixture
    def published(self, changed: Any, tmp_path: Path) -> Any:
        """Publish BEFORE, then commit AFTER; the store lies in a folder."""
        settings = (changed.path / "writ.yaml").read_text().replace("file:///srv/store", (tmp_path / "store").as_uri())
        changed.commit({"writ.yaml": settings, "policies/a.yaml": BEFORE})
        assert main(["-C", str(changed.path), "keys", "init", "--dev"]) == 0
        return changed

    def publish(self, folder: Any) -> None:
        assert main(["-C", str(folder.path), "publish"]) == 0
        folder.commit({"policies/a.yaml": AFTER})

    def test_nothing_live_is_said_with_a_way_on(self, published: Any, writ: Callable[..., Any]) -> None:
        done = writ("simulate")

        assert done.code == 2
        assert "error: channel prod: nothing is live yet" in done.err
        assert "hint: compare with a commit instead: writ simulate --from REV" in done.err

    def test_what_is_live_is_compared_with_head(
        self, published: Any, writ: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.publish(published)
        capsys.readouterr()

        done = writ("simulate")

        assert done.code == 0
        assert done.out.startswith("from  release 1 of prod, live (commit ")
        assert "3 widened, 1 narrowed" in done.out

    def test_publish_refuses_what_the_live_gate_does_not_let_through(
        self, published: Any, writ: Callable[..., Any]
    ) -> None:
        settings = (published.path / "writ.yaml").read_text()
        published.commit({"writ.yaml": settings + "gates: {simulation: {max_widened: 0}}\n"})
        assert writ("publish").code == 0
        published.commit({"writ.yaml": settings, "policies/a.yaml": AFTER})

        done = writ("publish")

        assert (done.code, done.out) == (4, "")
        assert "error: writ.yaml of release 1: gates.simulation, replaying" in done.err
        assert "3 widened or changed (limit 0); first: user ada [sre]: service.run on" in done.err
        assert "hint: `writ simulate` shows all flips; if they are meant, publish a commit first" in done.err
        assert writ("live", "--format", "json").json["intervals"][0]["release"]["release"] == 1

    def test_without_the_store_the_ledger_here_is_taken_and_said_so(
        self, published: Any, writ: Callable[..., Any], capsys: pytest.CaptureFixture[str], aws: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        self.publish(published)
        settings = (published.path / "writ.yaml").read_text()
        away = "\n".join("store: s3://away" if line.startswith("store:") else line for line in settings.splitlines())
        published.commit({"writ.yaml": away + "\n"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        capsys.readouterr()

        done = writ("simulate")

        assert done.code == 0, done.err
        assert "note: s3://away" in done.err
        assert "taking the ledger live/prod of this clone, which may be behind" in done.err
        assert done.out.startswith("from  the end of the ledger live/prod in this clone (commit ")
        assert "3 widened, 1 narrowed" in done.out

        assert writ("simulate", "--check").code == 6, "nothing is judged by a branch that nobody verified"

        subprocess.run(["git", "branch", "-D", "live/prod"], cwd=published.path, check=True, capture_output=True)
        done = writ("simulate")
        assert done.code == 6
        assert "writ simulate --from REV" in done.err

    def test_a_store_that_was_tampered_with_is_never_replaced_by_the_ledger(
        self, published: Any, writ: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.publish(published)
        timestamp = tmp_path / "store/metadata/timestamp.json"
        timestamp.write_text(timestamp.read_text().replace('"x-signed-at":"2', '"x-signed-at":"3'))
        capsys.readouterr()

        assert writ("simulate").code == 5

    def test_a_store_that_is_gone_is_said_with_a_way_on(
        self, published: Any, writ: Callable[..., Any], tmp_path: Path
    ) -> None:
        shutil.rmtree(tmp_path / "store")

        done = writ("simulate")

        assert done.code == 2
        assert "writ simulate --from REV" in done.err
