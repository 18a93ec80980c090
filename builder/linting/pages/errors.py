"""The pages of errors: classes of what makes a policy repository unusable. The message says the rest."""

from builder.language.codes import Code
from builder.linting.pages.page import Page, policy

_FINE = policy("- {id: reads, match: {actions: ['*.read']}, decision: allow}")
_DEMANDING = "name: demo\nstore: file:///srv/store\nchannels: [prod]\ngovernance: {required_metadata: [owners]}\n"

PAGES = (
    Page(
        Code.INVALID_VALUE,
        "invalid-value",
        "A value is not what the language takes at this place: of another type, out of bounds, an unknown word, or at "
        "odds with the keys beside it. Nothing is guessed, so nothing is compiled.",
        "the message names what was expected, and where there is a near miss the hint names it.",
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['*.read']}, decision: permit}")},
        {"policies/a.yaml": _FINE},
    ),
    Page(
        Code.UNREADABLE,
        "unreadable-file",
        "The file is not YAML or JSON in the strict form read here, or beyond its limits of size and depth. Anchors, "
        "aliases, tags, merge keys and duplicate keys are refused because they let a file mean something else than it "
        "seems to say.",
        "correct the syntax; repeat a value instead of referring to it, or move it into `data/`.",
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['*.read']}, decision: allow, decision: deny}")},
        {"policies/a.yaml": _FINE},
    ),
    Page(
        Code.UNKNOWN_KEY,
        "unknown-key",
        "A key that is not known would be a clause that nobody enforces.",
        "correct the spelling, or remove the key.",
        {"policies/a.yaml": policy("- {id: reads, match: {action: ['*.read']}, decision: allow}")},
        {"policies/a.yaml": _FINE},
    ),
    Page(
        Code.MISSING_KEY,
        "missing-key",
        "A key that is always needed is not there.",
        "add it; the hint shows how it looks.",
        {"policies/a.yaml": policy("- {match: {actions: ['*.read']}, decision: allow}")},
        {"policies/a.yaml": _FINE},
    ),
    Page(
        Code.DUPLICATE_NAME,
        "duplicate-name",
        "Answers, logs and tests name policies, rules, cases and fixtures. Two of one name could not be told apart.",
        "rename one of them.",
        {
            "policies/a.yaml": policy(
                "- {id: reads, match: {actions: ['*.read']}, decision: allow}\n"
                "- {id: reads, match: {actions: ['*.list']}, decision: allow}"
            )
        },
        {
            "policies/a.yaml": policy(
                "- {id: reads, match: {actions: ['*.read']}, decision: allow}\n"
                "- {id: lists, match: {actions: ['*.list']}, decision: allow}"
            )
        },
    ),
    Page(
        Code.INVALID_CONDITION,
        "invalid-condition",
        "The expression in `when` is not CEL, is not a boolean, or lies outside the profile that hosts evaluate.",
        "the message has the place inside the expression; [conditions](conditions.md) lists what there is.",
        {
            "policies/a.yaml": policy(
                "- {id: small, match: {actions: [scale]}, when: size(resource.properties.n), decision: deny}"
            )
        },
        {
            "policies/a.yaml": policy(
                "- {id: small, match: {actions: [scale]}, when: size(resource.properties.n) > 1, decision: deny}"
            )
        },
    ),
    Page(
        Code.CONTRADICTING_CONSTRAINTS,
        "contradicting-constraints",
        "Two rules apply to the same requests and give a constraint that has to agree two values, so each of those "
        "requests would be denied.",
        "give both one value, or let the rules exclude each other.",
        {
            "policies/a.yaml": policy(
                "- id: here\n  match: {actions: [run]}\n  decision: constrain\n  constraints: {x_region: eu}\n"
                "- id: there\n  match: {actions: [run]}\n  decision: constrain\n  constraints: {x_region: us}"
            )
        },
        {
            "policies/a.yaml": policy(
                "- id: here\n  match: {actions: [run]}\n  decision: constrain\n  constraints: {x_region: eu}\n"
                "- id: small\n  match: {actions: [run]}\n  decision: constrain\n  constraints: {max_targets: 1}"
            )
        },
    ),
    Page(
        Code.EXPIRED_POLICY,
        "expired-policy",
        "The last day of the policy has passed. What is live stays in force on the hosts, but nothing is published any "
        "more until somebody has looked.",
        "review the policy and set a later date, or remove it.",
        {"policies/a.yaml": f"metadata: {{expires: 2026-05-31}}\n{_FINE}"},
        {"policies/a.yaml": f"metadata: {{expires: 2027-05-31}}\n{_FINE}"},
    ),
    Page(
        Code.UNUSABLE_FILE,
        "unusable-file",
        "A file among the policies that would not be read, or cannot be part of a bundle: another suffix, a symbolic "
        "link, a name beyond letters, digits, `.`, `_` and `-`, a place that another file has already.",
        "rename it, or move it out of the folders that matter.",
        {"policies/a.yml": _FINE, "policies/b.yaml": _FINE},
        {"policies/b.yaml": _FINE},
    ),
    Page(
        Code.UNGOVERNED,
        "ungoverned",
        "A policy or an exception falls short of what `governance` in `writ.yaml` demands: metadata that is not there, "
        "a lifetime beyond the limit, an approval that is missing; or, at a publish, a commit changes what a team must "
        "approve, and nobody of that team did. Publishing holds a change to the governance that is live, so demanding "
        "less takes a release of its own.",
        "add what the message names; the hint says which setting demands it.",
        {"writ.yaml": _DEMANDING, "policies/a.yaml": _FINE},
        {"writ.yaml": _DEMANDING, "policies/a.yaml": f"metadata: {{owners: {{app: team-a}}}}\n{_FINE}"},
    ),
)
