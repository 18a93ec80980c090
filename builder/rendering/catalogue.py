"""All that ``writ render`` can make, as a table: a name, what it is, and a function for each form it comes in.

A function takes the `Settings` and returns files: name to content. It reads nothing and writes nothing, so the same
settings give the same bytes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from builder.rendering import cloudformation, dashboard, refresher, sidecar, terraform
from builder.rendering.access import Place, bucket_policy, policy_of, principals
from policy_core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """What is rendered for: the policy repository's name, its store and its channels, as ``writ.yaml`` has them."""

    name: str
    store: str
    channels: Sequence[str]

    def bucket(self) -> tuple[str, str]:
        """Return bucket and prefix of the store; raises UsageError unless it is on S3."""
        parts = urlsplit(self.store)
        if parts.scheme != "s3":
            raise UsageError(
                f"store {self.store}: is in no bucket, so there is no access to be granted",
                hint="set `store` in writ.yaml to s3://BUCKET/PREFIX and commit that",
            )
        return parts.netloc, parts.path.strip("/")


Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Renderable:
    """One thing to render; the first of its `forms` is the default."""

    name: str
    what: str
    forms: Mapping[str, Callable[[Settings], Files]]


def _cloudformation(settings: Settings) -> Files:
    document = cloudformation.template(settings.name, *settings.bucket(), principals(settings.channels))
    return {"writ-access.cloudformation.json": _json(document)}


def _terraform(settings: Settings) -> Files:
    document = terraform.configuration(settings.name, *settings.bucket(), principals(settings.channels))
    return {"writ-access.tf.json": _json(document)}


def _policies(settings: Settings) -> Files:
    place = Place(*settings.bucket())
    policies = {principal.name: policy_of(principal, place) for principal in principals(settings.channels)}
    return {"bucket.json": _json(bucket_policy(place))} | {
        f"{name}.json": _json(document) for name, document in policies.items()
    }


def _refresher(names: Sequence[str]) -> Callable[[Settings], Files]:
    return lambda settings: refresher.files(names, name=settings.name, store=settings.store)


def _sidecar(names: Sequence[str], of_channel: Sequence[str]) -> Callable[[Settings], Files]:
    return lambda settings: sidecar.files(
        names, of_channel, name=settings.name, store=settings.store, channels=settings.channels
    )


def _grafana(settings: Settings) -> Files:
    return {"writ.grafana.json": _json(dashboard.dashboard(settings.name))}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


CATALOGUE = (
    Renderable(
        "access",
        "the bucket, its policy, and a role with the least rights for each who reaches the store",
        {"cloudformation": _cloudformation, "terraform": _terraform, "policies": _policies},
    ),
    Renderable(
        "refresher",
        "what signs the timestamp anew every hour, without a forge and without a clone",
        {
            "systemd": _refresher(refresher.SYSTEMD),
            "kubernetes": _refresher(refresher.KUBERNETES),
            "lambda": _refresher(refresher.LAMBDA),
        },
    ),
    Renderable(
        "sidecar",
        "what runs a sidecar on hosts, beside applications or on nodes",
        {
            "systemd": _sidecar(sidecar.SYSTEMD, sidecar.SYSTEMD_OF_CHANNEL),
            "docker": _sidecar(sidecar.DOCKER, ()),
            "kubernetes": _sidecar((), sidecar.KUBERNETES_OF_CHANNEL),
        },
    ),
    Renderable("dashboard", "what the metrics of sidecars look like, and when to look twice", {"grafana": _grafana}),
)


def find(name: str) -> Renderable:
    """Return a thing by its name; raises UsageError."""
    for renderable in CATALOGUE:
        if renderable.name == name:
            return renderable
    known = ", ".join(renderable.name for renderable in CATALOGUE)
    raise UsageError(f"{name[:40]!r}: nothing of that name can be rendered", hint=f"there are: {known}")


def render(renderable: Renderable, form: str | None, settings: Settings) -> Files:
    """Return the files of a thing in a form, None for its first; raises UsageError."""
    forms = renderable.forms
    chosen = forms.get(form) if form is not None else next(iter(forms.values()))
    if chosen is None:
        raise UsageError(f"{renderable.name}: has no form {str(form)[:40]!r}", hint=f"there are: {', '.join(forms)}")
    return chosen(settings)
