"""The file of signers: each line says one thing, and what ssh-keygen would read into it beyond that is refused."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest

from builder.language.nodes import Report
from builder.language.path_approvals import PathApprovals
from builder.language.signers import MAX_SIGNERS, Signer, read_signers, signers_of

MEMBERS = frozenset({"ana", "bo"})

TOUCHED = "sk-ssh-ed25519@openssh.com"  # in a token that wants to be touched


def key(kind: str = "ssh-ed25519", content: bytes = b"\x00\x00\x00\x20" + b"k" * 32) -> str:
    return base64.b64encode(len(kind).to_bytes(4, "big") + kind.encode() + content).decode()


KEY = key()
OTHER = key(content=b"\x00\x00\x00\x20" + b"o" * 32)


def read(text: str | bytes) -> tuple[tuple[Signer, ...], list[str]]:
    report = Report("trust/signers")
    signers = read_signers(text.encode() if isinstance(text, str) else text, report, members=MEMBERS)
    return signers, [f"{problem.where}: {problem.message}" for problem in sorted(report.problems)]


def test_members_and_keys_are_read() -> None:
    text = f'# who signs\n\nana ssh-ed25519 {KEY} laptop of ana\r\n  bo\tnamespaces="git" ssh-ed25519 {OTHER}\n'

    signers, problems = read(text)

    assert problems == []
    assert [(signer.name, signer.key) for signer in signers] == [("ana", KEY), ("bo", OTHER)]
    assert signers[0].line == f'ana namespaces="git" ssh-ed25519 {KEY}\n'


def test_somebody_may_have_several_keys() -> None:
    signers, problems = read(f"ana ssh-ed25519 {KEY}\nana ssh-ed25519 {OTHER}\n")

    assert (len(signers), problems) == (2, [])


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_fingerprint_is_what_ssh_keygen_says(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", file], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", file], capture_output=True, text=True, check=True).stdout

    (signer,), problems = read(f"ana {file.with_suffix('.pub').read_text()}")

    assert problems == []
    assert signer.fingerprint == told.split()[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ana", "1:1: line has no key"),
        ("ana ssh-ed25519", "1:5: is no ssh-ed25519 key"),
        (f"ana ssh-ed25519 {KEY[:-4]}", "1:17: is no ssh-ed25519 key"),
        (f"ana ssh-ed25519 {KEY}!", "1:17: is no ssh-ed25519 key"),
        (f"ana ssh-ed25519 {key('ecdsa-sha2-nistp256')}", "1:17: is no ssh-ed25519 key"),
        (f"ana ssh-ed25519 {key(content=bytes([0, 0, 0, 32]) + bytes(32))}",
         "1:17: is no secret's public half: anybody could sign for it"),
        (f"ana {TOUCHED} {key(TOUCHED, bytes([0, 0, 0, 32, 1]) + bytes(31) + bytes([0, 0, 0, 1]) + b's')}",
         "1:32: is no secret's public half: anybody could sign for it"),
        (f"ana sk-ssh-ed25519@openssh.com {key('sk-ssh-ed25519@openssh.com')}",
         "1:32: is no sk-ssh-ed25519@openssh.com key"),
        (f"ana ecdsa-sha2-nistp256 {key('ecdsa-sha2-nistp256', b'junk')}", "1:25: is no ecdsa-sha2-nistp256 key"),
        (f"ana ssh-rsa {key('ssh-rsa')}", "1:5: kind of key 'ssh-rsa' is not taken"),
        (f"ana ssh-ed25519-cert-v01@openssh.com {KEY}",
         "1:5: kind of key 'ssh-ed25519-cert-v01@openssh.com' is not taken"),
        (f"ana cert-authority ssh-ed25519 {KEY}", "1:5: option 'cert-authority' is not taken"),
        (f'ana valid-before="20300101" ssh-ed25519 {KEY}', "1:5: option 'valid-before=\"20300101\"' is not taken"),
        (f'ana namespaces="git,file" ssh-ed25519 {KEY}', "1:5: option 'namespaces=\"git,file\"' is not taken"),
        (f'ana namespaces="git",cert-authority ssh-ed25519 {KEY}',
         "1:5: option 'namespaces=\"git\",cert-authority' is not taken"),
        (f'ana namespaces="git" valid-after="20200101" ssh-ed25519 {KEY}',
         "1:22: option 'valid-after=\"20200101\"' is not taken"),
        (f"ana,bo ssh-ed25519 {KEY}", "1:1: signer 'ana,bo' is not valid"),
        (f"* ssh-ed25519 {KEY}", "1:1: signer '*' is not valid"),
        (f"!eve,* ssh-ed25519 {KEY}", "1:1: signer '!eve,*' is not valid"),
        (f'"ana" ssh-ed25519 {KEY}', "1:1: signer '\"ana\"' is not valid"),
        (f"\N{CYRILLIC SMALL LETTER A}na ssh-ed25519 {KEY}",
         "1:1: signer '\N{CYRILLIC SMALL LETTER A}na' is not valid"),
        (f"Ana ssh-ed25519 {KEY}", "1:1: signer Ana is in no team"),
        (f"ana ssh-ed25519 {KEY}\nbo ssh-ed25519 {KEY}\n", "2:1: is the key of ana already"),
        (f"ana ssh-ed25519 {KEY}\nana ssh-ed25519 {KEY}\n", "2:1: is the key of ana already"),
        (b"ana \xff", ": not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_refused_has_its_place(text: str | bytes, expected: str) -> None:
    _, problems = read(text)

    assert problems == [f"trust/signers{'' if expected[0] == ':' else ':'}{expected}"]


def test_their_number_is_bounded() -> None:
    keys = (
        key(content=b"\x00\x00\x00\x20" + hashlib.sha256(bytes([n % 256, n // 256])).digest())
        for n in range(MAX_SIGNERS + 1)
    )

    _, problems = read("".join(f"ana ssh-ed25519 {each}\n" for each in keys))

    assert problems == ["trust/signers: too many signers (1001, limit 1000)"]


class TestOfATree:
    DEMANDED = PathApprovals({"policies/**": ("security",)}, {"security": ("ana",)})

    def test_is_not_read_where_nothing_is_demanded(self) -> None:
        assert signers_of({"trust/signers": b"junk"}, PathApprovals(), Report("")) == ()

    def test_may_be_missing_by_default(self) -> None:
        report = Report("")

        assert (signers_of({}, self.DEMANDED, report), report.problems) == ((), [])

    def test_may_not_be_missing_where_it_is_named(self) -> None:
        report = Report("")

        signers_of({}, PathApprovals({"a": ("b",)}, {}, "trust/keys"), report)

        assert [f"{problem.where} {problem.message}" for problem in report.problems] == ["trust/keys is missing"]
