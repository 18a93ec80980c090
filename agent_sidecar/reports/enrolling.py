"""The host's public key becomes known: an object below the host's own folder, written once, the same every time."""

from agent_sidecar import logs
from agent_sidecar.host_key import HostSigner
from bundle_store.delivering import deliver
from bundle_store.port import RecordsStore


def enrol(store: RecordsStore, signer: HostSigner) -> bool:
    """Return true once the key is in the fleet's records. Raises RemoteError, DifferentObjectError."""
    name, content = signer.enrolment()
    deliver(store, name, content)
    logs.info("host_enrolled", host=signer.key.host, key=signer.keyid, records=store.url)
    return True
