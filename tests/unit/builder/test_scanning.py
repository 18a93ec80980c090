"""Secrets in a policy repository: found by form, told without being told, and false alarms named in writ.yaml."""

import base64
import gzip
import hashlib
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.nodes import Report
from builder.language.notsecrets import NotSecret
from builder.scanning import MAX_FINDINGS, _for_re2, _marks, _rules, find_secrets, note_secrets
from policy_core.errors import Problem, report

# put together here, so that no scanner takes this file for a leak
GITHUB = "gh" + "p_" + "aB3" * 12
AWS = "AKI" + "A" + "B2C3" * 4
SLACK = "xox" + "b-" + "123-456-abc"
URL = "https://bot:" + "hunter2" + "@example.com/x"
PRIVATE = "-----BEGIN RSA " + "PRIVATE KEY-----"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"ann"}', b"x" * 32)
)
EACH = {
    "GitHub Token": GITHUB, "AWS Access Key": AWS, "Slack Token": SLACK, "Basic Auth Credentials": URL,
    "Private Key": PRIVATE, "JSON Web Token": JWT,
    "GitLab Token": "gl" + "pat-" + "a1B2" * 5,
    "Stripe Access Key": "sk_" + "live_" + "a1B2" * 6,
    "SendGrid API Key": "S" + "G." + "a" * 22 + "." + "b" * 43,
    "OpenAI Token": "s" + "k-" + "a" * 20 + "T3Blbk" + "FJ" + "b" * 20,
    "PyPI Token": "pypi" + "-AgEIcHlwaS5vcmc" + "a" * 70,
    "Azure Storage Account access key": "Account" + "Key=" + "a" * 88,
    "Twilio API Key": "A" + "C" + "a1" * 16,
    "Square OAuth Secret": "sq0" + "csp-" + "a" * 43,
    "Discord Bot Token": "M" + "a" * 23 + "." + "b" * 6 + "." + "c" * 27,
    "NPM tokens": "//registry.example/:_auth" + "Token=npm_abc",
}  # fmt: skip


def noted(files: dict[str, bytes], *not_secrets: str, problems: tuple[Problem, ...] = ()) -> Report:
    found = Report("", list(problems))
    permitted = [NotSecret(hashlib.sha256(text.encode()).hexdigest(), (9, 3)) for text in not_secrets]
    note_secrets(files, permitted, found)
    return found


@pytest.mark.parametrize(("kind", "secret"), EACH.items(), ids=EACH)
def test_each_kind_is_found(kind: str, secret: str) -> None:
    (found,) = find_secrets(f"- {secret}\n".encode()).values()

    assert found.kind == kind


@given(st.data())
def test_the_marks_miss_nothing_that_a_rule_finds(data: st.DataObject) -> None:
    """Only files with a mark are looked at closely: so whatever any rule of the library matches must have one."""
    import detect_secrets.plugins
    from detect_secrets.plugins.base import RegexBasedDetector

    used = {kind for kind, _, _ in _rules()}
    assert detect_secrets.plugins
    patterns = [
        pattern
        for detector in RegexBasedDetector.__subclasses__()
        if detector.secret_type in used
        for pattern in detector.denylist
    ]
    pattern = data.draw(st.sampled_from(patterns))
    ascii_only = re.compile(pattern.pattern, pattern.flags & ~re.UNICODE | re.ASCII)
    text = data.draw(st.from_regex(ascii_only, fullmatch=True)).encode()

    assert b"\n" in text or _marks().search(text) is not None  # files are read line by line


def test_every_rule_runs_in_linear_time() -> None:
    hostile = (b"eyJ" * 100_000 + b"://" + b"a:" * 100_000 + b"aws" * 50_000 + b"glpat-" * 50_000 + b"\n") * 2
    started = time.process_time()

    find_secrets(hostile + GITHUB.encode())

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "password: {minLength: 12}\nsecret: rotation\ntoken: refresh",
        '{"ref":"https://example.com","to":"ann@example.com"}',
        '{"https://example.com":"ann@example.com"}',
        "https://example.com:8443/a@b",
        "sha256:" + "a1" * 32,
        "arn:aws:iam::123456789012:role/deploy-to-production-with-approvals",
        "id: 0b5ad1f6-6c1f-4a4e-9a1e-0d1d7d5b6c3a",
        "aws_account_key: '" + "a1b2c3d4e5" * 3 + "'",
        "host: vm-" + "0a" * 16 + "-us1",
        "eyJub3Q.a_token",
        "image: registry.example/app@sha256:" + "0f" * 32,
    ],
)
def test_what_only_resembles_a_secret_is_let_be(text: str) -> None:
    assert find_secrets(text.encode()) == {}


def test_a_secret_is_told_by_place_and_never_by_text() -> None:
    content = f"# ä\nurl: ä {URL}\nkeys: [{AWS}, {AWS}]\n{PRIVATE}\n".encode()

    found = noted({"data/x.yaml": content, "policies/a.yaml": GITHUB.encode()})

    assert [(problem.where, problem.message) for problem in found.problems] == [
        ("data/x.yaml:2:13", "looks like a secret: Basic Auth Credentials (15 bytes)"),
        ("data/x.yaml:3:8", "looks like a secret: AWS Access Key (20 bytes)"),  # once, where it stands first
        ("data/x.yaml:4:6", "looks like a secret: Private Key (21 bytes)"),
        ("policies/a.yaml:1:1", "looks like a secret: GitHub Token (40 bytes)"),
    ]


def test_nothing_else_is_said_of_a_file_that_holds_one() -> None:
    quoting = Problem("data/x.yaml", 1, 1, f"expected a number, found the text '{GITHUB}'")
    other = Problem("data/y.yaml", 1, 1, "file is empty")

    found = noted({"data/x.yaml": GITHUB.encode()}, problems=(quoting, other))

    assert [problem.file for problem in found.problems] == ["data/y.yaml", "data/x.yaml"]
    assert GITHUB not in repr(found.problems)


def test_a_compressed_corpus_is_looked_into() -> None:
    assert [
        problem.where for problem in noted({"corpus/a.jsonl.gz": gzip.compress(f'{{"a":"{AWS}"}}'.encode())}).problems
    ] == ["corpus/a.jsonl.gz:1:7"]


def test_a_damaged_archive_is_left_to_who_reads_it() -> None:
    assert noted({"corpus/a.jsonl.gz": b"\x1f\x8b\x08" + b"x" * 10}).problems == []


def test_a_trust_root_is_not_searched() -> None:
    assert noted({"trust/root.json": GITHUB.encode()}).problems == []


def test_a_false_alarm_is_named_by_its_digest() -> None:
    found = noted({"data/x.yaml": f"{AWS} {GITHUB}".encode()}, AWS)

    assert [problem.message for problem in found.problems] == ["looks like a secret: GitHub Token (40 bytes)"]
    assert found.warnings == []


def test_a_private_key_is_never_a_false_alarm() -> None:
    assert len(noted({"data/x.yaml": PRIVATE.encode()}, "BEGIN RSA " + "PRIVATE KEY").problems) == 1


def test_a_digest_that_nothing_has_is_a_warning() -> None:
    (warning,) = noted({"data/x.yaml": b"a: 1"}, AWS).warnings

    assert warning.where == "writ.yaml:9:3"
    assert warning.message.startswith("not_secrets: sha256:")


def test_a_file_full_of_secrets_gives_the_first_of_them_quickly() -> None:
    lines = [f"AKI{'A'}{number:016d}" for number in range(100_000)]
    started = time.process_time()

    problems = noted({"corpus/a.jsonl": "\n".join(lines).encode()}).problems

    assert [problem.line for problem in problems] == list(range(1, MAX_FINDINGS + 1))
    assert time.process_time() - started < 5


def test_patterns_are_changed_only_where_re2_must() -> None:
    """A new version of the library with patterns RE2 does not take fails here, not on a user's machine."""
    assert _rules()
    assert _for_re2(re.compile(r"gl-[a-z]{5,1024}(?!\w)", re.IGNORECASE)) == "(?i)gl-[a-z]{5,}"


def test_the_library_is_not_loaded_for_a_clean_repository() -> None:
    code = (
        "import sys\nfrom builder.language.nodes import Report\nfrom builder.scanning import note_secrets\n"
        "note_secrets({'data/a.yaml': b'password: https://example.com'}, (), Report(''))\n"
        "print([name for name in sys.modules if name.startswith(('detect_secrets', 'requests'))])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_no_line_of_output_has_the_text() -> None:
    from policy_core.errors import InvalidPolicyError

    files = {f"data/{number}.yaml": f"a: {secret}".encode() for number, secret in enumerate(EACH.values())}
    printed = "\n".join(report(InvalidPolicyError(noted(files).problems)))

    assert len(noted(files).problems) == len(EACH)
    assert [secret for secret in EACH.values() if secret[8:] in printed] == []
