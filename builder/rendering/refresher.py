"""What runs ``writ refresh`` every hour without hanging on a forge: a systemd timer, a CronJob, a Lambda function."""

from collections.abc import Mapping, Sequence

from builder.rendering.templating import from_template
from policy_core import __version__

SYSTEMD = ("writ-refresh.service", "writ-refresh.timer")
KUBERNETES = ("writ-refresh.yaml", "writ-refresh.Containerfile")
LAMBDA = ("writ_refresh_lambda.py",)


def files(names: Sequence[str], *, name: str, store: str) -> Mapping[str, str]:
    """Return the named files for the store of the policy repository called `name`."""
    return {each: from_template(each, name=name, store=store, version=__version__) for each in names}
