"""What happened before: a policy repository with keys and a store, and commands that were run with them."""

import contextlib
import datetime
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from git_folder import GitFolder

from builder.cli.main import main


@dataclass(frozen=True)
class Past:
    """A folder with a policy repository, a store, keys of machines (`config`) and of people."""

    folder: Path

    @property
    def repository(self) -> GitFolder:
        return GitFolder(self.folder / "repository")

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def begin(self) -> None:
        """Make keys and store, if that has not been done."""
        if not self.store.exists():
            self._run("keys", "init", "--dev")

    def writ(self, *words: str, at_home: str = "config") -> str:
        """Run a command with the keys of machines, or at somebody's, and return what it prints."""
        self.begin()
        return self._run(*words, at_home=at_home)

    def key(self, name: str) -> str:
        """Make a key of a person and return where its public half is."""
        key = Ed25519PrivateKey.generate()
        pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
        (self.folder / name).write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
        (self.folder / name).chmod(0o600)
        public = self.folder / f"{name}.pub"
        public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
        return str(public)

    def signer(self, name: str) -> str:
        return f"file:{self.folder / name}"

    def machine_key(self, role: str) -> str:
        """Return the id of the one key of a role."""
        shown = json.loads(self.writ("keys", "show", "--format", "json"))
        (found,) = [entry for entry in shown["roles"] if entry["role"] == role]
        return str(found["keys"][0]["id"])

    def approve(self, name: str) -> None:
        """Let somebody sign, at home, what waits for prod."""
        with mock.patch("sys.stdin", io.StringIO("y\n")):
            self.writ("approve", "--channel", "prod", "--signer", self.signer(name), at_home=name)

    def ceremony(self, *words: str, signers: Sequence[str], apply: bool = True) -> None:
        """Let people sign a change of keys, and make it live."""
        file = str(self.folder / "ceremony")
        self.writ(*words, "--yes", "-o", file)
        for name in signers:
            self.writ("keys", "sign", file, "--yes", "--signer", self.signer(name))
        if apply:
            self.writ("keys", "apply", file, "--yes")
            Path(file).unlink()

    @contextlib.contextmanager
    def days_ago(self, days: int) -> Iterator[None]:
        """Let it be some days ago, for those who sign and those who verify."""
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=days)
        clock = SimpleNamespace(datetime=SimpleNamespace(now=lambda _: now), timezone=datetime.timezone)
        with (
            mock.patch("tuf.ngclient._internal.trusted_metadata_set.datetime", clock),
            mock.patch("builder.publishing.publisher.datetime", clock.datetime),
        ):
            yield

    def _run(self, *words: str, at_home: str = "config") -> str:
        home = {"XDG_CONFIG_HOME": str(self.folder / at_home)}
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, home), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["-C", str(self.repository.path), *words])
        assert code == 0, (words, err.getvalue())
        return out.getvalue()
