"""The command line: exit codes, hints, and a reference page that says what the commands say."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.cli.main import main, writ_sidecar
from agent_sidecar.configuration import SETTINGS

PAGE = Path(__file__).parents[3] / "docs/reference/sidecar-cli.md"
MARK = "<!-- what the commands say of themselves; UPDATE=1 rewrites it -->\n"
TABLE = "<!-- the table of settings; UPDATE=1 rewrites it -->\n"
END_OF_TABLE = "<!-- end of the table -->\n"
WIDTH = 100


def commands(command: click.Command = writ_sidecar, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of a command and of all below it, in the order of its help."""
    name = command.name if parent else "writ-sidecar"
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from commands(command.commands[below], context)


ALL = list(commands())


def test_the_reference_says_what_the_commands_say() -> None:
    said = "\n".join(f"## {each.command_path}\n\n```text\n{each.get_help()}\n```\n" for each in ALL)
    head = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    if os.environ.get("UPDATE"):
        PAGE.write_text(f"{head}{MARK}\n{said}", encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == f"{head}{MARK}\n{said}"


def test_the_reference_lists_every_setting() -> None:
    rows = "\n".join(
        f"| `{each.key}` | {f'`{each.flag}`' if each.flag else ''} | {each.shown or 'required'} "
        f"| {'reload' if each.live else ''} | {each.help} {each.more} |"
        for each in SETTINGS
    )
    table = f"\n| setting | flag | default | | meaning |\n|---|---|---|---|---|\n{rows}\n\n"
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(TABLE)
    after = rest.split(END_OF_TABLE)[1]
    if os.environ.get("UPDATE"):
        PAGE.write_text(f"{before}{TABLE}{table}{END_OF_TABLE}{after}", encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == f"{before}{TABLE}{table}{END_OF_TABLE}{after}"


@pytest.mark.parametrize("context", ALL[1:], ids=lambda context: context.command_path)
def test_every_command_has_an_example_of_itself(context: click.Context) -> None:
    example = context.get_help().split("Example:")[1]

    assert set(context.command_path.split()) <= set(example.split())


@pytest.fixture
def updated(store: SignedStore, host: Any) -> Any:
    for number, word in enumerate(("allow", "deny"), start=1):
        store.publish(bundle(rules(word), number=number))
        host.poll()
    return host


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_verify_prints_what_holds_and_ends_with_0(updated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "--state", updated.path)

    assert code == 0
    assert out.startswith("current   release 2  sha256:")
    assert out.count("verified, 1 rule") == 2


def test_verify_ends_with_5_where_something_does_not_hold(updated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    current = updated.enforcement.state.current
    (updated.path / "snapshots" / current.sha256 / "bundle.tar.gz").unlink()

    code, out, err = run(capsys, "verify", "--state", updated.path)

    assert code == 5
    assert "missing or damaged" in out
    assert "error: verify: a snapshot does not hold" in err


def test_history_needs_no_running_sidecar(updated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "history", "--state", updated.path, "-n", 1)

    assert (code, len(out.splitlines())) == (0, 1)
    assert "activated   release 2" in out


def test_relative_paths_start_from_the_directory_given_with_c(
    updated: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")  # also restores the working directory that the command changes

    code, out, _ = run(capsys, "-C", updated.path.parent, "history", "--state", updated.path.name, "-n", 1)

    assert code == 0
    assert "activated   release 2" in out


def test_decide_from_the_state_prints_the_decision_first(
    updated: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text('{"job": {"topic": "act.0"}}')

    code, out, _ = run(capsys, "decide", "--state", updated.path, tmp_path / "r.json")

    assert (code, out.splitlines()[0]) == (0, "deny")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status"], 2, "expected either --state or --config"),
        (["status", "--state", "nowhere"], 6, "no sidecar answers there"),
        (["rollback", "--state", "nowhere", "--reason", "x"], 6, "no sidecar answers there"),
        (["rollback", "--state", "nowhere"], 2, "--reason"),
        (["history", "--state", "nowhere"], 2, "is not the state directory"),
        (["verify", "--state", "nowhere"], 2, "is not the state directory"),
        (["decide", "bad.json"], 2, "expected either --socket or --state"),
        (["decide", "--state", "nowhere", "bad.json"], 2, "is not JSON"),
        (["decide", "--socket", "nowhere", "bad.json"], 6, "no sidecar answers there"),
        (["run"], 2, "run: state is missing (expected --state or WRIT_SIDECAR_STATE)\nerror: run: 4 mistakes"),
        (["bla"], 2, "error: no such command 'bla'\nhint: see `writ-sidecar --help`"),
        (
            ["decide", "none.json"],
            2,
            "error: invalid value for 'FILE|-': 'none.json': No such file or directory\nhint:",
        ),
        (["run", "--host-label", "env"], 2, "expected KEY=VALUE"),
        (["run", "--poll", "fast"], 2, "--poll: not a duration"),
        (["verify", "--state", "nowhere", "--root", "none"], 2, "none: cannot be read"),
    ],
)
def test_mistakes_have_their_exit_code_and_message(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.json").write_text("{not json")
    monkeypatch.chdir(tmp_path)

    found, out, err = run(capsys, *arguments)

    assert (found, out) == (code, "")
    assert message in err


def test_a_state_directory_that_cannot_be_read_is_explained(updated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (updated.path / "state.json").write_bytes(b"{")

    code, _, err = run(capsys, "verify", "--state", updated.path)

    assert code == 3
    assert "hint: move" in err


def test_run_without_the_sidecar_extra_says_what_to_install(
    store: SignedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root.json").write_bytes(store.root)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.delitem(sys.modules, "agent_sidecar.daemon", raising=False)

    code, _, err = run(
        capsys, "run", "--store", store.url, "--channel", "prod", "--root", tmp_path / "root.json", "--state",
        tmp_path / "s",
    )  # fmt: skip

    assert code == 2
    assert "writ-policy[sidecar]" in err


def foreign_server(path: Path, reply: bytes) -> threading.Thread:
    """Listen at once, and answer one request with these bytes."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def answer() -> None:
        with listening, listening.accept()[0] as peer, peer.makefile("rb") as sent:
            length = 0
            while (line := sent.readline()) != b"\r\n":
                length = int(line.partition(b":")[2]) if line.lower().startswith(b"content-length") else length
            sent.read(length)
            peer.sendall(b"HTTP/1.1 %b\r\nConnection: close\r\n\r\n%b" % tuple(reply.split(b"|")))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        (b"200 OK|{}", 6, "its reply is no answer"),
        (b"200 OK|[]", 6, "its reply is no answer"),
        (b"200 OK|true", 6, "its reply is no answer"),
        (b'200 OK|{"context":{"allowed":true}}', 6, "its reply is no answer"),
        (b"200 OK|<html>", 6, "not a sidecar"),
        (b'404 Not Found|{"error":{"message":"nothing"}}', 6, "another socket than this command needs"),
        (b'400 Bad Request|"request: action is missing"', 2, "request: action is missing\nhint: send"),
        (b"500 Oh|[]", 6, "status 500"),
    ],
)
def test_a_reply_that_is_no_answer_is_never_printed_as_one(
    reply: bytes, code: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="writ-") as folder:  # short: a Unix socket path has room for 107 bytes
        path = Path(folder) / "s"
        serving = foreign_server(path, reply)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))

        found, out, err = run(capsys, "decide", "--socket", path, "-")

        serving.join()
    assert (found, out) == (code, "")
    assert message in err


def test_a_reader_that_went_away_is_no_bug(updated: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "agent_sidecar", "history", "--state", updated.path],
        stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip

    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_verify_with_a_configuration_does_not_believe_the_root_in_the_state(
    store: SignedStore, updated: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.json").write_bytes(SignedStore(tmp_path / "other").root)
    (tmp_path / "s.toml").write_text(f'state = "{updated.path}"\nroot = "mine.json"\n')
    assert run(capsys, "verify", "--state", updated.path)[0] == 0

    code, out, _ = run(capsys, "verify", "--config", tmp_path / "s.toml")

    assert code == 5
    assert "signed by 0/1 keys" in out
    (tmp_path / "mine.json").write_bytes(store.root)
    assert run(capsys, "verify", "--config", tmp_path / "s.toml")[0] == 0


AS_ANOTHER = """
import os, sys
import agent_sidecar.calling
from agent_sidecar.cli.main import main
os.setgroups([]); os.setgid(61234); os.setuid(61234)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_another_account_is_told_which_one_it_takes(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, "status", "--state", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stderr.endswith("admin.sock: permission denied\nhint: use the account the sidecar runs under\n")
    assert done.returncode == 2
