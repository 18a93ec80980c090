"""``writ.yaml``: settings, and every refusal with its place."""

import pytest

from builder.language.nodes import Report
from builder.language.project import CoverageGate, Project, SimulationGate, read_project

GOOD = "name: payments\nstore: s3://bucket/prefix\nchannels: [dev, prod]\n"


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
        (GOOD + "governance: {teams: [a]}\n", ["4:1 governance is not yet supported"]),
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
