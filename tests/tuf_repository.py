"""A TUF repository behind HTTP that a test changes and spoils: made with TUF's metadata API, knows nothing of us."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

EXPIRES = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")


class TufRepository:
    """Roles are changed in memory and served from the next `publish` on, or `write` if the repository is to be wrong.

    `served` holds bodies, or the status to answer, by path; `asked` the paths that were requested.
    """

    def __init__(self, *, consistent: bool = True, with_hashes: bool = False) -> None:
        self.root = Root(expires=EXPIRES, consistent_snapshot=consistent)
        self.roles: dict[str, Signed] = {
            "root": _unpublished(self.root),
            "timestamp": _unpublished(Timestamp(expires=EXPIRES)),
            "snapshot": _unpublished(Snapshot(expires=EXPIRES)),
            "targets": _unpublished(Targets(expires=EXPIRES)),
        }
        self.signers: dict[str, list[Signer]] = {}
        self.served: dict[str, bytes | int] = {}
        self.asked: list[str] = []
        self.url = ""
        self._with_hashes = with_hashes
        self._former_root_signers: list[Signer] = []
        for role in TOP_LEVEL:
            self.add_key(role)
        self.publish_root()
        self.publish("targets")

    @property
    def timestamp(self) -> Timestamp:
        return self.roles["timestamp"]  # type: ignore[return-value]

    @property
    def snapshot(self) -> Snapshot:
        return self.roles["snapshot"]  # type: ignore[return-value]

    def targets(self, role: str = "targets") -> Targets:
        return self.roles[role]  # type: ignore[return-value]

    def add_key(self, role: str, signer: Signer | None = None, *, by: str = "targets") -> None:
        signer = signer or CryptoSigner.generate_ed25519()
        delegator = self.root if role in TOP_LEVEL else self.targets(by)
        delegator.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)

    def rotate_key(self, role: str, signer: Signer | None = None) -> None:
        """Take all keys from a top-level role and give it a new one, from the next root on."""
        for former in self.signers.pop(role):
            self.root.revoke_key(former.public_key.keyid, role)
        self.add_key(role, signer)

    def delegate(
        self, role: str, paths: Sequence[str] = ("*",), *, by: str = "targets", terminating: bool = False
    ) -> None:
        delegator = self.targets(by)
        delegator.delegations = delegator.delegations or Delegations({}, {})
        assert delegator.delegations.roles is not None
        delegator.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, list(paths))
        self.roles.setdefault(role, _unpublished(Targets(expires=EXPIRES)))
        if role in self.signers:
            for signer in self.signers[role]:
                delegator.add_key(signer.public_key, role)
        else:
            self.add_key(role, by=by)

    def list_target(self, path: str, body: bytes, *, role: str = "targets", algorithm: str = "sha256") -> TargetFile:
        """Serve a target and list it, once the role is published."""
        target = TargetFile.from_data(path, body, [algorithm])
        self.targets(role).targets[path] = target
        self.served[self.target_path(target)] = body
        return target

    def target_path(self, target: TargetFile) -> str:
        if not self.root.consistent_snapshot:
            return f"/targets/{target.path}"
        folder, slash, file = target.path.rpartition("/")
        return f"/targets/{folder}{slash}{next(iter(target.hashes.values()))}.{file}"

    def publish(self, *roles: str) -> None:
        """Serve new versions of these roles, the snapshot role that pins them, and the timestamp."""
        for role in roles:
            self.roles[role].version += 1
            self.snapshot.meta[f"{role}.json"] = self._pin(role, self.write(role))
        self.publish_snapshot()

    def publish_snapshot(self) -> None:
        self.snapshot.version += 1
        self.pin_snapshot()
        self.publish_timestamp()

    def pin_snapshot(self) -> None:
        self.timestamp.snapshot_meta = self._pin("snapshot", self.write("snapshot"))

    def publish_timestamp(self) -> None:
        self.timestamp.version += 1
        self.write("timestamp")

    def publish_root(self) -> None:
        """Serve the next root, signed by the keys of the one before and its own."""
        self.root.version += 1
        self.write("root", [*self._former_root_signers, *self.signers["root"]])
        self._former_root_signers = list(self.signers["root"])

    def write(self, role: str, signers: Sequence[Signer] | None = None) -> bytes:
        """Serve a role as it is, under the name of its version, signed by its keys or these."""
        data = self.sign(role, signers)
        self.served[self.path(role)] = data
        return data

    def sign(self, role: str, signers: Sequence[Signer] | None = None) -> bytes:
        metadata = Metadata(self.roles[role])
        for signer in self.signers[role] if signers is None else signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def path(self, role: str, version: int | None = None) -> str:
        """Return where a role is served: in a consistent repository, and for roots, under its number."""
        numbered = role == "root" or (self.root.consistent_snapshot and role != "timestamp")
        number = f"{version or self.roles[role].version}." if numbered else ""
        return f"/metadata/{number}{quote(role, safe='')}.json"

    def _pin(self, role: str, data: bytes) -> MetaFile:
        version = self.roles[role].version
        if not self._with_hashes:
            return MetaFile(version)
        return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _unpublished(role: Signed) -> Signed:
    role.version = 0
    return role


@contextmanager
def served(repository: TufRepository) -> Iterator[TufRepository]:
    """Serve a repository on a loopback port; `url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            repository.asked.append(self.path)
            found = repository.served.get(self.path, 404)
            status, body = (found, b"") if isinstance(found, int) else (200, found)
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(body)))
            if status in range(300, 400):
                self.send_header("Location", f"/moved{self.path}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    repository.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
