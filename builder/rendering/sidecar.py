"""What runs a sidecar: units of systemd, an image, manifests of Kubernetes.

The sidecar is told of its surroundings by variables and by one short file, so nothing here is a script. A file that
says which channel to follow is there once for each channel.
"""

from collections.abc import Mapping, Sequence

from builder.rendering.templating import from_template
from policy_core import __version__

USER = 65532
"""Whom it runs as where there are no accounts: what images without any call nonroot."""

SYSTEMD = ("writ-sidecar.service", "writ-sidecar.socket", "writ-sidecar-tcp.conf", "writ-sidecar-in-process.conf")
SYSTEMD_OF_CHANNEL = ("sidecar.toml",)
DOCKER = ("Dockerfile",)
KUBERNETES_OF_CHANNEL = ("writ-sidecar.daemonset.yaml", "writ-sidecar.patch.yaml")


def files(
    names: Sequence[str], of_channel: Sequence[str], *, name: str, store: str, channels: Sequence[str]
) -> Mapping[str, str]:
    """Return the named files for the policy repository called `name`, `of_channel` under the name of each channel."""
    values = {"name": name, "store": store, "version": __version__, "user": USER}
    shared = {each: from_template(each, **values) for each in names}
    return shared | {
        f"{channel}.{each}": from_template(each, channel=channel, **values)
        for channel in channels
        for each in of_channel
    }
