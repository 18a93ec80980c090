"""``writ.yaml``: settings, and every refusal with its place."""

import pytest

from builder.language.governance import Governance
from builder.language.nodes import Report
from builder.language.project import CoverageGate, Project, SimulationGate, read_project
from policy_core.model import Approver, Clauses, Erasure, HostLimits, LogRules

GOOD = "name: payments\nstore: s3://bucket/prefix\nchannels: [dev, prod]\n"
ANA = f"{{key: '{'ab' * 32}', teams: [security], subjects: [ana]}}"


def problems(content: str | None) -> list[str]:
    report = Report("writ.yaml")
    assert read_project(None if content is None else content.encode(), report) is None
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in sorted(report.problems)]


@pytest.mark.parametrize("extra", ["", "version: v1\n", "gates: {}\ngovernance:\n"])
def test_settings_are_read(extra: str) -> None:
    report = Report("writ.yaml")

    assert read_project((GOOD + extra).encode(), report) == Project("payments", "s3://bucket/prefix", ("dev", "prod"))
    assert report.problems == []


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ("{coverage: {rules: 90, clauses: 80}}", CoverageGate(90, 80)),
        ("{coverage: {clauses: 100}}", CoverageGate(0, 100)),
        ("{}", CoverageGate(0, 0)),
    ],
)
def test_the_coverage_gate_is_read(gates: str, expected: CoverageGate) -> None:
    project = read_project(f"{GOOD}gates: {gates}\n".encode(), Report("writ.yaml"))

    assert project is not None
    assert project.coverage == expected


@pytest.mark.parametrize(
    ("simulation", "expected"),
    [
        ("{max_flips_percent: 0.5, max_widened: 0}", SimulationGate(0.5, 0)),
        ("{max_flips_percent: 5}", SimulationGate(5.0, None)),
        ("{max_widened: 12}", SimulationGate(None, 12)),
    ],
)
def test_the_simulation_gate_is_read(simulation: str, expected: SimulationGate) -> None:
    project = read_project(f"{GOOD}gates: {{simulation: {simulation}}}\n".encode(), Report("writ.yaml"))

    assert project is not None
    assert project.simulation == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("{max_pin: 4h, min_release: {prod: 12}}", HostLimits(14_400, {"prod": 12})),
        ("{max_pin: 1h30m}", HostLimits(5_400)),
        ("{min_release: {prod: 1, dev: 3}}", HostLimits(min_release={"dev": 3, "prod": 1})),
        ("{}", None),
    ],
)
def test_limits_for_hosts_are_read(hosts: str, expected: HostLimits | None) -> None:
    project = read_project(f"{GOOD}hosts: {hosts}\n".encode(), Report("writ.yaml"))

    assert project is not None
    assert project.hosts == expected


@pytest.mark.parametrize(
    ("hosts", "problem"),
    [
        ("{max_pin: 8d}", "4:18 hosts.max_pin: expected a duration from 1s to 7d, found the text '8d'"),
        ("{max_pin: 0s}", "4:18 hosts.max_pin: expected a duration from 1s to 7d, found the text '0s'"),
        ("{min_release: {prdo: 3}}", "4:23 hosts.min_release: 'prdo' is not a channel"),
        ("{min_release: {prod: 0}}", "4:29 hosts.min_release.prod: expected a whole number from 1"),
        ("{min_release: 3}", "4:22 hosts.min_release: expected a mapping, found 3"),
        ("{max_pins: 1h}", "4:9 unknown key 'max_pins' in hosts"),
    ],
)
def test_limits_nobody_could_keep_are_refused(hosts: str, problem: str) -> None:
    (found,) = problems(f"{GOOD}hosts: {hosts}\n")

    assert found.startswith(problem)


@pytest.mark.parametrize("store", ["s3://bucket", "s3://bucket/a/b", "file:///var/lib/writ"])
def test_stores_one_can_publish_to_are_accepted(store: str) -> None:
    report = Report("writ.yaml")

    assert read_project(f"name: a\nstore: {store}\nchannels: [prod]\n".encode(), report) is not None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ["0:0 is missing"]),
        ("", ["0:0 file is empty"]),
        ("[a]", ["1:1 writ.yaml: expected a mapping, found a list"]),
        ("store: s3://b\n", ["1:1 writ.yaml has no channels", "1:1 writ.yaml has no name"]),
        (GOOD + "version: v2\n", ["4:10 version: expected v1, found the text 'v2'"]),
        (GOOD + "chanels: [a]\n", ["4:1 unknown key 'chanels' in writ.yaml"]),
        (GOOD + "gates: [a]\n", ["4:8 gates: expected a mapping, found a list"]),
        (GOOD + "gates: {diff: {}}\n", ["4:9 diff is not yet supported"]),
        (GOOD + "gates: {simulation: }\n", ["4:21 gates.simulation: expected a mapping, found nothing"]),
        (GOOD + "gates: {simulation: {}}\n", ["4:21 gates.simulation is empty"]),
        (GOOD + "gates: {simulation: {max_widend: 1}}\n", ["4:22 unknown key 'max_widend' in gates.simulation"]),
        (GOOD + "gates: {simulation: {max_flips_percent: 101, max_widened: -1}}\n",
         ["4:41 gates.simulation.max_flips_percent: expected a number from 0 to 100, found 101",
          "4:59 gates.simulation.max_widened: expected a whole number from 0 to 1000000000, found -1"]),
        (GOOD + "gates: {simulation: {max_flips_percent: true}}\n",
         ["4:41 gates.simulation.max_flips_percent: expected a number from 0 to 100, found true"]),
        (GOOD + "gates: {simulation: {max_flips_percent: '5', max_widened: 0.5}}\n",
         ["4:41 gates.simulation.max_flips_percent: expected a number from 0 to 100, found the text '5'",
          "4:59 gates.simulation.max_widened: expected a whole number from 0 to 1000000000, found 0.5"]),
        (GOOD + "gates: {covrage: {}}\n", ["4:9 unknown key 'covrage' in gates"]),
        (GOOD + "gates: {coverage: 1}\n", ["4:19 gates.coverage: expected a mapping, found 1"]),
        (GOOD + "gates: {coverage: {}}\n", ["4:19 gates.coverage is empty"]),
        (GOOD + "gates: {coverage: {rule: 1}}\n", ["4:20 unknown key 'rule' in gates.coverage"]),
        (GOOD + "gates: {coverage: {rules: 101, clauses: 0.9}}\n",
         ["4:27 gates.coverage.rules: expected a whole number from 0 to 100, found 101",
          "4:41 gates.coverage.clauses: expected a whole number from 0 to 100, found 0.9"]),
        (GOOD + "governance: {approvals: {}, metadata: []}\n",
         ["4:25 governance.approvals is empty", "4:29 unknown key 'metadata' in governance"]),
        (GOOD + "governance: {required_metadata: [owner], teams: {'a b': [ana, 'b o']}}\n",
         ["4:34 unknown metadata key 'owner'", "4:50 team 'a b' is not valid",
          "4:63 entry of governance.teams.a b 'b o' is not valid"]),
        (GOOD + "governance: {exceptions: {max_days: 0, approvals: {sec: 1, ops: 0}}, policies: {}}\n",
         ["4:37 governance.exceptions.max_days: expected a whole number from 1 to 3650, found 0",
          "4:51 governance.exceptions.approvals.sec asks for 1 of a team that has 0",
          "4:65 governance.exceptions.approvals.ops: expected a whole number from 1 to 16, found 0",
          "4:80 governance.policies is empty"]),
        (GOOD + "governance: {teams: {sec: [ana, ana]}, exceptions: {approvals: {sec: 2}}}\n",
         ["4:64 governance.exceptions.approvals.sec asks for 2 of a team that has 1"]),
        (GOOD + "governance: {policies: {max_days: 4000}}\n",
         ["4:35 governance.policies.max_days: expected a whole number from 1 to 3650, found 4000"]),
        (GOOD + "approvers: [ana]\n", ["4:12 approvers: expected a mapping, found a list"]),
        (GOOD + "approvers: {ana: {}, 'b o': {key: zz, teams: [], subjects: ['*'], role: x}}\n",
         ["4:18 approvers.ana is empty", "4:22 approver 'b o' is not valid", "4:35 approvers.b o.key 'zz' is not valid",
          "4:46 approvers.b o.teams is an empty list",
          "4:60 approvers.b o.subjects are compared exactly, '*' and '?' have no meaning there",
          "4:67 unknown key 'role' in approvers.b o"]),
        (GOOD + "approvers: {ana: {key: 5}}\n",
         ["4:18 approvers.ana has no subjects", "4:18 approvers.ana has no teams",
          "4:24 approvers.ana.key: expected text, found 5"]),
        (GOOD + f"approvers: {{ana: {ANA.replace('ab', '00')}}}\n",
         ["4:24 approvers.ana.key is no secret's public half: anybody could sign for it"]),
        (GOOD + f"approvers: {{ana: {ANA}, bo: {ANA}}}\n", ["4:139 approvers.bo has the key of ana"]),
        (GOOD + f"approvers: {{ana: {ANA.replace('ab', 'AB')}}}\n",
         [f"4:24 approvers.ana.key '{'AB' * 20}…' is not valid"]),
        (GOOD.replace("payments", "My Policies"), ["1:7 name 'My Policies' is not valid"]),
        (GOOD.replace("s3://bucket/prefix", "https://cdn.example.org/x"),
         ["2:8 store: an https store is read-only, name the store to publish to"]),
        (GOOD.replace("s3://bucket/prefix", "ftp://x"), ["2:8 store: unknown kind of store 'ftp://x'"]),
        (GOOD.replace("s3://bucket/prefix", "s3:///x"), ["2:8 store: names no bucket"]),
        (GOOD.replace("s3://bucket/prefix", "file:x"), ["2:8 store: expected an absolute directory"]),
        (GOOD.replace("s3://bucket/prefix", "file://host/x"), ["2:8 store: expected an absolute directory"]),
        (GOOD.replace("s3://bucket/prefix", "s3://key:secret@bucket/x"),
         ["2:8 store: a store URL has no credentials, query or fragment"]),
        (GOOD.replace("s3://bucket/prefix", "'s3://[x'"), ["2:8 store: not a URL"]),
        (GOOD.replace("[dev, prod]", "prod"), ["3:11 channels: expected a list, found the text 'prod'"]),
        (GOOD.replace("[dev, prod]", "[]"), ["3:11 channels is an empty list"]),
        (GOOD.replace("[dev, prod]", "[prod, prod]"), ["3:18 channel prod is listed twice"]),
        (GOOD.replace("[dev, prod]", "[1, root]"),
         ["3:12 entry of channels: expected text, found 1", "3:15 channel 'root': is the name of a TUF role"]),
        (GOOD.replace("[dev, prod]", "[{name: prod, store: s3://x}]"),
         ["3:12 settings of a single channel are not yet supported"]),
        (GOOD.replace("[dev, prod]", str([f"c{n}" for n in range(33)])), ["3:11 too many channels (limit 32)"]),
    ],
)  # fmt: skip
def test_every_refusal_has_its_place(content: str | None, expected: list[str]) -> None:
    assert problems(content) == expected


def test_a_secret_in_the_store_url_is_not_printed() -> None:
    assert "secret" not in str(problems(GOOD.replace("s3://bucket/prefix", "s3://key:secret@bucket/x")))


def test_approvers_and_governance_are_read() -> None:
    found = read_project(
        (
            GOOD + f"approvers: {{bo: {ANA.replace('ab', 'cd')}, ana: {ANA}}}\n"
            "governance:\n"
            "  required_metadata: [owners, expires]\n"
            "  teams: {security: [ana, bo]}\n"
            "  exceptions: {max_days: 30, approvals: {security: 2}}\n"
            "  policies: {max_days: 365}\n"
        ).encode(),
        Report("writ.yaml"),
    )

    assert found is not None
    assert found.approvers == (
        Approver("ana", "ab" * 32, ("security",), ("ana",)),
        Approver("bo", "cd" * 32, ("security",), ("ana",)),
    )
    assert found.governance == Governance(("owners", "expires"), {"security": ("ana", "bo")}, 30, {"security": 2}, 365)


def test_without_governance_exceptions_have_a_cap_all_the_same() -> None:
    found = read_project((GOOD + "governance: {}\napprovers: {}\n").encode(), Report("writ.yaml"))

    assert found is not None
    assert found.governance.exception_days == 90
    assert found.approvers == ()


def test_rules_for_the_decision_log_are_read() -> None:
    text = """\
decision_log:
  erase:
    - {path: context.job.*.token}
    - {path: subject.id, match: {tenants: [eu-*]}}
  leave_out:
    - {match: {actions: [health.*]}}
"""
    project = read_project(f"{GOOD}{text}".encode(), Report("writ.yaml"))

    assert project is not None
    assert project.log == LogRules(
        erase=(Erasure("context.job.*.token"), Erasure("subject.id", Clauses(tenants=("eu-*",)))),
        leave_out=(Clauses(actions=("health.*",)),),
    )


def test_an_empty_decision_log_asks_for_nothing() -> None:
    project = read_project(f"{GOOD}decision_log: {{erase: []}}\n".encode(), Report("writ.yaml"))

    assert project is None or project.log is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{eraze: []}", "unknown key 'eraze' in decision_log"),
        ("{erase: [{path: prompt}]}", "attribute path 'prompt' has no known root"),
        ("{erase: [{path: subject.email}]}", "attribute path 'subject.email' is never in a request"),
        ("{erase: [{path: context.job*}]}", "* stands for a whole name"),
        ("{erase: [{match: {actions: [x]}}]}", "decision_log.erase has no path"),
        ("{erase: [{path: context.a, match: {actions: ['[']}}]}", "["),
        ("{leave_out: [{match: {risk_tags: []}}]}", "no clause, so that every allow would be left out"),
        ("{leave_out: [{match: {}}]}", "decision_log.leave_out.match is empty"),
        ("{leave_out: [{}]}", "decision_log.leave_out is empty"),
        ("{leave_out: [{match: {action: [x]}}]}", "unknown key 'action'"),
    ],
)
def test_wrong_rules_for_the_decision_log_have_a_place(given: str, problem: str) -> None:
    report = Report("writ.yaml")

    assert read_project(f"{GOOD}decision_log: {given}\n".encode(), report) is None
    assert any(problem in f"{found.line}:{found.column} {found.message}" for found in report.problems), report.problems
    assert all(found.line == 4 for found in report.problems)
