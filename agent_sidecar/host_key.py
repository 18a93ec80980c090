"""The key of this host: ``host.key`` in the state directory. It signs checkpoints, its own enrolment, and reports.

Its enrolment lies beside it as ``host.pub``, for those who collect keys by hand.

Made once, before the first record is written, and never again: a key that is damaged, open to others or gone is an
error, because a new one in its place would hide that somebody was here.
"""

import os
import stat
from pathlib import Path

import msgspec

from agent_sidecar.durable import StateError, read_file, write_file
from agent_sidecar.history import moment
from policy_core.decision_log.enrolment import MAX_ENROLMENT_BYTES, HostKey, encode_enrolment, enrolment_message
from policy_core.decision_log.lines import is_moment
from policy_core.decision_log.names import key_object

KEY_FILE, PUBLIC_FILE = "host.key", "host.pub"
SCHEMA = "writ.host-key/1"
MAX_KEY_BYTES = 1_024
_HINT = (
    "restore the file; without it, find out who was here, ship or copy away what is in spool/, "
    "then start with a new state directory: the log of this host begins anew, and `writ logs verify` says so"
)


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Content of the file: both halves (hex), so that no damage makes another key of it, and when it was made."""

    schema: str = SCHEMA
    private: str
    public: str
    created: str


class HostSigner:
    """Signs as this host. `key` is the public half, under the host id it is enrolled for."""

    def __init__(self, host: str, file: _KeyFile) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(file.private))
        public = private.public_key().public_bytes_raw()
        if public.hex() != file.public or file.schema != SCHEMA or not is_moment(file.created):
            raise ValueError("its two halves do not belong together, or it is of another format")
        self.key = HostKey(host, public, file.created)
        self.keyid = self.key.keyid
        self.sign = private.sign

    def enrolment(self) -> tuple[str, bytes]:
        """Return name and content of the object that enrols the key: always the same."""
        return key_object(self.key.host, self.keyid), encode_enrolment(self.key, self.sign(enrolment_message(self.key)))


def open_host_key(state: Path, *, host: str, now: float) -> HostSigner:
    """Return the signer of a locked state directory, whose key is made if nothing was ever signed with one.

    Raises StateError if the file is not as it was made, or is gone while there is a log.
    """
    path = state / KEY_FILE
    try:
        content = read_file(path, max_bytes=MAX_KEY_BYTES)
    except FileNotFoundError:
        if any((state / "spool").glob("*.jsonl")):
            raise StateError(f"{path}: is gone, but this host has written a log", hint=_HINT) from None
        content = _make(path, now)
    _check_owner(path)
    try:
        signer = HostSigner(host, msgspec.json.decode(content, type=_KeyFile))
    except ValueError as error:
        raise StateError(f"{path}: is damaged: {error}", hint=_HINT) from error
    _keep_public(state / PUBLIC_FILE, signer.enrolment()[1])
    return signer


def _make(path: Path, now: float) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    made = _KeyFile(
        private=private.private_bytes_raw().hex(),
        public=private.public_key().public_bytes_raw().hex(),
        created=moment(now),
    )
    content = msgspec.json.encode(made) + b"\n"
    write_file(path, content)
    return content


def _keep_public(path: Path, enrolment: bytes) -> None:
    try:
        kept = read_file(path, max_bytes=MAX_ENROLMENT_BYTES)
    except (FileNotFoundError, StateError):
        kept = b""
    if kept != enrolment:  # of another host id, or changed by somebody
        write_file(path, enrolment, mode=0o644)


def _check_owner(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"{path}: is no regular file", hint=_HINT)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise StateError(
            f"{path}: others could have read it (expected mode 0600 and owner {os.geteuid()}, "
            f"found {mode} and {found.st_uid})",
            hint=f"find out who did; if nobody can have, `chmod 600 {path}`",
        )
