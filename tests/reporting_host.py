"""Hosts that report to a records store: a key, its enrolment, and reports that say what a test wants."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bundle_store.port import RecordsStore
from policy_core.decision_log.enrolment import HostKey, encode_enrolment, enrolment_message
from policy_core.decision_log.names import key_object, spelled_host
from policy_core.features import SUPPORTED
from policy_core.fleet.names import HostState, features_digest
from policy_core.fleet.report import encode_report


class ReportingHost:
    """One host; its first report is of `state`."""

    def __init__(self, store: RecordsStore, name: str, *, channel: str = "prod") -> None:
        self._store = store
        self._private = Ed25519PrivateKey.generate()
        self.name = name
        self.key = HostKey(name, self._private.public_key().public_bytes_raw(), "2026-03-01T12:00:00.000Z")
        self.keyid = self.key.keyid
        self.state = HostState(
            host=spelled_host(name), channel=channel, at=0, enforced=1, listed=1, timestamp=1, signed_at=0,
            freshness="fresh", marks=frozenset(), features="00000000", version="0.1.0",
        )  # fmt: skip

    def enrol(self) -> "ReportingHost":
        content = encode_enrolment(self.key, self._private.sign(enrolment_message(self.key)))
        self._store.put(key_object(self.name, self.key.keyid), content, if_etag=None)
        return self

    def report(
        self, at: float, *, features: frozenset[str] = SUPPORTED, status: bytes = b"{}", **changes: object
    ) -> HostState:
        digest = features_digest(features)
        state: HostState = replace(self.state, at=int(at), features=digest, **changes)  # type: ignore[arg-type]
        content = encode_report(
            state, host=self.name, features=features, status=status, keyid=self.keyid, sign=self._private.sign
        )
        self._store.put(state.name, content, if_etag=None)
        return state
