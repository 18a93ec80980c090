"""``writ-sidecar verify``: the snapshots on disk, held against the trust root again."""

import os
from pathlib import Path

import click

from agent_sidecar.cli.shared import PATH, config_option, format_option, print_json, state_directory, state_option
from agent_sidecar.texts import counted
from policy_core.errors import UsageError


@click.command()
@state_option
@config_option
@click.option(
    "--root",
    type=PATH,
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

    found = verify_state(state_directory(state, config), trusted_root=_trusted_root(root, config))
    if output_format == "json":
        print_json(found)
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
