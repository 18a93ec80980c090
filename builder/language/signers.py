"""The file of signers: whose SSH keys sign commits as which member of a team, in the form that `ssh-keygen` reads.

Less is allowed than there, so that no line means more than it seems to: one member and one key a line, no patterns, no
certificate authorities, and no dates. A signature carries no time that anybody attests: `ssh-keygen` would hold a date
against the one that the signer wrote into the commit. Whoever shall no longer sign is taken off the list.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from builder.language.approvers import NAME, NAME_ALLOWED
from builder.language.codes import Code
from builder.language.fields import shown, suggestion
from builder.language.nodes import BrokenNode, Report
from builder.language.path_approvals import DEFAULT_SIGNERS, PathApprovals
from policy_core.grants import is_weak_key

MAX_SIGNERS = 1_000
ED25519_BYTES = 32
KEY_TYPES = {
    "ssh-ed25519": 2,
    "sk-ssh-ed25519@openssh.com": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
"""How many fields a key of each type has; the first is the type, that of Ed25519 goes on with the point."""
_ED25519 = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")
_NAMESPACES = 'namespaces="git"'
_WORD = re.compile(r"[^ \t]+")
_HINT = "write a line for each key: NAME ssh-ed25519 AAAA…"
_OPTION_HINT = f"only {_NAMESPACES} may stand before the key; to end what a key may sign, take its line away"


@dataclass(frozen=True, slots=True)
class Signer:
    """A member and a public key: its type, its base64, and its fingerprint as git spells it (``SHA256:…``)."""

    name: str
    key_type: str
    key: str
    fingerprint: str

    @property
    def line(self) -> str:
        """Return the line that says this and nothing else."""
        return f"{self.name} {_NAMESPACES} {self.key_type} {self.key}\n"


def signers_of(files: Mapping[str, bytes], approvals: PathApprovals, overall: Report) -> tuple[Signer, ...]:
    """Return the signers of a tree whose governance demands `approvals`; none if nothing is demanded.

    The file may be missing where `writ.yaml` does not name it: then nobody's signature counts.
    """
    if not approvals.teams_by_glob:
        return ()
    report = replace(overall, file=approvals.signers, tally=[0])
    content = files.get(approvals.signers)
    if content is not None:
        return read_signers(content, report, members=approvals.everybody())
    if approvals.signers != DEFAULT_SIGNERS:
        report.file_problem("is missing", f"create it, as governance.signers names it: {_HINT}")
    return ()


def read_signers(content: bytes, report: Report, *, members: Collection[str]) -> tuple[Signer, ...]:
    """Return the signers in a file, in its order, as far as they can be read; each must be one of `members`."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        report.of(Code.UNREADABLE).file_problem("not UTF-8", "save the file as UTF-8 without byte order mark")
        return ()
    signers: dict[str, Signer] = {}
    for number, line in enumerate(lines, 1):
        words = list(_WORD.finditer(line.removesuffix("\r")))
        if not words or words[0][0].startswith("#"):
            continue
        signer = _read_line(report, number, words, members)
        if signer and signer.fingerprint in signers:
            message = f"is the key of {signers[signer.fingerprint].name} already"
            report.at(BrokenNode(number, 1), message, "let every person have keys of their own, each listed once")
        elif signer:
            signers[signer.fingerprint] = signer
    if len(signers) > MAX_SIGNERS:
        report.file_problem(f"too many signers ({len(signers)}, limit {MAX_SIGNERS})")
    return tuple(signers.values())


def _read_line(report: Report, number: int, words: list[re.Match[str]], members: Collection[str]) -> Signer | None:
    """Return the signer of a line; what follows the key is a comment."""
    name, *rest = words
    if rest and rest[0][0] == _NAMESPACES:
        rest = rest[1:]
    before = len(report.problems)
    for place, message, hint in _line_problems(name, rest, members):
        report.at(BrokenNode(number, place.start() + 1), message, hint)
    if len(report.problems) > before:
        return None
    key_type, key = rest[0][0], rest[1][0]
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode().rstrip("=")
    return Signer(name[0], key_type, key, f"SHA256:{digest}")


def _line_problems(
    name: re.Match[str], rest: list[re.Match[str]], members: Collection[str]
) -> Iterator[tuple[re.Match[str], str, str]]:
    """Yield what is wrong with a line: where, what, and what to do."""
    if not NAME.fullmatch(name[0]):
        yield name, f"signer {shown(name[0])} is not valid", f"use {NAME_ALLOWED}; one name a line"
    elif name[0] not in members:
        yield name, f"signer {name[0]} is in no team", suggestion(name[0], members, "members by governance.teams")
    if not rest:
        yield name, "line has no key", _HINT
    elif rest[0][0] not in KEY_TYPES:
        word = rest[0]
        option = "=" in word[0] or word[0].partition(" ")[0] == "cert-authority"
        message = f"{'option' if option else 'kind of key'} {shown(word[0])} is not taken"
        yield word, message, _OPTION_HINT if option else f"kinds of key: {', '.join(KEY_TYPES)}"
    elif len(rest) < 2 or not _is_key(rest[0][0], rest[1][0]):
        yield rest[-1], f"is no {rest[0][0]} key", "copy the line of the .pub file, without what follows the key"
    elif rest[0][0] in _ED25519 and is_weak_key(_fields(base64.b64decode(rest[1][0]))[1]):
        yield rest[1], "is no secret's public half: anybody could sign for it", "make one: ssh-keygen -t ed25519"


def _is_key(key_type: str, text: str) -> bool:
    """Tell whether base64 holds a key of its type, as far as its outer form goes; `ssh-keygen` reads the rest."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if base64.b64encode(blob).decode() != text:  # one spelling, one fingerprint
        return False
    found = _fields(blob)
    if len(found) != KEY_TYPES[key_type] or found[0] != key_type.encode():
        return False
    return key_type not in _ED25519 or len(found[1]) == ED25519_BYTES


def _fields(blob: bytes) -> list[bytes]:
    """Return what is in a public key: strings, each after its length. Nothing if one is cut off."""
    found = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        head, blob = blob[4 : 4 + length], blob[4 + length :]
        if len(head) != length:
            return []
        found.append(head)
    return found
