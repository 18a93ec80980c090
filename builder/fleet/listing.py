"""Reads a fleet from listings of its records: the newest state of each host, and which hosts were ever enrolled."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bundle_store.port import ObjectNotFoundError, RecordsStore
from policy_core.decision_log.enrolment import MAX_ENROLMENT_BYTES, decode_enrolment
from policy_core.decision_log.names import HOSTS, enrolled_host, key_object
from policy_core.errors import InvalidError
from policy_core.fleet.names import SLOT_S, HostState, read_state, slots
from policy_core.fleet.report import MAX_REPORT_BYTES, Report, ReportError, read_report, verify_report

LISTINGS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Fleet:
    """The newest state of each host by channel and name; `unread` is how many objects have names nobody understands."""

    states: dict[str, dict[str, HostState]]
    enrolled: frozenset[str] = frozenset()
    unread: int = 0

    @property
    def silent(self) -> frozenset[str]:
        """Return the enrolled hosts that report on no channel."""
        return self.enrolled - {host for states in self.states.values() for host in states}


def read_fleet(store: RecordsStore, channels: Iterable[str], *, now: float, since_s: float = 0.0) -> Fleet:
    """List what hosts of some channels reported in the last two slots, or in the last `since_s` seconds.

    Takes one request for each thousand reports, and for each thousand enrolled keys. Raises RemoteError.
    """
    since, until = now - max(SLOT_S, since_s), now + SLOT_S  # a host's clock may be ahead
    folders = [folder for channel in channels for folder in slots(channel, since=since, until=until)]
    states: dict[str, dict[str, HostState]] = {}
    unread = 0
    with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="listing") as threads:
        enrolled = threads.submit(_enrolled, store)
        for newest, others in threads.map(partial(_newest, store), folders):
            unread += others
            for state in newest.values():
                _keep_newer(states.setdefault(state.channel, {}), state)
        known = enrolled.result()
    return Fleet(states, known, unread)


def report_of(store: RecordsStore, state: HostState) -> Report:
    """Return the report behind a state, signed by a key enrolled for its host. Raises TrustError, RemoteError."""
    report = read_report(_content(store, state.name, max_bytes=MAX_REPORT_BYTES), state)
    name = key_object(report.host, report.keyid)
    try:
        key = decode_enrolment(_content(store, name, max_bytes=MAX_ENROLMENT_BYTES), name=name)
    except ReportError as error:
        raise ReportError(f"{state.name}: is signed by key {report.keyid[:12]}, which is not enrolled") from error
    verify_report(report, key)
    return report


def keys_of(store: RecordsStore, host: str) -> tuple[str, ...]:
    """Return the ids of all keys enrolled for a host (spelled as in names), whoever has done so. Raises RemoteError."""
    folder = f"{HOSTS}{host}/"
    names = (each.name for each in store.listing(folder))
    return tuple(name.removeprefix(folder).removesuffix(".json") for name in names if enrolled_host(name))


def _newest(store: RecordsStore, folder: str) -> tuple[dict[str, HostState], int]:
    """Return the newest state of each host in one slot, all that is kept of it, and how many names are none."""
    newest: dict[str, HostState] = {}
    unread = 0
    for each in store.listing(folder):
        if state := read_state(each.name):
            _keep_newer(newest, state)
        else:
            unread += 1
    return newest, unread


def _keep_newer(known: dict[str, HostState], state: HostState) -> None:
    if state.host not in known or state.at >= known[state.host].at:
        known[state.host] = state


def _enrolled(store: RecordsStore) -> frozenset[str]:
    return frozenset(host for each in store.listing(HOSTS) if (host := enrolled_host(each.name)))


def _content(store: RecordsStore, name: str, *, max_bytes: int) -> bytes:
    """Return an object that some host wrote. Raises ReportError for one that cannot be read, RemoteError."""
    try:
        found = store.get(name, max_bytes=max_bytes)
    except (ObjectNotFoundError, InvalidError) as error:  # it has gone, its name is none, or it is too large
        raise ReportError(error.message) from error
    return found.body if found else b""
