"""``writ-sidecar``: run the daemon, ask it, and intervene on this host. Each command parses, calls, prints."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from agent_sidecar.logs import LEVELS
from agent_sidecar.texts import (
    answer_text,
    counted,
    event_text,
    explanation_text,
    simulation_text,
    snapshot_text,
)
from agent_sidecar.tuf_commands import tuf_client
from policy_core import __version__
from policy_core.decision import Answer
from policy_core.errors import KnownError, RemoteError, UsageError, report

if TYPE_CHECKING:
    from agent_sidecar.configuration.settings import Setting

Command = TypeVar("Command", bound=Callable[..., Any])
MAX_REQUEST_BYTES = 1 << 20
HISTORY_EVENTS = 20
PAIR = "KEY=VALUE"
"""What a flag takes that may be given several times."""
STATE_VARIABLE = "WRIT_SIDECAR_STATE"
INTERRUPTED, READER_GONE = 130, 141  # as shells say it: 128 and the number of SIGINT, SIGPIPE

_PATH = click.Path(path_type=Path)
_DIRECTORY = click.Path(path_type=Path, file_okay=False, readable=False)  # what is asked there says it better
format_option: Callable[[Command], Command] = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Print for people or for machines.",
)  # fmt: skip
config_option: Callable[[Command], Command] = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
    help="Configuration of the sidecar (TOML).",
)  # fmt: skip
state_option: Callable[[Command], Command] = click.option(
    "--state", type=_DIRECTORY, metavar="DIR", help="State directory of the sidecar."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "-C", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR",
    help="Run as if started in DIR, like git.",
)  # fmt: skip
@click.version_option(__version__, prog_name="writ-sidecar")
def writ_sidecar(directory: Path | None) -> None:
    """Enforce signed policy on this host: poll, verify, hot-swap, decide.

    \b
    Example:
      writ-sidecar run --config /etc/writ/sidecar.toml
      writ-sidecar status --state /var/lib/writ
      writ-sidecar rollback --state /var/lib/writ --reason "restarts refused since 14:02"
    """
    if directory:
        os.chdir(directory)


class _Run(click.Command):
    """``run``, with a flag for each setting that may have one."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        """Return --config, and the flags of all settings: only now, as no other command needs to load them."""
        from agent_sidecar.configuration import SETTINGS

        config, *others = super().get_params(context)
        return [config, *(_flag(each) for each in SETTINGS if each.flag), *others]


def _flag(setting: "Setting") -> click.Option:
    default = "" if setting.is_required else f"  [default: {setting.shown.replace('`', '')}]"
    return click.Option(
        [setting.flag, setting.key], metavar=setting.metavar, help=setting.help + default,
        multiple=setting.metavar == PAIR,
    )  # fmt: skip


@writ_sidecar.command(cls=_Run)
@config_option
def run(config: Path | None, **flags: Any) -> None:
    """Run the sidecar until SIGTERM.

    Flags win over the environment (WRIT_SIDECAR_POLL and so on), which wins over the configuration file. Tables, and
    what may hold a password, have no flag.

    \b
    Example:
      writ-sidecar run --store s3://policies/acme --channel prod --root root.json \\
          --state /var/lib/writ --socket /run/writ/decision.sock
    """
    from agent_sidecar.configuration import read_configuration

    flags["host"] = _labels(flags["host"]) if flags["host"] else None
    read = partial(read_configuration, config, flags, dict(os.environ))
    try:
        configuration = read()
        from agent_sidecar.daemon import run as run_daemon
    except ModuleNotFoundError as error:
        raise UsageError(
            f"run: {error.name} is not installed", hint='install the sidecar: pip install "writ-policy[sidecar]"'
        ) from error
    run_daemon(configuration, reread=read)


@writ_sidecar.command()
@click.option("--socket", type=_PATH, metavar="PATH", help="Ask the sidecar behind this decision socket.")
@click.option("--state", type=_DIRECTORY, metavar="DIR", help="Answer from the snapshot on disk, without a daemon.")
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def decide(socket: Path | None, state: Path | None, output_format: str, request_file: Any) -> None:
    """Answer one request. The exit code is 0 for every decision: read the decision, not the code.

    With --state nothing is remembered: every rate is unreached, nothing is counted, and no grant is accepted.

    \b
    Example:
      writ-sidecar decide --socket /run/writ/decision.sock request.json
      echo '{"job": {"topic": "service.restart"}}' | writ-sidecar decide --state /var/lib/writ -
    """
    body = _request(request_file)
    if (socket is None) == (state is None):
        raise UsageError("decide: expected either --socket or --state")
    if socket:
        from agent_sidecar.calling import decide as ask

        answer = ask(socket, body)
    else:
        answer = msgspec.to_builtins(_answer_in_process(state or Path(), body))
        click.echo("note: without the daemon every rate is unreached, nothing is counted, no grant accepted", err=True)
    if output_format == "json":
        _print_json(answer)
    else:
        click.echo(answer_text(answer))


@writ_sidecar.command()
@state_option
@config_option
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def explain(state: Path | None, config: Path | None, output_format: str, request_file: Any) -> None:
    """Show why a running sidecar answers one request as it does, and what would have to change for another decision.

    It goes through the admin socket, as it tells what a prober would like to know. Nothing is counted, no grant is
    spent. The exit code is 0 for every decision.

    \b
    Example:
      writ-sidecar explain --state /var/lib/writ request.json
    """
    record = _admin(state, config, "POST", "/api/v1/policy/explain", _request(request_file))
    if output_format == "json":
        _print_json(record)
    else:
        click.echo(explanation_text(record))


@writ_sidecar.command()
@state_option
@config_option
@click.option(
    "--snapshot",
    type=click.Choice(["in_force", "current", "previous"]),
    default="in_force",
    show_default=True,
    help="The policy to ask.",
)
@click.option("--now", metavar="TIME", help="Suppose it is then, such as 2026-03-01T12:00:00Z.  [default: now]")
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def simulate(
    state: Path | None, config: Path | None, snapshot: str, now: str | None, output_format: str, request_file: Any
) -> None:
    """Show how a running sidecar would answer one request: by another of its snapshots, at another time.

    It goes through the admin socket, as explain does. Nothing is counted, no grant is spent; rates are as they are at
    present. The exit code is 0 for every decision.

    \b
    Example:
      writ-sidecar simulate --state /var/lib/writ --snapshot previous request.json
    """
    supposed = urlencode({"snapshot": snapshot} | ({"now": now} if now else {}))
    found = _admin(state, config, "POST", f"/api/v1/policy/simulate?{supposed}", _request(request_file))
    if output_format == "json":
        _print_json(found)
    else:
        click.echo(simulation_text(found))


@writ_sidecar.command()
@state_option
@config_option
@format_option
def snapshots(state: Path | None, config: Path | None, output_format: str) -> None:
    """Show the snapshots a running sidecar holds, and which of them it enforces.

    \b
    Example:
      writ-sidecar snapshots --state /var/lib/writ
    """
    found = _admin(state, config, "GET", "/api/v1/policy/snapshots")
    if output_format == "json":
        _print_json(found)
    else:
        click.echo("\n".join(map(snapshot_text, found["snapshots"])) or "none yet")


@writ_sidecar.command()
@state_option
@config_option
@click.option("--ready", "must_be_ready", is_flag=True, help="End with code 6 unless a policy is enforced.")
@format_option
def status(state: Path | None, config: Path | None, must_be_ready: bool, output_format: str) -> None:
    """Show what a running sidecar enforces, how fresh that is, and what to do next.

    \b
    Example:
      writ-sidecar status --state /var/lib/writ
    """
    found = _admin(state, config, "GET", "/status")
    _print_status(found, output_format)
    if must_be_ready and not found["ready"]:
        raise RemoteError(f"status: not ready: {found['reason']}", hint="everything is denied")


@writ_sidecar.command("log-level")
@state_option
@config_option
@format_option
@click.argument("level", type=click.Choice(LEVELS), required=False)
def log_level(state: Path | None, config: Path | None, output_format: str, level: str | None) -> None:
    """Show the least level a running sidecar logs, or set it to LEVEL until it restarts or its setting changes.

    \b
    Example:
      writ-sidecar log-level --state /var/lib/writ debug
    """
    order = msgspec.json.encode({"level": level}) if level else None
    found = _admin(state, config, "POST" if level else "GET", "/log-level", order)
    if output_format == "json":
        _print_json(found)
    else:
        click.echo(found["level"])


@writ_sidecar.command()
@state_option
@config_option
@click.option("-n", "count", type=click.IntRange(1, 1000), default=HISTORY_EVENTS, show_default=True, help="Events.")
@format_option
def history(state: Path | None, config: Path | None, count: int, output_format: str) -> None:
    """Show what this host activated, refused and rolled back.

    The newest comes last. It is read from disk, so no sidecar needs to run.

    \b
    Example:
      writ-sidecar history --state /var/lib/writ -n 5
    """
    from agent_sidecar.history import History

    directory = _state_directory(state, config)
    if not directory.is_dir():
        raise UsageError(f"{directory}: is not the state directory of a sidecar")
    events = History(directory).last(count)
    if output_format == "json":
        _print_json(events)
        return
    for event in events:
        click.echo(event_text(msgspec.to_builtins(event)))


@writ_sidecar.command()
@state_option
@config_option
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history and shown in the status.")
@format_option
def rollback(state: Path | None, config: Path | None, reason: str, output_format: str) -> None:
    """Enforce the previous snapshot on this host, at once and without network, until resume.

    \b
    Example:
      writ-sidecar rollback --state /var/lib/writ --reason "restarts refused since 14:02"
    """
    order = msgspec.json.encode({"reason": reason})
    _print_status(_admin(state, config, "POST", "/rollback", order), output_format)


@writ_sidecar.command()
@state_option
@config_option
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
@format_option
def resume(state: Path | None, config: Path | None, reason: str, output_format: str) -> None:
    """End a rollback on this host: enforce the channel's current release again.

    \b
    Example:
      writ-sidecar resume --state /var/lib/writ
    """
    order = msgspec.json.encode({"reason": reason})
    _print_status(_admin(state, config, "POST", "/resume", order), output_format)


@writ_sidecar.command()
@state_option
@config_option
@click.option(
    "--root",
    type=_PATH,
    metavar="FILE",
    help="Trust root to verify from.  [default: that of --config, or the copy in --state]",
)
@format_option
def verify(state: Path | None, config: Path | None, root: Path | None, output_format: str) -> None:
    """Verify the snapshots on disk again, without network.

    Signatures, digests, and the policy's own tests; a running sidecar is not disturbed. Give --config or --root if
    the state directory itself is in doubt: the copy of the root in it vouches for nothing then.

    \b
    Example:
      writ-sidecar verify --state /var/lib/writ --root root.json
    """
    from agent_sidecar.inspecting import verify as verify_state

    found = verify_state(_state_directory(state, config), trusted_root=_trusted_root(root, config))
    if output_format == "json":
        _print_json(found)
    else:
        for each in found:
            where = f"{each.role:8}  release {each.release}  {each.bundle[:19]}  {each.revision[:12]}"
            expiry = f"metadata {'expired' if each.expired else 'valid until'} {each.expires_at}"
            verified = f"verified, {counted(each.rules, 'rule')}, {expiry}"
            click.echo(f"{where}  {each.problem or verified}")
    if any(each.problem for each in found):
        from agent_sidecar.snapshots import SnapshotError

        raise SnapshotError("verify: a snapshot does not hold")
    if not found:
        raise UsageError("verify: there is no snapshot yet", hint="see writ-sidecar status")


writ_sidecar.add_command(tuf_client)


def _admin(state: Path | None, config: Path | None, method: str, target: str, body: bytes | None = None) -> Any:
    from agent_sidecar.calling import ADMIN_SOCKET, call

    return call(_state_directory(state, config) / ADMIN_SOCKET, method, target, body)


def _request(file: Any) -> bytes:
    body: bytes = file.read(MAX_REQUEST_BYTES + 1)
    if len(body) > MAX_REQUEST_BYTES:
        raise UsageError(f"request: too large (expected at most {MAX_REQUEST_BYTES} bytes)")
    return body


def _state_directory(state: Path | None, config: Path | None) -> Path:
    if state and config:
        raise UsageError("expected either --state or --config", hint="they say which sidecar is meant")
    if state:
        return state
    if not config and STATE_VARIABLE not in os.environ:
        raise UsageError(
            "expected either --state or --config", hint=f"they, or {STATE_VARIABLE}, say which sidecar is meant"
        )
    from agent_sidecar.configuration import state_directory

    return state_directory(config, os.environ)


def _answer_in_process(state: Path, body: bytes) -> Answer:
    from agent_sidecar.inspecting import answer
    from policy_core.decoding import decode_request

    return answer(state, decode_request(body))


def _trusted_root(root: Path | None, config: Path | None) -> bytes | None:
    """Return the trust root kept outside the state directory, if one is named: what is inside cannot vouch for it."""
    if root:
        try:
            return root.read_bytes()
        except OSError as error:
            raise UsageError(f"{root}: cannot be read: {error.strerror}") from error
    if config:
        from agent_sidecar.configuration import trusted_root

        return trusted_root(config, os.environ)
    return None


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--host-label: {pair!r} is no label (expected KEY=VALUE)")
        labels[name] = value
    return labels


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _print_status(document: Any, output_format: str) -> None:
    if output_format == "json":
        _print_json(document)
    else:
        from agent_sidecar.status_text import status_text

        click.echo(status_text(document, coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``writ-sidecar`` and return its exit code (docs/reference/exit-codes.md)."""
    try:
        return writ_sidecar.main(arguments, prog_name="writ-sidecar", standalone_mode=False) or 0
    except KnownError as error:
        return _refuse(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _refuse(_usage_error(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except SystemExit as stop:  # click's own way out: stdout has no reader any more
        return READER_GONE if stop.code else 0


def _refuse(error: KnownError) -> int:
    for line in report(error):
        click.echo(line, err=True)
    return error.exit_code


def _usage_error(error: click.ClickException) -> UsageError:
    """Say what click says of a wrong command line in the form of all other errors."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "writ-sidecar"
    return UsageError(message[:1].lower() + message[1:], hint=f"see `{command} --help`")
