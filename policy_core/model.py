"""The rule model (IR): what authored policy documents compile to and what the matcher runs.

Rules are values without behaviour, encoded as JSON in ``matcher.jsonl``. Decoding is strict: an unknown field or a
wrong type is an error, so that a newer bundle is refused rather than half understood. Lists are tuples; the empty tuple
means *no such clause* (authored empty lists are refused before they get here).
"""

from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec

Scalar: TypeAlias = str | int | float | bool
Constraint: TypeAlias = bool | int | float | str | tuple[str, ...]
Condition: TypeAlias = list[object]
"""A lowered ``when`` expression; its grammar is in `policy_core.condition`."""


MAX_PIN_S = 7 * 86_400
"""The longest a host may go back by itself, whatever it is told."""


class Decision(StrEnum):
    """What a rule says. `CONSTRAIN` only narrows what another rule grants and is never the word of an answer."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    THROTTLE = "throttle"
    ALLOW_WITH_CONSTRAINTS = "allow_with_constraints"
    ALLOW = "allow"
    CONSTRAIN = "constrain"


class Gate(StrEnum):
    """The runtime criterion a rule serves: a label that comes back in the answer."""

    IDENTITY = "identity"
    SCOPE = "scope"
    BLAST_RADIUS = "blast_radius"
    REVERSIBILITY = "reversibility"


GRANTING = frozenset({Decision.ALLOW, Decision.ALLOW_WITH_CONSTRAINTS})
RESTRICTING = frozenset({Decision.DENY, Decision.REQUIRE_APPROVAL, Decision.THROTTLE})
CONSTRAINING = frozenset({Decision.ALLOW_WITH_CONSTRAINTS, Decision.CONSTRAIN})


EMERGENCY_DOCUMENT = "emergency"
"""The id under which emergency denies are rules; a document of a policy cannot have it."""


class EntityClauses(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Clauses over a subject or a resource; each field is one clause, each list any-of.

    `types` and `ids` are globs. `roles` is a set (absent is empty). `properties` maps a property name to the accepted
    values: strings are globs, numbers and booleans are compared by type and value; an absent property is an error.
    """

    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    properties: dict[str, tuple[Scalar, ...]] = {}


class AttributeTests(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one attribute must be: the operators of one path, ANDed; None and the empty tuple mean *not asked*.

    What each operator means, and what is an error, is in `policy_core.attributes`. Lists are any-of.
    """

    eq: Scalar | None = None
    ne: Scalar | None = None
    in_: tuple[Scalar, ...] = msgspec.field(default=(), name="in")
    not_in: tuple[Scalar, ...] = ()
    glob: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    lt: int | float | None = None
    le: int | float | None = None
    gt: int | float | None = None
    ge: int | float | None = None
    exists: bool | None = None
    cidr: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()

    def operators(self) -> dict[str, Any]:
        """Return the operators asked for, as they are written, with what they compare to."""
        asked: dict[str, Any] = msgspec.to_builtins(self)
        return asked


class TimeWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a rule is about a request at all: every part given must hold.

    `after` (inclusive) and `before` (exclusive) are seconds since the epoch. `days` (``mon`` … ``sun``) and `between`
    (minutes since midnight, from inclusive, to exclusive) are those of the zone `tz` (an IANA name; empty: UTC). If the
    second of `between` is the smaller, the window wraps midnight and belongs to the day it begins on.
    """

    after: int | float | None = None
    before: int | float | None = None
    days: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    tz: str = ""


class Clauses(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The clauses of ``match`` or ``unless``, ANDed; an absent clause is a wildcard.

    `actions` (authored as ``actions`` or ``topics``), `tenants`, `capabilities` and `pack_ids` are any-of globs;
    `risk_tags` and `requires` are all-of, `risk_tags_any` is any-of; `labels` are all-of, each value a glob.
    `attributes` maps dotted paths to tests, each path one clause. Of the clauses in `none_of` (authored as ``not``) not
    one may hold; they cannot have a ``not`` of their own.
    """

    actions: tuple[str, ...] = ()
    risk_tags: tuple[str, ...] = ()
    risk_tags_any: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    pack_ids: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    subject: EntityClauses | None = None
    resource: EntityClauses | None = None
    attributes: dict[str, AttributeTests] = {}
    time: TimeWindow | None = None
    none_of: "Clauses | None" = msgspec.field(default=None, name="not")


class Remediation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to do instead: words for people, and the changes to the request that a program can make.

    `replacement_action` and `replacement_capability` are what to ask for instead; `add_labels` and `remove_labels` what
    to change in ``context.labels``.
    """

    id: str
    title: str
    summary: str = ""
    replacement_action: str = ""
    replacement_capability: str = ""
    add_labels: dict[str, str] = {}
    remove_labels: tuple[str, ...] = ()


class RateScope(StrEnum):
    """Who counts together: one host by itself, or all hosts that share a fleet store."""

    HOST = "host"
    FLEET = "fleet"


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often is too often: a sliding window of `window_s` seconds in which `limit` allowed requests were counted.

    Requests are counted apart by the values at the dotted paths in `key`.
    """

    limit: int
    window_s: int
    key: tuple[str, ...]
    scope: RateScope = RateScope.HOST


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What satisfies a rule that asks: so many approvers of each team, by grants that live at most `expires_in_s`."""

    quorum: dict[str, int] = msgspec.field(name="from")
    expires_in_s: int


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One compiled rule. Rules are ordered: baseline first, then by `policy` (document id), then by position in it.

    A `dry_run` rule never changes the decision. `skip_errors` (authored as ``on_missing: skip``): in error it does not
    apply. A rule with a `rate` applies only once the rate has been reached; without an `approval` no grant satisfies a
    rule that asks.
    """

    policy: str
    id: str
    decision: Decision
    match: Clauses = Clauses()
    unless: Clauses | None = None
    when: Condition | None = None
    rate: Rate | None = None
    approval: Approval | None = None
    constraints: dict[str, Constraint] = {}
    reason: str = ""
    reason_code: str = ""
    gate: str = ""
    baseline: bool = False
    dry_run: bool = False
    skip_errors: bool = False
    remediations: tuple[Remediation, ...] = ()

    @property
    def name(self) -> str:
        """Return ``<policy id>/<rule id>``, as answers and logs spell it."""
        return f"{self.policy}/{self.id}"


class PolicyException(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Switches off the rules it names, where all clauses of `scope` hold, from `starts` to `expires` (exclusive).

    Both are seconds since the epoch, compared with host time; rules are named ``<policy id>/<rule id>``.
    """

    id: str
    rules: tuple[str, ...]
    scope: Clauses
    starts: int
    expires: int


class Classification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Risk tags a request carries whatever it claims: where every list given holds an accepted glob.

    `actions` are those of ``match``, `resource_types` and `resource_ids` those of ``match.resource``.
    """

    name: str
    risk_tags: tuple[str, ...]
    actions: tuple[str, ...] = ()
    resource_types: tuple[str, ...] = ()
    resource_ids: tuple[str, ...] = ()


class Approver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Someone whose grants count: an Ed25519 key (64 hex digits), teams, and the subject ids that are this person."""

    id: str
    key: str
    teams: tuple[str, ...]
    subjects: tuple[str, ...]


class HostLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far a host may go back by itself: for `max_pin_s` seconds at most, and never below a release.

    `min_release` is by channel, as one bundle can be live in several.
    """

    max_pin_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_PIN_S)] = MAX_PIN_S
    min_release: dict[str, Annotated[int, msgspec.Meta(ge=1, lt=2**53)]] = {}


class Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An attribute that records of decisions do not hold, where `match` holds or is in error.

    A ``*`` in `path` is every key of an object, or every element of a list.
    """

    path: str
    match: Clauses = Clauses()


class LogRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the decision log does not hold: parts of requests, and whole decisions.

    A decision is left out only if it is a plain ``allow`` and all clauses of an entry of `leave_out` are true.
    """

    erase: tuple[Erasure, ...] = ()
    leave_out: tuple[Clauses, ...] = ()


class Provisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a policy consists of beside its rules; `data` is the reference data that conditions see."""

    data: dict[str, Any] = {}
    exceptions: tuple[PolicyException, ...] = ()
    classifications: tuple[Classification, ...] = ()
    approvers: tuple[Approver, ...] = ()
    hosts: HostLimits | None = None
    log: LogRules | None = None
