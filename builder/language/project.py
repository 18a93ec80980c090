"""``writ.yaml``: what the repository is called, where its bundles go, and through which channels."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from builder.language import fields
from builder.language.approvers import read_approvers
from builder.language.governance import NO_GOVERNANCE, Governance, read_governance
from builder.language.hosts import read_hosts
from builder.language.log_rules import read_log_rules
from builder.language.nodes import BrokenNode, MapNode, Node, Report, ScalarNode, plain
from builder.language.notsecrets import NotSecret, read_not_secrets
from builder.language.yamlfile import read_yaml
from policy_core.errors import KnownError
from policy_core.model import Approver, HostLimits, LogRules

FILE = "writ.yaml"
MAX_CHANNELS = 32
MAX_WIDENED = 10**9

_KEYS = (
    "version", "name", "store", "reports", "channels", "gates", "hosts", "decision_log", "approvers", "governance",
    "not_secrets",
)  # fmt: skip
_GATES = ("coverage", "simulation")
_LATER_GATES = ("diff",)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class CoverageGate:
    """What share of rules and clauses policy tests must cover at least, in percent."""

    rules: int = 0
    clauses: int = 0


@dataclass(frozen=True, slots=True)
class SimulationGate:
    """How much a simulation may flip at most: percent of all requests, and requests widened; None: no threshold."""

    max_flips_percent: float | None = None
    max_widened: int | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """The settings of a policy repository; channels in the order promotion takes them, the first is the default.

    `reports` is where hosts report, empty if nobody said.
    """

    name: str
    store: str
    channels: tuple[str, ...]
    reports: str = ""
    coverage: CoverageGate = CoverageGate()
    simulation: SimulationGate | None = None
    hosts: HostLimits | None = None
    log: LogRules | None = None
    approvers: tuple[Approver, ...] = ()
    governance: Governance = NO_GOVERNANCE
    not_secrets: tuple[NotSecret, ...] = ()


def read_project(content: bytes | None, report: Report) -> Project | None:
    """Return the settings in ``writ.yaml``, None if they have a problem."""
    if content is None:
        report.file_problem("is missing", "create it with name:, store: and channels:, or start with `writ init`")
        return None
    before = len(report.problems)
    root = read_yaml(content, report)
    found = fields.mapping(report, root, FILE) if root else None
    if found is None:
        return None
    fields.check_keys(report, found, FILE, _KEYS)
    fields.check_version(report, found)
    gates = _given(report, found, "gates")
    if gates:
        fields.check_keys(report, gates, "gates", _GATES, later=_LATER_GATES)
    channels, hosts = tuple(_channels(report, found)), _given(report, found, "hosts")
    approvers, governance = _given(report, found, "approvers"), _given(report, found, "governance")
    log = _given(report, found, "decision_log")
    project = Project(
        name=_name(report, found),
        store=_store(report, found, "store"),
        reports=_store(report, found, "reports") if found.get("reports") else "",
        channels=channels,
        coverage=_coverage_gate(report, gates),
        simulation=_simulation_gate(report, gates),
        hosts=read_hosts(report, hosts, channels) if hosts else None,
        log=read_log_rules(report, log) if log else None,
        approvers=read_approvers(report, approvers) if approvers else (),
        governance=read_governance(report, governance) if governance else NO_GOVERNANCE,
        not_secrets=read_not_secrets(report, not_secrets) if (not_secrets := found.get("not_secrets")) else (),
    )
    return project if len(report.problems) == before else None


def _name(report: Report, found: MapNode) -> str:
    node = fields.require(report, found, "name", FILE, "such as name: payments-policies")
    allowed = "lower-case letters, digits and '-', at most 63"
    return (node and fields.identifier(report, node, "name", _NAME, allowed)) or ""


def _store(report: Report, found: MapNode, name: str) -> str:
    node = fields.require(report, found, name, FILE, f"such as {name}: s3://my-bucket/policies")
    url = node and fields.one_line(report, node, name)
    if not node or not url:
        return ""
    problem = _store_problem(url)
    if problem:
        report.at(node, f"{name}: {problem}", "write s3://BUCKET/PREFIX or file:///DIRECTORY, without credentials")
    return url


def _given(report: Report, found: MapNode, name: str) -> MapNode | None:
    """Return a section, None if it is empty and asks for nothing."""
    node = found.get(name)
    return None if node is None or plain(node) in (None, {}) else fields.mapping(report, node, name)


def _coverage_gate(report: Report, gates: MapNode | None) -> CoverageGate:
    wanted = gates and gates.get("coverage")
    coverage = fields.mapping(report, wanted, "gates.coverage") if wanted else None
    if not coverage:
        return CoverageGate()
    fields.check_keys(report, coverage, "gates.coverage", ("rules", "clauses"))
    percents = {
        name: fields.integer(report, value, f"gates.coverage.{name}", least=0, most=100) or 0
        for name, (_, value) in coverage.entries.items()
        if name in ("rules", "clauses")
    }
    return CoverageGate(**percents)


def _simulation_gate(report: Report, gates: MapNode | None) -> SimulationGate | None:
    wanted = gates and gates.get("simulation")
    simulation = fields.mapping(report, wanted, "gates.simulation") if wanted else None
    if not simulation:
        return None
    fields.check_keys(report, simulation, "gates.simulation", ("max_flips_percent", "max_widened"))
    percent, widened = simulation.get("max_flips_percent"), simulation.get("max_widened")
    return SimulationGate(
        max_flips_percent=_percent(report, percent, "gates.simulation.max_flips_percent") if percent else None,
        max_widened=fields.integer(report, widened, "gates.simulation.max_widened", least=0, most=MAX_WIDENED)
        if widened
        else None,
    )


def _percent(report: Report, node: Node, what: str) -> float | None:
    value = node.value if type(node) is ScalarNode else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100:
        return float(value)
    if type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a number from 0 to 100, found {fields.describe(node)}")
    return None


def _store_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "not a URL"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "a store URL has no credentials, query or fragment"
    if parts.scheme == "s3":
        return "" if parts.netloc else "names no bucket"
    if parts.scheme == "file":
        return "" if not parts.netloc and parts.path.startswith("/") else "expected an absolute directory"
    if parts.scheme in ("http", "https"):
        return "an https store is read-only, name the store to publish to"
    return f"unknown kind of store {fields.shown(url)}"


def _channels(report: Report, found: MapNode) -> list[str]:
    node = fields.require(report, found, "channels", FILE, "such as channels: [prod]")
    channels: list[str] = []
    for item in (node and fields.items(report, node, "channels")) or ():
        name = _channel(report, item)
        if name in channels:
            report.at(item, f"channel {name} is listed twice", "list it once")
        elif name:
            channels.append(name)
    if node and len(channels) > MAX_CHANNELS:
        report.at(node, f"too many channels (limit {MAX_CHANNELS})")
    return channels


def _channel(report: Report, node: Node) -> str:
    from policy_core.trust.layout import check_channel

    if type(node) is MapNode:
        report.at(node, "settings of a single channel are not yet supported", "list the name only")
    elif type(node) is ScalarNode and type(node.value) is str:
        try:
            return check_channel(node.value)
        except KnownError as error:
            report.at(node, error.message, error.hint)
    elif type(node) is not BrokenNode:
        report.at(node, f"entry of channels: expected text, found {fields.describe(node)}", "put it in quotes")
    return ""
