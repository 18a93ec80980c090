"""The public keys of hosts: from the fleet's records, where hosts enrol themselves, or from collected files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bundle_store.opening import open_records
from bundle_store.port import ObjectTooLargeError, RecordsStore
from policy_core.decision_log.enrolment import MAX_ENROLMENT_BYTES, HostKey, decode_enrolment
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.names import HOSTS, enrolled_host, host_folder, key_object, spelled_host
from policy_core.errors import UsageError

READERS = 8
SUFFIXES = frozenset({".json", ".pub"})


@dataclass(slots=True)
class KeyRing:
    """Enrolled keys by host, as it is spelled in names, and by key id; and what should be an enrolment and is none."""

    source: str
    hosts: dict[str, dict[str, HostKey]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def of(self, host: str) -> dict[str, HostKey]:
        """Return the keys of a host."""
        return self.hosts.get(host, {})

    def add(self, name: str, content: bytes, *, expect_name: bool = False) -> None:
        """Take an enrolment; one that does not hold, or lies under another host's name, is noted as a problem."""
        try:
            key = decode_enrolment(content, name=name)
        except LogError as error:
            self.problems.append(error.message)
            return
        if expect_name and name != key_object(key.host, key.keyid):
            self.problems.append(f"{name}: enrols a key of host {key.host}, and does not belong here")
            return
        self.hosts.setdefault(spelled_host(key.host), {})[key.keyid] = key


def load_keys(source: str, *, base: Path, host: str | None) -> KeyRing:
    """Return the keys in a directory (searched to its depths), a file, or a store; those of one `host` if given.

    Raises UsageError, RemoteError.
    """
    if "://" in source:
        return _from_store(open_records(source), host)
    path = base / source
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(found for found in path.rglob("*") if found.suffix in SUFFIXES and found.is_file())
    else:
        raise UsageError(
            f"{source}: there are no keys", hint="name a directory with enrolments, or the fleet's records"
        )
    ring = KeyRing(source)
    for file in files:
        with file.open("rb") as stream:
            ring.add(str(file), stream.read(MAX_ENROLMENT_BYTES + 1))
    if not ring.hosts and not ring.problems:
        raise UsageError(f"{source}: holds no keys", hint="host.pub of each host, or hosts/ of the fleet's records")
    return ring


def _from_store(store: RecordsStore, host: str | None) -> KeyRing:
    def read(name: str) -> tuple[str, bytes]:
        try:
            found = store.get(name, max_bytes=MAX_ENROLMENT_BYTES)
        except ObjectTooLargeError:
            found = None  # which enrols no key
        return name, found.body if found else b""

    ring = KeyRing(store.url)
    names = _key_names(store, host_folder(host) if host else HOSTS)
    with ThreadPoolExecutor(READERS) as pool:
        for name, content in pool.map(read, names):
            ring.add(name, content, expect_name=True)
    return ring


def _key_names(store: RecordsStore, folder: str) -> Iterator[str]:
    """Yield the names of enrolments: other records of a host lie deeper, or are called otherwise."""
    yield from (found.name for found in store.listing(folder) if enrolled_host(found.name))
