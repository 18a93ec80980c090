"""Who may ask a real sidecar: every socket, path and credential, and what is read again while it runs."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography import x509
from raw_peer import Address, RawPeer, statuses
from sidecar_bench import REQUEST, Bench, Process, new_bench, until
from signed_store import bundle, rules

from agent_sidecar.calling import call

ALLOW = bundle(rules("allow"), number=1)
EVALUATION, JOB = "/access/v1/evaluation", "/api/v1/policy/evaluate"
CI, WEB = "the-token-of-the-ci", "the-token-of-the-web"
UID = os.getuid()


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def write(file: Path, content: str) -> Path:
    """Move a file with this content into place, as people should."""
    fresh = file.with_name(f"{file.name}.fresh")
    fresh.touch(mode=0o600)
    fresh.write_text(content)
    return fresh.replace(file)


class Guarded:
    """A sidecar with a configuration of its own, on TCP where that says so."""

    def __init__(self, bench: Bench, settings: str) -> None:
        self.folder = bench.folder
        self.file = write(bench.folder / "sidecar.toml", settings)
        self.process: Process = bench.start("--config", str(self.file))
        until(lambda: any(each["event"] == "activated" for each in self.process.events()), "an activation")
        until(lambda: self.status()["ready"], "readiness")

    @property
    def tcp(self) -> tuple[str, int]:
        (serving,) = [each for each in self.process.events() if each["event"] == "serving"]
        return "127.0.0.1", int(serving["sockets"][-1].rpartition(",")[2].strip(" )"))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = call(self.folder / "state/admin.sock", "GET", "/status")
        return found

    def log(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.process.events() if each["event"] == event]

    def change(self, settings: str) -> None:
        """Write other settings and have them read."""
        reloads = len(self.log("reloaded"))
        write(self.file, settings)
        self.process.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.log("reloaded")) > reloads, "a reload")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(ALLOW)
        yield made


@pytest.fixture(scope="module")
def authority(bench: Bench) -> Authority:
    return Authority(bench.folder)


SETTINGS = """
listen = "127.0.0.1:0"
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "authority.pem"
[[token]]
name = "ci"
file = "ci.token"
[[token]]
name = "web"
file = "web.token"
[envoy]
subject_header = "x-user"
subject_type = "user"
"""
BINDS = f"""
[[bind]]
uid = {UID}
subjects = ["user/a"]
[[bind]]
token = "ci"
subjects = ["user/a"]
[[bind]]
certificate = "uri:spiffe://acme/*"
subjects = ["service/*"]
"""


@pytest.fixture(scope="module")
def guarded(bench: Bench, authority: Authority) -> Guarded:
    authority.server()
    write(bench.folder / "ci.token", f"{CI}\n")
    write(bench.folder / "web.token", f"{WEB}\n")
    return Guarded(bench, SETTINGS + BINDS)


def trusting(authority: Authority, *pair: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair:
        context.load_cert_chain(*pair)
    return context


def spiffe(authority: Authority, name: str = "web", *, days: int = 30) -> tuple[Path, Path]:
    return authority.client(name, x509.UniformResourceIdentifier(f"spiffe://acme/{name}"), days=days)


def asking(subject: str) -> bytes:
    kind, _, name = subject.partition("/")
    return json.dumps({**REQUEST, "subject": {"type": kind, "id": name}}).encode()


def code(reply: tuple[int, bytes]) -> str:
    """Return what a reply says of a decision: its reason code, or the status if it has none."""
    status, body = reply
    found = json.loads(body)
    context = found.get("context", found) if isinstance(found, dict) else {}
    return str(context.get("reason_code") or status) if isinstance(context, dict) else str(status)


OPEN_TO_CALLERS = {
    ("POST", EVALUATION): 400, ("POST", "/access/v1/evaluations"): 400, ("POST", JOB): 400, ("POST", "/"): 400,
    ("POST", "/v1/data/writ/allow"): 400, ("POST", "/v0/data/writ/allow"): 400, ("GET", "/v1/status"): 200,
    ("GET", "/v1/policies"): 200, ("GET", "/health"): 200, ("GET", "/health/live"): 200, ("GET", "/health/ready"): 200,
    ("GET", "/status"): 200, ("GET", "/metrics"): 200, ("GET", "/envoy/x"): 403,
}  # fmt: skip
FOR_OPERATORS = [
    ("POST", "/rollback"), ("POST", "/resume"), ("POST", "/refresh"), ("GET", "/history"), ("POST", "/log-level"),
    ("POST", "/api/v1/policy/explain"), ("POST", "/api/v1/policy/simulate"), ("GET", "/api/v1/policy/snapshots"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), [*OPEN_TO_CALLERS, *FOR_OPERATORS, ("GET", "/nowhere")])
def test_each_path_is_where_it_belongs_and_on_tcp_for_nobody_without_credentials(
    guarded: Guarded, authority: Authority, method: str, path: str
) -> None:
    expected = OPEN_TO_CALLERS.get((method, path), 404)
    certificate = trusting(authority, *spiffe(authority))
    no_json = b"{" if method == "POST" else b""
    with RawPeer(guarded.process.socket) as local, RawPeer(guarded.tcp, tls=trusting(authority)) as tcp:
        assert local.ask(method, path, no_json)[0] == expected
        assert tcp.ask(method, path, no_json, bearer(WEB))[0] == expected
        assert tcp.ask(method, path, no_json, bearer("wrong-token-of-16"))[0] == 401
    with RawPeer(guarded.tcp, tls=trusting(authority)) as tcp:
        assert tcp.ask(method, path, no_json)[0] == 401
    with RawPeer(guarded.tcp, tls=certificate) as known:
        assert known.ask(method, path, no_json)[0] == expected
        assert known.ask(method, path, no_json, bearer("wrong-token-of-16"))[0] == 401
    if (method, path) in FOR_OPERATORS:
        with RawPeer(guarded.folder / "state/admin.sock") as admin:
            assert admin.ask("PUT" if path != "/log-level" else method, path, no_json)[0] in (400, 405)


@pytest.mark.parametrize("wanted", ["user/a", "user/b", "service/web"])
def test_every_caller_speaks_only_as_its_bind_says(guarded: Guarded, authority: Authority, wanted: str) -> None:
    certificate = trusting(authority, *spiffe(authority))
    asked: list[tuple[Address, ssl.SSLContext | None, tuple[str, ...], str]] = [
        (guarded.process.socket, None, (), "user/a"),
        (guarded.tcp, trusting(authority), (bearer(CI),), "user/a"),
        (guarded.tcp, trusting(authority), (bearer(WEB),), ""),
        (guarded.tcp, certificate, (), "service/web"),
        (guarded.tcp, certificate, (bearer(CI),), "user/a"),
    ]
    for address, tls, headers, bound in asked:
        with RawPeer(address, tls=tls) as peer:
            found = code(peer.ask("POST", EVALUATION, asking(wanted), *headers))
        assert found == ("matched_rule" if wanted == bound else "caller_not_bound"), (address, headers)


REVIEW = {
    "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
    "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "name": "p",
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "shop",
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"}, "object": {"kind": "Pod"}, "dryRun": False,
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "eve", "groups": ["system:masters"]},
    },
}  # fmt: skip


def test_no_protocol_is_a_way_around_a_bind(guarded: Guarded) -> None:
    job = {"tenant_id": "t", "job": {"topic": "act.0", "actor_type": "user", "actor_id": "eve"}}
    eve = json.loads(asking("user/eve"))
    batch = {**eve, "evaluations": [{}, {"subject": {"type": "user", "id": "a"}}, {"subject": eve["subject"]}]}
    bodies: list[tuple[str, object]] = [
        (EVALUATION, eve), (EVALUATION, job), (EVALUATION, {"input": eve}), (EVALUATION, {"input": job}), (JOB, job),
        (JOB, eve), ("/v1/data/writ/answer", {"input": eve}), ("/v1/data/writ/answer", {"input": job}),
        ("/v1/data/writ/answer", {"input": {"input": eve}}), ("/v0/data/writ/answer", eve),
    ]  # fmt: skip
    with RawPeer(guarded.process.socket) as peer:
        for path, body in bodies:
            status, reply = peer.ask("POST", path, json.dumps(body).encode())
            assert b"caller_not_bound" in reply or status == 400, (path, body)
            assert b'"allowed":true' not in reply
        made = json.loads(peer.ask("POST", "/access/v1/evaluations", json.dumps(batch).encode())[1])["evaluations"]
        assert [each["context"]["reason_code"] for each in made] == [
            "caller_not_bound", "matched_rule", "caller_not_bound",
        ]  # fmt: skip
        assert peer.ask("POST", "/v1/data/writ/allow", json.dumps({"input": eve}).encode())[1].startswith(
            b'{"result":false'
        )
        assert peer.ask("POST", "/", json.dumps(eve).encode()) == (200, b"false")
        review = peer.ask("POST", "/v1/admission", json.dumps(REVIEW).encode())
        assert b'"allowed":true' not in review[1]
        assert peer.ask("GET", "/envoy/x", b"", "x-user: eve")[0] == 403
        assert b"caller_not_bound" in peer.ask("GET", "/envoy/x", b"", "x-user: eve")[1]


def test_what_a_bind_refuses_is_in_the_decision_log(guarded: Guarded) -> None:
    with RawPeer(guarded.process.socket) as peer:
        refused = json.loads(peer.ask("POST", EVALUATION, asking("user/eve"))[1])["context"]

    files = (guarded.folder / "state/spool").glob("*.jsonl")
    lines = [line for file in files for line in file.read_text().splitlines()]
    (record,) = [record for record in map(json.loads, lines) if refused["decision_id"] in json.dumps(record)]
    assert "caller_not_bound" in json.dumps(record)
    assert refused["reason"] == f"uid {UID} may not speak as 'user/eve'"


def is_refused(address: Address, tls: ssl.SSLContext) -> bool:
    """Tell whether a connection ends in its handshake; TLS 1.3 tells of that with the first read."""
    try:
        with RawPeer(address, tls=tls) as peer:
            return peer.ask("GET", "/health/live", b"", bearer(CI))[0] == 0
    except (ssl.SSLError, ConnectionError):
        return True


def test_certificates_that_nobody_vouches_for_open_nothing(guarded: Guarded, authority: Authority) -> None:
    (guarded.folder / "strangers").mkdir()
    stranger = Authority(guarded.folder / "strangers", "authority")
    nameless = trusting(authority, *authority.client("nameless"))
    free_text = trusting(authority, *authority.client("free", common="uri:spiffe://acme/web"))
    for pair in (spiffe(stranger, "fake"), spiffe(authority, "past", days=-1), authority.server("only-server")):
        assert is_refused(guarded.tcp, trusting(authority, *pair))
    with RawPeer(guarded.tcp, tls=nameless) as peer:
        assert peer.ask("GET", "/health/live")[0] == 401
    with RawPeer(guarded.tcp, tls=free_text) as peer:
        assert code(peer.ask("POST", EVALUATION, asking("service/web"))) == "caller_not_bound"


def test_a_certificate_proves_nothing_on_an_open_connection_once_it_has_expired(
    guarded: Guarded, authority: Authority
) -> None:
    brief = trusting(authority, *spiffe(authority, "brief", days=4 / 86_400))
    with RawPeer(guarded.tcp, tls=brief) as peer:
        assert peer.ask("GET", "/health/live")[0] == 200
        until(lambda: peer.ask("GET", "/health/live")[0] == 401, "the end of the certificate")
    with RawPeer(guarded.tcp, tls=trusting(authority, *spiffe(authority))) as peer:
        assert peer.ask("GET", "/health/live")[0] == 200


def test_other_authorities_end_what_the_old_ones_have_vouched_for(guarded: Guarded, authority: Authority) -> None:
    (guarded.folder / "others").mkdir()
    other = Authority(guarded.folder / "others", "other")
    known, old = trusting(authority, *spiffe(authority)), authority.file.read_text()
    with RawPeer(guarded.tcp, tls=known) as peer, RawPeer(guarded.tcp, tls=trusting(authority)) as token_holder:
        assert peer.ask("GET", "/health/live")[0] == 200
        write(authority.file, other.file.read_text())
        until(lambda: peer.ask("GET", "/health/live")[0] == 401, "the end of the authority")
        assert token_holder.ask("GET", "/health/live", b"", bearer(WEB))[0] == 200
        assert is_refused(guarded.tcp, known)
    write(authority.file, old)
    until(lambda: not is_refused(guarded.tcp, known), "the authority again")


def test_neither_old_tls_nor_no_tls_is_spoken(guarded: Guarded, authority: Authority) -> None:
    old = trusting(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with RawPeer(guarded.tcp, tls=old) as peer:
        assert peer.ask("GET", "/health/live", b"", bearer(CI))[0] == 200
    with RawPeer(guarded.tcp) as plain:
        request = f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{bearer(CI)}\r\n\r\n"
        received = plain.send(request.encode()).rest()
        assert not received.startswith(b"HTTP")


def test_certificate_and_key_are_changed_under_open_connections(guarded: Guarded, authority: Authority) -> None:
    def shown() -> bytes:
        with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
            assert isinstance(peer.sock, ssl.SSLSocket)
            return peer.sock.getpeercert(binary_form=True) or b""

    first = shown()
    with RawPeer(guarded.tcp, tls=trusting(authority)) as opened:
        fresh, fresh_key = authority.server("fresh", days=20)
        shutil.copy(fresh, guarded.folder / "half")
        (guarded.folder / "half").replace(guarded.folder / "server.pem")
        until(lambda: guarded.status()["access"].get("problems"), "a problem")
        assert shown() == first
        assert opened.ask("GET", "/health/live", b"", bearer(CI))[0] == 200

        fresh_key.replace(guarded.folder / "server.key")
        until(lambda: shown() != first, "the new certificate")

        assert opened.ask("GET", "/health/live", b"", bearer(CI))[0] == 200
    access = guarded.status()["access"]
    assert (access["problems"], access["tcp"], access["bound"]) == ([], "token or certificate", True)
    assert len(guarded.log("certificate_unusable")) == 1


def test_tokens_are_moved_and_revoked_under_open_connections(guarded: Guarded, authority: Authority) -> None:
    fresh = "the-fresh-token-of-ci"

    def works(peer: RawPeer, token: str) -> bool:
        return peer.ask("GET", "/health/live", b"", bearer(token))[0] == 200

    def once(token: str) -> bool:
        with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
            return works(peer, token)

    with RawPeer(guarded.tcp, tls=trusting(authority)) as opened:
        assert works(opened, CI)
        write(guarded.folder / "ci.token", f"{CI}\n{fresh}\n")
        until(lambda: once(fresh), "the new token")
        assert works(opened, CI)
        write(guarded.folder / "ci.token", f"{fresh}\n")
        until(lambda: not once(CI), "the end of the old token")
        assert not works(opened, CI)
    (guarded.folder / "ci.token").unlink()
    until(lambda: not once(fresh), "the end of both")
    assert once(WEB)
    until(lambda: guarded.status()["access"]["problems"], "a problem")
    write(guarded.folder / "ci.token", f"{CI}\n")
    until(lambda: once(CI), "the token again")


def test_a_reload_changes_who_may_ask_at_once(guarded: Guarded) -> None:
    with RawPeer(guarded.process.socket) as peer:
        assert code(peer.ask("POST", EVALUATION, asking("user/a"))) == "matched_rule"
        guarded.change(SETTINGS + BINDS.replace('["user/a"]', '["user/b"]'))
        assert code(peer.ask("POST", EVALUATION, asking("user/a"))) == "caller_not_bound"
        assert code(peer.ask("POST", EVALUATION, asking("user/b"))) == "matched_rule"

        guarded.change(f"allow_uids = [{UID + 1}]\n" + SETTINGS + BINDS)

        assert peer.ask("GET", "/health/live")[0] == 0
    for _ in range(3):
        with RawPeer(guarded.process.socket) as peer:
            status, body = peer.reply()
            assert (status, b"caller_not_allowed" in body) == (403, True)
    assert [each["uid"] for each in guarded.log("caller_refused")] == [UID]
    assert guarded.status()["access"]["refused"] >= 3

    guarded.change(SETTINGS + BINDS)

    with RawPeer(guarded.process.socket) as peer:
        assert code(peer.ask("POST", EVALUATION, asking("user/a"))) == "matched_rule"


def test_a_reload_that_names_no_tokens_opens_nothing(guarded: Guarded, authority: Authority) -> None:
    guarded.change("")
    try:
        with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
            assert peer.ask("GET", "/health/live", b"", bearer(CI))[0] == 401
    finally:
        guarded.change(SETTINGS + BINDS)


AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(61234); os.setuid(61234)
sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])
sock.sendall(b"GET /status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
print(sock.recv(100)[:12].decode())
"""


@pytest.mark.skipif(UID != 0, reason="only root can be others")
def test_the_admin_socket_is_its_owners_though_its_mode_is_changed(guarded: Guarded) -> None:
    admin = guarded.folder / "state/admin.sock"
    for path in (guarded.folder, guarded.folder / "state"):
        path.chmod(0o711)
    admin.chmod(0o777)
    guarded.process.socket.chmod(0o777)

    def said(path: Path) -> str:
        command = [sys.executable, "-c", AS_NOBODY, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    assert said(admin) == "HTTP/1.1 403"
    assert said(guarded.process.socket) == "HTTP/1.1 200"
    for path in (guarded.folder, guarded.folder / "state"):
        path.chmod(0o700)


def test_without_any_proof_it_is_loud_and_for_programs_of_this_machine_alone() -> None:
    with new_bench() as bench:
        bench.store.publish(ALLOW)
        opened = Guarded(bench, 'listen = "127.0.0.1:0"\nlisten_unauthenticated = true')

        with RawPeer(opened.tcp) as peer:
            assert code(peer.ask("POST", EVALUATION, asking("user/a"))) == "matched_rule"
            assert peer.ask("GET", "/health/live", b"", "Origin: https://evil.example")[0] == 403
        assert opened.status()["access"]["tcp"] == "unauthenticated"
        assert len(opened.log("listening_unauthenticated")) == 1


def test_several_processes_ask_the_same_of_callers() -> None:
    with new_bench() as bench:
        bench.store.publish(ALLOW)
        authority = Authority(bench.folder)
        authority.server()
        write(bench.folder / "ci.token", f"{CI}\n")
        write(bench.folder / "web.token", f"{WEB}\n")
        guarded = Guarded(bench, f"workers = 2\n{SETTINGS}{BINDS}")
        until(lambda: all(each["ready"] for each in guarded.status()["workers"]), "workers")

        def codes(subject: str, *headers: str) -> set[str]:
            """Return what eight connections hear, which no process serves alone."""
            found = set()
            for _ in range(8):
                with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
                    found.add(code(peer.ask("POST", EVALUATION, asking(subject), *headers)))
            return found

        assert codes("user/a", bearer(CI)) == {"matched_rule"}
        assert codes("user/b", bearer(CI)) == {"caller_not_bound"}
        assert codes("user/a") == {"401"}
        guarded.change(f"workers = 2\nallow_uids = [{UID + 1}]\n{SETTINGS}{BINDS.replace('user/a', 'user/b')}")
        until(lambda: codes("user/b", bearer(CI)) == {"matched_rule"}, "other binds in all of them")
        for _ in range(8):
            with RawPeer(guarded.process.socket) as peer:
                assert peer.reply()[0] == 403
        until(lambda: guarded.status()["access"]["refused"] >= 8, "the sum of all processes")
        write(bench.folder / "ci.token", f"{WEB}x\n")
        until(lambda: codes("user/b", bearer(CI)) == {"401"}, "the end of a token in all of them")


def test_over_tls_answers_come_whole_and_connections_end_where_they_should(
    guarded: Guarded, authority: Authority
) -> None:
    request = f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{bearer(WEB)}\r\n"
    many = f"{request}\r\n".encode() * 2000
    with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
        received = peer.send(many + f"{request}Connection: close\r\n\r\n".encode()).rest()
        assert statuses(received) == [200] * 2001
    with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
        begun = time.monotonic()
        peer.send(f"{request}Connection: close\r\n\r\n".encode())
        assert statuses(peer.rest()) == [200]
        assert time.monotonic() - begun < 1.5  # it is not left to the patience of a drain
    body = b"x" * (2 << 20)
    with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
        head = f"POST {EVALUATION} HTTP/1.1\r\nHost: localhost\r\n{bearer(WEB)}\r\nContent-Length: {len(body)}\r\n\r\n"
        assert peer.send(head.encode() + body).reply()[0] == 413
        assert peer.rest() == b""


def test_a_peer_that_does_not_read_over_tls_is_not_read_from(guarded: Guarded, authority: Authority) -> None:
    request = f"GET /status HTTP/1.1\r\nHost: localhost\r\n{bearer(WEB)}\r\n\r\n".encode()
    with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
        peer.sock.settimeout(1.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000:
                peer.sock.sendall(request * 100)
                sent += 100
        assert sent < 100_000
    with RawPeer(guarded.tcp, tls=trusting(authority)) as peer:
        assert peer.ask("GET", "/health/live", b"", bearer(WEB))[0] == 200
