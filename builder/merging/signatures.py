"""Whose SSH key signed a commit: what git and `ssh-keygen` say of it, held against a list of signers from elsewhere."""

import enum
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2

from builder.language.signers import Signer
from builder.merging.history import run_git
from policy_core.errors import UsageError


class Found(enum.Enum):
    """What became of a commit's signature, in words."""

    GOOD = "signed"
    UNKNOWN = "signed with a key that is not listed"
    BAD = "signed in a way that does not verify"
    NONE = "not signed"


@dataclass(frozen=True, slots=True)
class Signature:
    """What was found, and the name of the member whose key it is if it is good."""

    found: Found
    name: str = ""


NOT_SIGNED = Signature(Found.NONE)


def read_signatures(
    git: pygit2.Repository, commits: Collection[str], signers: Iterable[Signer]
) -> Mapping[str, Signature]:
    """Return what each commit is signed with; dates have no say in it, as the signers have none.

    Raises UsageError if git or `ssh-keygen` is not there: no commit passes for unsigned because of the machine.
    """
    signed = [commit for commit in commits if _has_signature(git, commit)]
    if not signed:
        return {}
    if shutil.which("ssh-keygen") is None:
        raise UsageError(
            f"ssh-keygen: not found, and {len(signed)} signed commits must be verified",
            hint="install OpenSSH's client (openssh-client), 8.9 or newer",
        )
    names = {signer.fingerprint: signer.name for signer in signers}
    with tempfile.TemporaryDirectory(prefix="writ-signers-") as folder:
        allowed, revoked = Path(folder) / "signers", Path(folder) / "revoked"
        allowed.write_text("".join(signer.line for signer in signers), encoding="ascii")
        revoked.touch()
        output = run_git(
            git,
            *_options({
                "gpg.ssh.program": "ssh-keygen",
                "gpg.ssh.allowedSignersFile": str(allowed),
                "gpg.ssh.revocationFile": str(revoked),
                "gpg.openpgp.program": "false",  # what a key ring of this machine holds vouches for nobody
                "gpg.x509.program": "false",
            }),
            "log", "--no-walk=unsorted", "--stdin", "--no-show-signature", "--no-notes", "--no-color",
            "--encoding=UTF-8", "--format=%H %G? %GF %GS",
            lines=signed,
        )  # fmt: skip
    return dict(_read_line(line, names) for line in output.splitlines())


def _has_signature(git: pygit2.Repository, commit: str) -> bool:
    try:
        return bool(git[commit].peel(pygit2.Commit).gpg_signature[0])
    except KeyError:
        return False


def _options(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _read_line(line: str, names: Mapping[str, str]) -> tuple[str, Signature]:
    """Return commit and signature of a line; the key and the name that git found for it must agree with the list."""
    commit, status, fingerprint, name = (*line.split(" ", 3), "", "", "")[:4]
    if status == "G" and name and names.get(fingerprint) == name:
        return commit, Signature(Found.GOOD, name)
    return commit, Signature({"U": Found.UNKNOWN, "N": Found.NONE}.get(status, Found.BAD))
