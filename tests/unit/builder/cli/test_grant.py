"""``writ grant`` and ``writ keys approver``: what is printed is accepted by hosts, and nothing is signed unseen."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from policy_core.decision import Ask
from policy_core.grants import check_grants, decode_grant, request_digest
from policy_core.model import Approver
from policy_core.request import normalise

Writ = Callable[..., Any]

REQUEST: dict[str, Any] = {
    "subject": {"type": "user", "id": "di"},
    "action": {"name": "drop"},
    "resource": {"type": "database", "id": "prod-db"},
    "context": {"ticket": "T-1"},
}


@pytest.fixture
def key(writ: Writ, policies: Any, tmp_path: Path) -> Path:
    """Make the key of ana and commit her as an approver; return the key file."""
    file = tmp_path / "ana.pem"
    made = writ("keys", "approver", "ana", "--team", "security", "--subject", "ana", "--no-passphrase", "-o", str(file))
    assert made.code == 0, made.err
    settings = (policies.path / "writ.yaml").read_text()
    policies.commit({"writ.yaml": settings + made.out})
    ask(policies, REQUEST)
    return file


def ask(policies: Any, request: dict[str, Any], **changes: Any) -> Ask:
    """Write a request and the answer of a host to it; return what it asks for."""
    asked = Ask(
        rules=("a/ask",), rules_digest="sha256:" + "1" * 64,
        request_digest=request_digest(normalise(request, now=0, host={})),
        quorum={"security": 1}, expires_in_s=3_600, audience="web-1", missing={"security": 1},
    )  # fmt: skip
    asked = msgspec.structs.replace(asked, **changes)
    answer = {"decision": False, "context": {"decision": "require_approval", "approval": asked}}
    (policies.path / "request.json").write_text(json.dumps(request))
    (policies.path / "answer.json").write_bytes(msgspec.json.encode(answer))
    return asked


def approver_in(policies: Any) -> Approver:
    from builder.simulating.thresholds import project_of
    from builder.source import PolicyRepository

    return project_of("HEAD", PolicyRepository.open(policies.path).tree("HEAD")).approvers[0]


def test_a_host_accepts_what_is_printed(writ: Writ, policies: Any, key: Path) -> None:
    asked = ask(policies, REQUEST)

    run = writ("grant", "request.json", "answer.json", "--key", str(key))

    assert run.code == 0, run.err
    granted = {**REQUEST, "context": {"ticket": "T-1", "grants": [run.out.strip()]}}
    request = normalise(granted, now=time.time(), host={})
    verdict = check_grants(request, asked, {"ana": approver_in(policies)}, is_spent=lambda _: False)
    assert (verdict.approvers, verdict.refused) == (("ana",), ())


def test_what_is_signed_is_shown_in_full_before(writ: Writ, policies: Any, key: Path) -> None:
    ask(policies, {**REQUEST, "context": {"why": "\u202egnihton", "grants": ["writ1.old"]}})

    run = writ("grant", "request.json", "answer.json", "--key", str(key))

    assert run.err.startswith(
        "approver   ana (security)\nrules      a/ask\nmissing    1 of security\naudience   web-1\n"
        f"good for   1h, for one answer\nid         {decode_grant(run.out.strip()).nonce}\nrequest\n{{\n"
    )
    assert '"why": "\\u202egnihton"' in run.err
    assert "grants" not in run.err


def test_audience_and_lifetime_can_be_chosen(writ: Writ, policies: Any, key: Path) -> None:
    options = ("--audience", "any", "--expires", "15m", "--format", "json")

    run = writ("grant", "request.json", "answer.json", "--key", str(key), *options)

    made = decode_grant(run.json["grant"])
    assert (made.audience, made.expires - made.issued) == ("any", 900)
    assert (run.json["approver"], run.json["expires"]) == ("ana", made.expires)
    assert run.json["id"] == made.nonce


def test_no_two_grants_are_the_same(writ: Writ, policies: Any, key: Path) -> None:
    first, second = (writ("grant", "request.json", "answer.json", "--key", str(key)).out for _ in range(2))

    assert decode_grant(first.strip()).nonce != decode_grant(second.strip()).nonce


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"request_digest": "sha256:" + "0" * 64}, [], "request: is not the one the answer is about"),
        ({"missing": {}}, [], "answer: nothing is missing"),
        ({"missing": {"platform": 1}}, [], "ana: is in none of the teams that are missing"),
        ({"approvers": ("ana",)}, [], "ana: has granted this already"),
        ({"audience": ""}, [], "answer: names no audience"),
        ({}, ["--expires", "2h"], "--expires: the rules accept a grant for 3600 s at most"),
        ({}, ["--expires", "soon"], "--expires soon: not a duration"),
    ],
)
def test_what_no_host_would_accept_is_not_signed(
    writ: Writ, policies: Any, key: Path, change: dict[str, Any], options: list[str], message: str
) -> None:
    ask(policies, REQUEST, **change)

    run = writ("grant", "request.json", "answer.json", "--key", str(key), *options)

    assert (run.code, run.out) == (2, "")
    assert f"error: {message}" in run.err


@pytest.mark.parametrize(
    "subject",
    [
        {"type": "user", "id": "ana"},
        {"type": "agent", "id": "bot", "properties": {"on_behalf_of": "ana"}},
        {"type": "agent", "id": "bot", "properties": {"on_behalf_of": [{"id": "x"}, {"id": "ana"}]}},
    ],
)
def test_nobody_approves_what_they_ask_for(writ: Writ, policies: Any, key: Path, subject: dict[str, Any]) -> None:
    ask(policies, {**REQUEST, "subject": subject})

    run = writ("grant", "request.json", "answer.json", "--key", str(key))

    assert (run.code, run.out) == (2, "")
    assert "error: ana: asks for this request (as ana)" in run.err


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"decision": true}', '{"approval": {}}', '{"approval": 5}', "[" * 9_999]
)
def test_an_answer_that_asks_for_nothing_is_refused(writ: Writ, policies: Any, key: Path, answer: str) -> None:
    (policies.path / "answer.json").write_text(answer)

    run = writ("grant", "request.json", "answer.json", "--key", str(key))

    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("error: answer: ")


def test_a_key_of_nobody_is_refused(writ: Writ, policies: Any, key: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "eve.pem"
    writ("keys", "approver", "eve", "--team", "security", "--no-passphrase", "-o", str(stranger))

    run = writ("grant", "request.json", "answer.json", "--key", str(stranger))

    assert (run.code, run.out) == (2, "")
    assert "no approver of this policy has it" in run.err


def test_a_key_that_is_only_in_the_work_tree_is_refused(writ: Writ, policies: Any, key: Path, tmp_path: Path) -> None:
    mine = tmp_path / "eve.pem"
    made = writ("keys", "approver", "eve", "--team", "security", "--no-passphrase", "-o", str(mine))
    settings = policies.path / "writ.yaml"
    settings.write_text(settings.read_text() + made.out.split("\n", 1)[1])

    run = writ("grant", "request.json", "answer.json", "--key", str(mine))

    assert "no approver of this policy has it" in run.err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(writ: Writ, policies: Any, key: Path, mode: int) -> None:
    key.chmod(mode)

    run = writ("grant", "request.json", "answer.json", "--key", str(key))

    assert (run.code, run.out) == (2, "")
    assert run.err.endswith(f"error: {key}: can be read by others\nhint: chmod 600 {key}\n")


def test_a_file_that_holds_no_key_is_refused(writ: Writ, policies: Any, key: Path) -> None:
    key.write_text("-----BEGIN PRIVATE KEY-----\nnope\n-----END PRIVATE KEY-----\n")

    assert (
        f"error: {key}: not a private key that can be read"
        in writ("grant", "request.json", "answer.json", "--key", str(key)).err
    )
    assert "no key at /nowhere" in writ("grant", "request.json", "answer.json", "--key", "/nowhere").err


def test_an_openssh_key_signs_too(writ: Writ, policies: Any, key: Path, tmp_path: Path) -> None:
    from builder.granting.keys import load_key, public_hex

    file = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    settings = (policies.path / "writ.yaml").read_text()
    public = public_hex(load_key(file, passphrase=str))
    entry = f"  bo: {{key: '{public}', teams: [security], subjects: [bo]}}\n"
    policies.commit({"writ.yaml": settings + entry})

    run = writ("grant", "request.json", "answer.json", "--key", str(file))

    assert run.code == 0, run.err
    assert decode_grant(run.out.strip()).key == public


def test_an_encrypted_key_takes_its_passphrase(
    writ: Writ, policies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ana.pem"
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: "correct horse")
    made = writ("keys", "approver", "ana", "--team", "security", "-o", str(file))
    policies.commit({"writ.yaml": (policies.path / "writ.yaml").read_text() + made.out})
    ask(policies, REQUEST)

    assert b"ENCRYPTED" in file.read_bytes()
    assert writ("grant", "request.json", "answer.json", "--key", str(file)).code == 0
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: "wrong")
    refused = writ("grant", "request.json", "answer.json", "--key", str(file))
    assert (refused.code, refused.out) == (2, "")
    assert "wrong" not in refused.err.lower().replace("incorrect", "")


def test_where_there_is_no_terminal_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    key = tmp_path / "ana.pem"

    run = subprocess.run(
        [sys.executable, "-m", "builder", "keys", "approver", "ana", "--team", "security", "-o", str(key)],
        start_new_session=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    hint = "run it where somebody can type, or leave the key unencrypted with --no-passphrase"
    assert run.stderr == f"error: Passphrase: there is no terminal to ask on\nhint: {hint}\n"
    assert (run.returncode, run.stdout, key.exists()) == (2, "", False)


def test_keys_are_never_overwritten_and_nobody_else_can_read_them(writ: Writ, policies: Any, key: Path) -> None:
    before = key.read_bytes()

    run = writ("keys", "approver", "ana", "--team", "security", "--no-passphrase", "-o", str(key))

    assert (run.code, run.out) == (7, "")
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600


def test_by_default_the_key_lies_in_the_configuration_of_the_account(
    writ: Writ, policies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    run = writ("keys", "approver", "ana", "--team", "security", "--team", "platform", "--no-passphrase")

    assert (tmp_path / "config/writ/approvers/ana.pem").is_file()
    assert '"teams": ["security", "platform"], "subjects": ["ana"]' in run.out


def test_the_entry_can_be_had_as_json(writ: Writ, policies: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "ana.pem")

    run = writ("keys", "approver", "ana", "--team", "security", "--no-passphrase", "-o", file, "--format", "json")

    assert len(run.json["key"]) == 64
    assert {name: value for name, value in run.json.items() if name != "key"} == {
        "approver": "ana", "teams": ["security"], "subjects": ["ana"], "file": file,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../ana", "a b", "", "-x\n"])
def test_a_name_cannot_lead_elsewhere(writ: Writ, policies: Any, name: str) -> None:
    run = writ("keys", "approver", "--team", "security", "--no-passphrase", "--", name)

    assert run.code == 2
    assert "is no name" in run.err
