"""One generated workload for all benchmarks: policy documents, requests, and the same rules in Cedar's language.

Twenty rules for each team, that allow, deny, ask, bound and name single subjects, as an organisation of that size would
write them; 100 tenants. The same seed gives the same workload everywhere.
"""

import random
from collections.abc import Callable
from typing import Any

from policy_core.model import GRANTING, Clauses, Decision, Rule

RULES_PER_TEAM, TENANTS, TAGS = 20, 100, 40
RULES_PER_FILE = 100

_TEMPLATES = (
    """\
  - id: r{i}
    match: {{topics: ["job.team{team}.read.*"], tenants: ["tenant-{tenant}"]}}
    decision: allow
""",
    """\
  - id: r{i}
    match: {{topics: ["job.team{team}.*"], risk_tags: ["prod", "tag-{tag}"]}}
    unless: {{subject: {{roles: ["sre"]}}}}
    decision: deny
    reason: Production of team {team} is closed for tag {tag}
""",
    """\
  - id: r{i}
    match: {{topics: ["job.*.write.*"], resource: {{ids: ["database-{i}"]}}}}
    decision: require_approval
    reason: Writes to database {i} need a person
""",
    """\
  - id: r{i}
    match: {{topics: ["job.team{team}.exec"], labels: {{env: "prod"}}}}
    when: "context.attempt < 3"
    decision: allow_with_constraints
    constraints: {{max_retries: {retries}, max_runtime_sec: 60}}
""",
    """\
  - id: r{i}
    match: {{subject: {{types: ["user"], ids: ["user-{i}"]}}}}
    decision: allow
""",
)


def documents(rules: int) -> dict[str, bytes]:
    """Return path -> YAML of a policy repository with that many rules, 100 in each file."""
    files: dict[str, bytes] = {
        "writ.yaml": b"name: benchmark\nstore: file:///nowhere\nchannels: [prod]\n",
    }
    for start in range(0, rules, RULES_PER_FILE):
        entries = "".join(_entry(i) for i in range(start, min(rules, start + RULES_PER_FILE)))
        files[f"policies/team/file-{start // RULES_PER_FILE:05}.yaml"] = f"version: v1\nrules:\n{entries}".encode()
    return files


def _entry(i: int) -> str:
    return _TEMPLATES[i % len(_TEMPLATES)].format(
        i=i, team=i // RULES_PER_TEAM, tenant=i // 7 % TENANTS, tag=i // 11 % TAGS, retries=i % 7 + 1
    )


def requests(rules: int, count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return AuthZEN requests that meet the rules of `documents(rules)` in every way."""
    draw = random.Random(seed)
    return [_request(draw, rules) for _ in range(count)]


def _request(draw: random.Random, rules: int) -> dict[str, Any]:
    verb = draw.choice(["read.file", "write.file", "exec", "delete.file"])
    return {
        "subject": {
            "type": "user",
            "id": f"user-{draw.randrange(rules)}",
            "properties": {"roles": [draw.choice(["dev", "sre"])]},
        },
        "action": {"name": f"job.team{draw.randrange(rules // RULES_PER_TEAM)}.{verb}"},
        "resource": {"type": "database", "id": f"database-{draw.randrange(rules)}"},
        "context": {
            "tenant": f"tenant-{draw.randrange(TENANTS)}",
            "risk_tags": ["prod", f"tag-{draw.randrange(TAGS)}"],
            "labels": {"env": "prod"},
            "attempt": draw.randrange(5),
        },
    }


def conditional_rules(count: int) -> list[Rule]:
    """Return that many rules about one action, each with a condition of its own that does not hold."""
    shapes: tuple[Callable[[int], list[Any]], ...] = (
        lambda i: [
            "&&",
            ["<", ["var", "context", "attempt"], -i],
            ["in", "sre", ["var", "subject", "properties", "roles"]],
        ],
        lambda i: ["startsWith", ["var", "resource", "properties", "owner"], f"team-{i}-"],
        lambda i: [">", ["var", "context", "load"], 1_000 + i],
    )
    match = Clauses(actions=("service.restart",))
    return [Rule("p", f"r{i}", Decision.DENY, match=match, when=shapes[i % len(shapes)](i)) for i in range(count)]


def steady_request(number: int) -> dict[str, Any]:
    """Return a request that meets all rules of `conditional_rules`; the number is what one of them reads."""
    return {
        "subject": {"type": "user", "id": "ann", "properties": {"roles": ["dev", "sre"]}},
        "action": {"name": "service.restart"},
        "resource": {"type": "service", "id": "web", "properties": {"owner": "ops"}},
        "context": {"attempt": number, "load": 5},
    }


def cedar_policies(rules: list[Rule]) -> str:
    """Return the rules as Cedar policies: a grant is a permit, any other decision a forbid."""
    return "\n".join(_cedar_policy(rule) for rule in rules)


def _cedar_policy(rule: Rule) -> str:
    effect = "permit" if rule.decision in GRANTING else "forbid"
    text = f"{effect}(principal, action, resource) when {{ {_cedar_condition(rule.match)} }}"
    if rule.when is not None:
        text += " when { context.attempt < 3 }"  # the only condition `documents` writes
    if rule.unless is not None:
        text += f" unless {{ {_cedar_condition(rule.unless)} }}"
    return text + ";"


def _cedar_condition(clauses: Clauses) -> str:
    parts = [f'context.action like "{pattern}"' for pattern in clauses.actions]
    parts += [f'context.tenant == "{tenant}"' for tenant in clauses.tenants]
    parts += [f'context.risk_tags.contains("{tag}")' for tag in clauses.risk_tags]
    parts += [f'context.labels.{key} == "{value}"' for key, value in clauses.labels.items()]
    if clauses.subject is not None:
        parts += [f'principal == user::"{name}"' for name in clauses.subject.ids]
        parts += [f'context.roles.contains("{role}")' for role in clauses.subject.roles]
    if clauses.resource is not None:
        parts += [f'resource == database::"{name}"' for name in clauses.resource.ids]
    return " && ".join(parts)


def cedar_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the same request as Cedar takes it."""
    subject, resource = request["subject"], request["resource"]
    context = {**request["context"], "action": request["action"]["name"], "roles": subject["properties"]["roles"]}
    return {
        "principal": {"type": subject["type"], "id": subject["id"]},
        "action": {"type": "Action", "id": "act"},
        "resource": {"type": resource["type"], "id": resource["id"]},
        "context": context,
    }
