"""``not_secrets`` in ``writ.yaml``: texts that look like a secret and are none, by digest, each with a reason."""

import re
from dataclasses import dataclass

from builder.language import fields
from builder.language.nodes import MapNode, Node, Report

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KEYS = ("digest", "reason")


@dataclass(frozen=True, slots=True)
class NotSecret:
    """One such text: its SHA-256 in hex digits, and line and column of the entry."""

    sha256: str
    place: tuple[int, int]


def read_not_secrets(report: Report, node: Node) -> tuple[NotSecret, ...]:
    """Return the entries that could be read."""
    entries = fields.items(report, node, "not_secrets") or ()
    found = [entry for item in entries if (entry := _entry(report, fields.mapping(report, item, "not_secrets entry")))]
    return tuple(found)


def _entry(report: Report, found: MapNode | None) -> NotSecret | None:
    if found is None:
        return None
    fields.check_keys(report, found, "not_secrets entry", _KEYS)
    reason = fields.require(report, found, "reason", "not_secrets entry", "say in a sentence why it is no secret")
    digest = fields.require(report, found, "digest", "not_secrets entry", "such as digest: sha256:…")
    if reason:
        fields.one_line(report, reason, "reason")
    text = digest and fields.identifier(report, digest, "digest", _DIGEST, "sha256: and 64 lower-case hex digits")
    return NotSecret(text.removeprefix("sha256:"), (found.line, found.column)) if text else None
