"""The schema of ``writ.yaml``."""

from builder.editing.clauses import clauses
from builder.editing.parts import DURATION, VERSION, Schema, described, integer, list_of, map_of, mapping, one_of, text
from builder.editing.policy import NAME
from builder.language.approvers import MAX_APPROVERS
from builder.language.governance import MAX_DAYS
from builder.language.hosts import MAX_RELEASE
from builder.language.metadata import KEYS as METADATA_KEYS
from builder.language.path_approvals import GLOB, MAX_GLOBS, SIGNERS
from builder.language.project import MAX_CHANNELS, MAX_WIDENED

_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_NAMES = list_of(text(pattern=NAME, most=128))


def project() -> Schema:
    """Return the schema of the settings of a policy repository."""
    properties = {
        "version": VERSION,
        "name": text("of the repository and its bundles", pattern=r"[a-z0-9][a-z0-9-]{0,62}"),
        "store": text("where bundles go: s3://BUCKET/PREFIX or file:///DIRECTORY", pattern=r"(s3|file)://.+"),
        "reports": text("where hosts report: s3://BUCKET/PREFIX or file:///DIRECTORY", pattern=r"(s3|file)://.+"),
        "channels": list_of(text(), "in the order promotion takes them") | {"maxItems": MAX_CHANNELS},
        "gates": _or_nothing(_gates()),
        "hosts": _or_nothing(_hosts()),
        "decision_log": _or_nothing(_decision_log()),
        "approvers": _or_nothing(_approvers()),
        "governance": _or_nothing(_governance()),
        "not_secrets": list_of(_not_secret(), "texts that look like a secret and are none"),
    }
    return mapping(properties, required=("name", "store", "channels"))


def _gates() -> Schema:
    coverage = mapping({"rules": integer(0, 100), "clauses": integer(0, 100)}, "least percentages")
    simulation = mapping({"max_flips_percent": _PERCENT, "max_widened": integer(0, MAX_WIDENED)})
    return mapping({"coverage": coverage, "simulation": simulation}, "what must hold before a publish")


def _hosts() -> Schema:
    releases = map_of(integer(1, MAX_RELEASE), "the least release to go back to, by channel")
    max_pin = DURATION | {"description": "how long a host rollback may hold, such as 4h"}
    return mapping({"max_pin": max_pin, "min_release": releases}, "how far a host may go back by itself")


def _decision_log() -> Schema:
    path = text("subject, action, resource or context, then names; * is every name", pattern=r"[^.]+(\.[^.]+)+")
    erasure = mapping({"path": path, "match": clauses()}, "what a record does not hold", required=("path",))
    left_out = mapping({"match": clauses()}, "which plain allows get no record", required=("match",))
    properties = {"erase": list_of(erasure), "leave_out": list_of(left_out)}
    return mapping(properties, "what the decision log of hosts does not hold")


def _approvers() -> Schema:
    entry = mapping(
        {
            "key": text("the 64 hex digits of an Ed25519 public key", pattern="[0-9a-f]{64}"),
            "teams": _NAMES,
            "subjects": list_of(text(pattern="[^*?]+"), "subject ids that are this person"),
        },
        required=("key", "teams", "subjects"),
    )
    return map_of(entry, "people whose grants count", keys=NAME) | {"maxProperties": MAX_APPROVERS}


def _governance() -> Schema:
    approvals = map_of(integer(1, MAX_APPROVERS), "how many members of each team approve an exception")
    return mapping(
        {
            "required_metadata": list_of(one_of(METADATA_KEYS), "what every policy must say about itself"),
            "teams": map_of(_NAMES, "who belongs to which team", keys=NAME),
            "exceptions": mapping({"max_days": integer(1, MAX_DAYS), "approvals": approvals}),
            "policies": mapping({"max_days": integer(1, MAX_DAYS)}, required=("max_days",)),
            "approvals": map_of(_NAMES, "which teams approve a change, by glob over paths", keys=GLOB.pattern)
            | {"maxProperties": MAX_GLOBS},
            "signers": text("the file of the members' SSH keys", pattern=SIGNERS.pattern),
        },
        "what the repository demands of policies, exceptions and commits",
    )


def _not_secret() -> Schema:
    properties = {"digest": text(pattern="sha256:[0-9a-f]{64}"), "reason": text("why it is no secret")}
    return mapping(properties, required=properties)


def _or_nothing(schema: Schema) -> Schema:
    """Return a schema that also takes an empty section, which asks for nothing."""
    nothing: Schema = {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}, schema]}
    return described(nothing, schema["description"])
