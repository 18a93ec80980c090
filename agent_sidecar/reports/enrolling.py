"""The host's public key becomes known: an object below the host's own folder, written once, the same every time."""

import time
from collections.abc import Callable

from agent_sidecar import logs
from agent_sidecar.host_key import HostSigner
from agent_sidecar.retrying import Retrying
from bundle_store.delivering import deliver
from bundle_store.port import RecordsStore


class Enrolment:
    """Of the key of this host, in the fleet's records; `tend` is called about once a second, by one thread."""

    def __init__(
        self, store: RecordsStore, signer: HostSigner, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_done = False
        self._store = store
        self._signer = signer
        self._monotonic = monotonic
        self._retrying = Retrying("host_enrolment")

    @property
    def problem(self) -> str:
        """Return why it has not worked yet."""
        return self._retrying.problem

    def tend(self) -> None:
        """Enrol the key, unless it is known to be; what goes wrong is logged, and tried again."""
        if not self.is_done:
            self.is_done = self._retrying.attempt(self._enrol, self._monotonic())

    def _enrol(self) -> bool:
        name, content = self._signer.enrolment()
        deliver(self._store, name, content)
        logs.info("host_enrolled", host=self._signer.key.host, key=self._signer.keyid, records=self._store.url)
        return True
