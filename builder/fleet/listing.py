"""Reads a fleet from listings of its records: the newest state of each host, and which hosts were ever enrolled."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bundle_store.port import ObjectNotFoundError, RecordsStore
from policy_core.decision_log.enrolment import MAX_ENROLMENT_BYTES, decode_enrolment
from policy_core.decision_log.names import key_object
from policy_core.fleet.names import SLOT_S, HostState, read_state, slots
from policy_core.fleet.report import MAX_REPORT_BYTES, Report, ReportError, read_report, verify_report

ENROLLED = "hosts/"
LISTINGS_AT_ONCE = 8
MAX_LOOK_BACK_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The newest state of each host by channel and name; `unread` is how many objects have names nobody understands."""

    states: dict[str, dict[str, HostState]]
    enrolled: frozenset[str] = frozenset()
    unread: int = 0
    silent: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Find the enrolled hosts that report on no channel."""
        seen = {host for states in self.states.values() for host in states}
        object.__setattr__(self, "silent", self.enrolled - seen)


def read_fleet(store: RecordsStore, channels: Iterable[str], *, now: float, since_s: float = 0.0) -> Fleet:
    """List what hosts of some channels reported in the last two slots, or in the last `since_s` seconds.

    Takes one request for each thousand reports, and for each thousand enrolled keys. Raises RemoteError.
    """
    since = now - max(SLOT_S, min(since_s, MAX_LOOK_BACK_S))
    folders = [
        folder for channel in channels for folder in slots(channel, since=since, until=now + SLOT_S)
    ]  # a host's clock may be ahead
    with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="listing") as threads:
        enrolled = threads.submit(_enrolled, store)
        listed = list(threads.map(lambda folder: [each.name for each in store.listing(folder)], folders))
        found = [read_state(name) for names in listed for name in names]
        known = enrolled.result()
    return Fleet(_newest(state for state in found if state), known, unread=found.count(None))


def report_of(store: RecordsStore, state: HostState) -> Report:
    """Return the report behind a state, signed by a key enrolled for its host. Raises TrustError, RemoteError."""
    found = store.get(state.name, max_bytes=MAX_REPORT_BYTES)
    if found is None:
        raise ReportError(f"{state.name}: is gone")
    report = read_report(found.body, state)
    name = key_object(report.host, report.keyid)
    try:
        enrolment = store.get(name, max_bytes=MAX_ENROLMENT_BYTES)
    except ObjectNotFoundError as error:
        raise ReportError(f"{state.name}: is signed by key {report.keyid[:12]}, which is not enrolled") from error
    if enrolment is None or (key := decode_enrolment(enrolment.body, name=name)).keyid != report.keyid:
        raise ReportError(f"{state.name}: is signed by key {report.keyid[:12]}, which is not enrolled")
    verify_report(report, key)
    return report


def _newest(states: Iterable[HostState]) -> dict[str, dict[str, HostState]]:
    newest: dict[str, dict[str, HostState]] = {}
    for state in states:
        known = newest.setdefault(state.channel, {})
        if state.host not in known or state.at >= known[state.host].at:
            known[state.host] = state
    return newest


def _enrolled(store: RecordsStore) -> frozenset[str]:
    return frozenset(each.name.split("/")[1] for each in store.listing(ENROLLED) if each.name.count("/") == 2)
