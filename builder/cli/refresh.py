"""``writ refresh``: hosts are told that what they have is still the newest."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.shared import as_json, format_option, print_json, progress
from policy_core.errors import UsageError

if TYPE_CHECKING:
    from builder.publishing.refresh import Refreshed

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--store", metavar="URL", help="Refresh this store, without a policy repository.")
@click.option("--root", type=_FILE, metavar="FILE", help="With --store: the trust root, as hosts are given it.")
@click.option(
    "--seen", type=_FILE, metavar="FILE",
    help="With --store: keep the newest release of each channel here, and refuse a store that was put back.",
)  # fmt: skip
@click.option(
    "--lifetime", metavar="DURATION",
    help="From now on, how long timestamps are good for: 1h to 30d (default: as before).",
)  # fmt: skip
@format_option
@click.pass_context
def refresh(
    context: click.Context,
    store: str | None,
    root: Path | None,
    seen: Path | None,
    lifetime: str | None,
    output_format: str,
) -> None:
    """Sign the timestamp again, so that hosts know that what they have is still the newest.

    Run it well before the timestamp expires (`writ verify` shows when). It releases nothing. Channels that expire
    within 60 days are signed anew as well, if their keys are here.

    Without --store, the store, the trust root and the ledger are those of the policy repository. With it, no clone is
    needed, just the timestamp's key: WRIT_SIGNER_TIMESTAMP, or timestamp.pem in $XDG_CONFIG_HOME/writ/keys.

    \b
    Example:
      writ refresh
      writ refresh --lifetime 24h
      writ refresh --store s3://my-bucket/policies --root root.json --seen seen.json
    """
    if (store is None) is not (root is None):
        raise UsageError("--store and --root belong together", hint="give both, or neither in a policy repository")
    if seen is not None and store is None:
        raise UsageError("--seen is for --store", hint="in a policy repository, the ledger knows what was seen")
    progress("reading the store and signing …")
    if store is None or root is None:
        refreshed = _refresh_here(context.obj, _lifetime(lifetime))
    else:
        seen = context.obj / seen if seen else None
        refreshed = _refresh_alone(store, context.obj / root, seen, _lifetime(lifetime))
    _print(refreshed, output_format)


def _lifetime(text: str | None) -> timedelta | None:
    from builder.language.times import duration_s
    from builder.publishing.metadata import MIN_TIMESTAMP_LIFETIME, TIMESTAMP_LIFETIME

    if text is None:
        return None
    lifetime = timedelta(seconds=duration_s(text) or 0)
    if not MIN_TIMESTAMP_LIFETIME <= lifetime <= TIMESTAMP_LIFETIME:
        raise UsageError(f"--lifetime {text!a}: is not between 1h and 30d", hint="24h suits an hourly refresher")
    return lifetime


def _refresh_here(directory: Path, lifetime: timedelta | None) -> "Refreshed":
    from builder.publishing.workspace import Workspace
    from builder.releasing import refresh_store

    return refresh_store(Workspace.open(directory), lifetime=lifetime)


def _refresh_alone(url: str, root: Path, seen: Path | None, lifetime: timedelta | None) -> "Refreshed":
    from builder.cli.writing import write_file
    from builder.refreshing import refresh_alone

    before = _read_seen(seen) if seen else {}
    done = refresh_alone(url, _read(root, "--root"), seen=before, environment=os.environ, lifetime=lifetime)
    if seen:
        write_file(seen, as_json(done.seen).encode(), option="--seen")
    return done.refreshed


def _read_seen(path: Path) -> dict[str, int]:
    """Return what was seen: nothing if there is no file yet. One that is damaged must not count as none."""
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(_read(path, "--seen"), type=dict[str, int])
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{path}: is not what an earlier run wrote ({error})",
            hint="compare the store with what should be live (`writ live`), then remove the file",
        ) from error


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint=f"name a file with {option}") from error


def _print(refreshed: "Refreshed", output_format: str) -> None:
    from policy_core.trust.layout import format_time

    for warning in refreshed.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output_format == "json":
        print_json({"expires": format_time(refreshed.expires), "renewed": refreshed.renewed})
        return
    click.echo(f"timestamp signed, expires {format_time(refreshed.expires)}")
    for channel in refreshed.renewed:
        click.echo(f"{channel}: signed anew")
