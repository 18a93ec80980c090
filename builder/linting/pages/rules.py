"""The pages of warnings about rules: those that make no difference, and those that cannot do what they seem to do."""

from builder.language.codes import Code
from builder.linting.pages.page import Page, policy

_READS = "- {id: reads, match: {actions: ['*.read']}, decision: allow}"
_TODAY = "The examples take it to be 2026-06-01."
_RATE = """\
- id: restart-limit
  match: {{actions: [service.restart]}}
  rate: {{limit: 3, window: 1h, key: {}}}
  decision: throttle"""
_TAGGED = policy(
    f"{_READS}\n- {{id: secrets, match: {{actions: ['*.read'], risk_tags: [secret]}}, decision: require_approval}}"
)
_CLASSIFIED = """\
version: v1
classify:
  - id: vaults
    match: {resource: {types: [vault]}}
    risk_tags: [secret]
"""

PAGES = (
    Page(
        Code.DUPLICATE_RULE,
        "duplicate-rule",
        "Two rules ask the same of a request and decide the same; lists are compared without their order. The answer "
        "names the one that comes first by [the order of ties](decisions.md). Whoever changes only one of them "
        "is surprised by the other.",
        "remove one of them, or make clear what tells them apart.",
        {"policies/a.yaml": policy(f"{_READS}\n- {{id: lookups, match: {{topics: ['*.read']}}, decision: allow}}")},
        {"policies/a.yaml": policy(_READS)},
    ),
    Page(
        Code.UNREACHABLE_RULE,
        "unreachable-rule",
        "The clauses of the rule contradict each other, so no request can meet all of them: `not` or `unless` takes "
        "away all that `match` takes, the tests of an attribute leave no value, or `when` is false whatever is asked. "
        "At most it is an error where an attribute is missing, and then it restricts or narrows like any other.",
        "correct the clause that was meant otherwise, or remove the rule.",
        {
            "policies/a.yaml": policy(
                "- id: no-restart-but-by-sre\n"
                "  match: {actions: [service.restart]}\n"
                "  unless: {actions: ['service.*']}\n"
                "  decision: deny"
            )
        },
        {
            "policies/a.yaml": policy(
                "- id: no-restart-but-by-sre\n"
                "  match: {actions: [service.restart]}\n"
                "  unless: {subject: {roles: [sre]}}\n"
                "  decision: deny"
            )
        },
    ),
    Page(
        Code.COVERED_RULE,
        "covered-rule",
        "Another rule denies every request this one is about, and nothing is stronger than a deny. A rule that denies, "
        "too, is without effect only beside a deny of the baseline tier, which answers name and no exception lifts.",
        "remove the rule, or narrow the deny. A standard deny that an exception names covers nothing.",
        {
            "policies/a.yaml": policy(
                "- {id: no-deletes, match: {actions: ['*.delete']}, decision: deny}\n"
                "- id: owners-delete\n"
                "  match: {actions: [bucket.delete], subject: {roles: [owner]}}\n"
                "  decision: allow"
            )
        },
        {
            "policies/a.yaml": policy(
                "- id: no-deletes\n"
                "  match: {actions: ['*.delete']}\n"
                "  unless: {subject: {roles: [owner]}}\n"
                "  decision: deny\n"
                "- id: owners-delete\n"
                "  match: {actions: [bucket.delete], subject: {roles: [owner]}}\n"
                "  decision: allow"
            )
        },
    ),
    Page(
        Code.PAST_WINDOW,
        "past-window",
        f"The `time` of the rule is over, so it applies to nothing any more. {_TODAY}",
        "remove the rule, or give it a new time.",
        {
            "policies/a.yaml": policy(
                "- id: freeze\n"
                "  match: {actions: ['*.deploy'], time: {before: '2026-01-07T00:00:00Z'}}\n"
                "  decision: deny"
            )
        },
        {
            "policies/a.yaml": policy(
                "- id: freeze\n"
                "  match: {actions: ['*.deploy'], time: {before: '2027-01-07T00:00:00Z'}}\n"
                "  decision: deny"
            )
        },
    ),
    Page(
        Code.OWNERLESS_WILDCARD,
        "ownerless-wildcard",
        "A rule without any clause is about every request there will ever be. When it hurts, somebody has to be asked.",
        "name `metadata.owners` in the policy, or narrow the rule.",
        {"policies/a.yaml": policy("- {id: everything, match: {actions: ['*']}, decision: require_approval}")},
        {
            "policies/a.yaml": "metadata: {owners: {security: team-security}}\n"
            + policy("- {id: everything, match: {actions: ['*']}, decision: require_approval}")
        },
    ),
    Page(
        Code.MIXED_CASE_TAG,
        "mixed-case-tag",
        "Risk tags are compared exactly. Where one rule says `Prod` and another `prod`, one of them will not see the "
        "request that its author had in mind.",
        "use one spelling, the one that requests have. It is not changed for you: that would change decisions.",
        {
            "policies/a.yaml": policy(
                "- {id: asks, match: {actions: [deploy], risk_tags: [prod]}, decision: require_approval}\n"
                "- {id: slow, match: {actions: [deploy], risk_tags: [Prod]}, decision: throttle}"
            )
        },
        {
            "policies/a.yaml": policy(
                "- {id: asks, match: {actions: [deploy], risk_tags: [prod]}, decision: require_approval}\n"
                "- {id: slow, match: {actions: [deploy], risk_tags: [prod]}, decision: throttle}"
            )
        },
    ),
    Page(
        Code.HOST_RATE,
        "host-rate",
        "The rate counts what happens to a resource, and each host counts by itself. With ten hosts the resource meets "
        "ten times the limit.",
        "write `scope: fleet`, so that all hosts count together, or count by what stays on one host.",
        {"policies/a.yaml": policy(_RATE.format("[resource.id]"))},
        {"policies/a.yaml": policy(_RATE.format("[resource.id], scope: fleet"))},
    ),
    Page(
        Code.BARE_CLAIM,
        "bare-claim",
        "What restricts applies only because of what the caller says of its own request: a risk tag, a label, a "
        "context fact that the rule asks for only where it is there. A caller that leaves it out meets the rule no "
        "more, and some other rule grants. It is the same where a tag or label alone is the way out by `unless` or "
        "`not`: a caller may add it. Other facts are not judged: where they are missing a restriction applies.",
        "let a document below `classify/` give the tag to actions or resources, or require the fact of them; or rest "
        "the rule on what the caller cannot choose, such as the resource or the roles of the subject.",
        {"policies/a.yaml": _TAGGED},
        {"policies/a.yaml": _TAGGED, "classify/a.yaml": _CLASSIFIED},
    ),
)
