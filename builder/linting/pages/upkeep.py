"""The pages of warnings about upkeep: what is left over, and what falls due."""

from builder.language.codes import Code
from builder.linting.pages.page import Page, policy

_READS = policy("- {id: reads, match: {actions: ['*.read']}, decision: allow}")
_TODAY = "The examples take it to be 2026-06-01."
_CRITICAL = policy(
    "- id: critical\n"
    "  match: {actions: [service.restart]}\n"
    "  when: resource.id in data.services.critical\n"
    "  decision: require_approval"
)
_CASES = """\
version: v1
fixtures:
  subjects:
    ann: {type: user, id: ann}
    bob: {type: user, id: bob}
cases:
  - name: reading is open
    subject: ann
    action: file.read
    resource: {type: file, id: readme}
    expect: {decision: allow}
"""
_FREEZE = policy("- {id: freeze, match: {actions: [deploy]}, decision: deny}")
_EXCEPTION = """\
version: v1
id: {}
rules: [a/freeze]
scope: {{match: {{resource: {{ids: ["{}"]}}}}}}
category: waiver
justification: A fix that cannot wait
requested_by: ana
approved_by: [bo]
ticket: CHG-1
created: 2026-05-20
expires: {}
"""

PAGES = (
    Page(
        Code.UNUSED_DATA,
        "unused-data",
        "No condition reads this part of the reference data, so changing it changes nothing. Often the condition that "
        "should read it has another spelling. The highest place of which nothing is read is named.",
        "remove it, or let a condition read it.",
        {"policies/a.yaml": _CRITICAL, "data/services.yaml": "critical: [payments]\nfrozen: [ledger]\n"},
        {"policies/a.yaml": _CRITICAL, "data/services.yaml": "critical: [payments]\n"},
    ),
    Page(
        Code.MISSING_DATA,
        "missing-data",
        "A condition reads data that is not there. That is an error wherever it is evaluated: a granting rule never "
        "grants, a restricting one always restricts. A path that the condition asks for with `has()` first is fine.",
        "correct the path, or add the file below `data/`.",
        {"policies/a.yaml": _CRITICAL},
        {"policies/a.yaml": _CRITICAL, "data/services.yaml": "critical: [payments]\n"},
    ),
    Page(
        Code.UNLISTABLE,
        "unlistable-candidate",
        "Searches of AuthZEN read `data.directory`: `subjects` and `resources` by type and id, `actions` by name, each "
        "with its properties. A list, or a text, is none of that: a search that comes to it is answered with an error.",
        "write a mapping, `{}` for what has no properties.",
        {"policies/a.yaml": _READS, "data/directory/subjects.yaml": "user: [ada, bob]\n"},
        {"policies/a.yaml": _READS, "data/directory/subjects.yaml": "user: {ada: {roles: [sre]}, bob: {}}\n"},
    ),
    Page(
        Code.REPEATED_ENTRY,
        "repeated-entry",
        "A list names one thing twice. It means the same as once; perhaps something else was meant. "
        "`writ lint --fix` removes the later one.",
        "remove it, or correct it.",
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['*.read', '*.read']}, decision: allow}")},
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['*.read', '*.list']}, decision: allow}")},
    ),
    Page(
        Code.COVERED_ENTRY,
        "covered-entry",
        "An entry of a list matches nothing that another one of the list does not match already, so it has no effect; "
        "it looks as if the rule were about less than it is. `writ lint --fix` removes it.",
        "remove it, or narrow the wider entry, if that says more than was meant.",
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['file.*', file.read]}, decision: allow}")},
        {"policies/a.yaml": policy("- {id: reads, match: {actions: ['file.*']}, decision: allow}")},
    ),
    Page(
        Code.UNUSED_FIXTURE,
        "unused-fixture",
        "No case asks for this fixture: a test that was meant is not there.",
        "test with it, or remove it.",
        {"policies/a.yaml": _READS, "tests/a.yaml": _CASES},
        {"policies/a.yaml": _READS, "tests/a.yaml": _CASES.replace("    bob: {type: user, id: bob}\n", "")},
    ),
    Page(
        Code.EXPIRING_POLICY,
        "expiring-policy",
        f"The policy expires within 30 days. After that nothing can be published until somebody has looked. {_TODAY}",
        "review it now and set a later date, or remove it.",
        {"policies/a.yaml": f"metadata: {{expires: 2026-06-20}}\n{_READS}"},
        {"policies/a.yaml": f"metadata: {{expires: 2027-05-31}}\n{_READS}"},
    ),
    Page(
        Code.EXPIRED_EXCEPTION,
        "expired-exception",
        f"The exception has ended, so it switches off nothing any more. {_TODAY}",
        "remove the file: git remembers it.",
        {"policies/a.yaml": _FREEZE, "exceptions/a.yaml": _EXCEPTION.format("hotfix", "web", "2026-05-31")},
        {"policies/a.yaml": _FREEZE},
    ),
    Page(
        Code.EXPIRING_EXCEPTION,
        "expiring-exception",
        f"The exception ends within seven days. After that the rules it names hold again everywhere. {_TODAY}",
        "have it renewed and approved, or see to it that nobody needs it any more.",
        {"policies/a.yaml": _FREEZE, "exceptions/a.yaml": _EXCEPTION.format("hotfix", "web", "2026-06-05")},
        {"policies/a.yaml": _FREEZE, "exceptions/a.yaml": _EXCEPTION.format("hotfix", "web", "2026-07-05")},
    ),
    Page(
        Code.SHADOWED_EXCEPTION,
        "shadowed-exception",
        "Another exception names the same rules for the same requests and more, and is in force as long. Removing or "
        "refusing this one would change nothing, which is not what its approvers think.",
        "remove one of them, or narrow the wider one.",
        {
            "policies/a.yaml": _FREEZE,
            "exceptions/a.yaml": _EXCEPTION.format("hotfix", "web", "2026-07-05"),
            "exceptions/b.yaml": _EXCEPTION.format("all-hotfixes", "web*", "2026-07-31"),
        },
        {"policies/a.yaml": _FREEZE, "exceptions/b.yaml": _EXCEPTION.format("all-hotfixes", "web*", "2026-07-31")},
    ),
    Page(
        Code.OVERDUE_REVIEW,
        "overdue-review",
        f"The policy says how often it is reviewed, and the last review is longer ago. {_TODAY}",
        "review it, then set `last_reviewed`.",
        {"policies/a.yaml": f"metadata: {{review: {{cycle_days: 90, last_reviewed: 2026-01-01}}}}\n{_READS}"},
        {"policies/a.yaml": f"metadata: {{review: {{cycle_days: 90, last_reviewed: 2026-05-20}}}}\n{_READS}"},
    ),
)
