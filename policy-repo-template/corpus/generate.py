"""Make the example corpus: `python corpus/generate.py > corpus/agents.jsonl`.

A small company made up for `writ simulate`: three teams, their services, people and agents, and what these ask for in
a week. The same seed gives the same requests everywhere. Replace the result by requests you have recorded; the script
needs nothing but Python.
"""

import json
import random
import sys

SEED = 2026
REQUESTS = 3_000

# service -> the team that runs it, and how many instances it has
SERVICES = {
    "web": ("checkout", 12), "cart": ("checkout", 6), "payments-api": ("checkout", 8), "invoices": ("checkout", 3),
    "search": ("search", 24), "indexer": ("search", 40), "suggestions": ("search", 6),
    "identity-provider": ("platform", 6), "primary-database": ("platform", 3), "message-broker": ("platform", 5),
    "image-builder": ("platform", 30), "status-page": ("platform", 1),
}
AGENTS = {
    "checkout-bot": "checkout", "refund-agent": "checkout", "search-bot": "search", "reindex-agent": "search",
    "incident-agent": "platform", "patch-bot": "platform", "deploy-bot": "platform",
}
PEOPLE = {
    "ada": ["sre"], "grace": ["sre", "break-glass"], "linus": ["developer"], "margaret": ["developer"],
    "barbara": ["developer", "sre"], "edsger": ["analyst"],
}
TENANTS = ["shop", "shop-eu", "internal"]
NIGHT = ["2026-11-02T01:30:00Z", "2026-11-03T03:10:00Z", "2026-11-07T22:45:00Z"]

_draw = random.Random(SEED).random  # the one source of chance whose sequence Python promises to keep


def one_of(choices):
    """Return one of the choices, each as likely as the others."""
    choices = list(choices)
    return choices[int(_draw() * len(choices))]


def chance(part):
    """Say yes in `part` (0 to 1) of all cases."""
    return _draw() < part


def person(*roles):
    """Return one of the people, with one of the roles if any are given."""
    name = one_of(name for name, held in PEOPLE.items() if not roles or set(roles) & set(held))
    return {"type": "user", "id": name, "properties": {"roles": PEOPLE[name]}}


def agent(team=None):
    """Return an agent, of one team if one is given."""
    name = one_of(name for name, its_team in AGENTS.items() if team in (None, its_team))
    return {"type": "registered_agent", "id": name, "properties": {"team": AGENTS[name]}}


def stranger():
    """Return somebody nobody has registered."""
    kind, name = one_of([("workload", "batch-17"), ("anonymous", "anonymous"), ("script", "cron@build-3")])
    return {"type": kind, "id": name}


def service(name=None, *, instances=None):
    """Return a service with as many of its instances as are meant: one, some, or all of them."""
    name = name or one_of(SERVICES)
    team, number = SERVICES[name]
    if instances is None:
        instances = number if chance(0.15) else 1 + int(_draw() * min(3, number))
    numbers = [int(_draw() * number)] if instances == 1 else range(instances)
    listed = [f"{name}-{n + 1}" for n in numbers]
    return {"type": "service", "id": name, "properties": {"owner": team, "instances": listed}}


def asked(subject, action, resource, **context):
    """Return a request in the form of OpenID AuthZEN."""
    request = {"subject": subject, "action": {"name": action}, "resource": resource}
    return request | ({"context": context} if context else {})


def reading():
    """Somebody looks something up: most of what happens."""
    kind, names = one_of([
        ("document", ["restart-runbook", "postmortem-112", "oncall-handbook", "architecture"]),
        ("dashboard", ["latency", "error-budget", "queue-depth"]),
        ("repository", ["shop/web", "shop/search", "platform/images"]),
        ("customer", ["c-1041", "c-2207", "c-3310"]),
        ("ticket", [f"T-{number}" for number in range(4100, 4140)]),
    ])
    action = {"document": "docs", "dashboard": "metrics", "repository": "code"}.get(kind, kind)
    context = {}
    if kind == "customer" or chance(0.05):
        context["risk_tags"] = ["pii"] if kind == "customer" else ["secrets"]
    who = agent() if chance(0.7) else person()
    verb = one_of(["read", "read", "list", "search"])
    return asked(who, f"{action}.{verb}", {"type": kind, "id": one_of(names)}, **context)


def restarting():
    """A service is restarted, mostly by those who run it."""
    target = service()
    team = target["properties"]["owner"]
    who = agent(team) if chance(0.55) else person("sre") if chance(0.6) else agent() if chance(0.7) else person()
    action = "service.restart" if chance(0.75) else one_of(["service.scale", "service.deploy"])
    if chance(0.04):
        del target["properties"][one_of(["owner", "instances"])]  # the caller does not say everything
    if who["type"] == "registered_agent" and chance(0.03):
        who = {**who, "properties": one_of([{}, {"team": ""}])}
    return asked(who, action, target, **({"risk_tags": ["prod"]} if chance(0.5) else {}))


def writing():
    """A setting or record is changed, in production or where mistakes are cheap."""
    where = one_of(["dev", "staging", "staging", "prod", ""])
    kind, name = one_of([
        ("config", "checkout/limits"), ("flag", "new-cart"), ("record", "invoice-88"), ("ticket", "T-4101"),
    ])
    tags = [tag for tag in (where, "write") if tag]
    return asked(agent() if chance(0.8) else person(), f"{kind}.write", {"type": kind, "id": name}, risk_tags=tags)


def destroying():
    """Something is deleted that cannot be brought back."""
    kind, verb = one_of([("volume", "delete"), ("table", "drop"), ("queue", "purge"), ("cluster", "destroy")])
    name = f"{kind}-{1 + int(_draw() * 30)}"
    who = person("break-glass") if chance(0.25) else person() if chance(0.3) else agent()
    if chance(0.2):  # the name does not give it away
        tag = one_of(["destructive", "irreversible"])
        return asked(who, f"{kind}.resize", {"type": kind, "id": name}, risk_tags=[tag])
    return asked(who, f"{kind}.{verb}", {"type": kind, "id": name})


def executing():
    """An agent runs code: a job, in the form of a job queue."""
    tags = [one_of(["low", "low", "low", "medium", "medium", "high"])]
    if chance(0.4):
        tags.append("generated")
    if chance(0.05):
        tags.append("high")
    job = {
        "topic": f"job.agent.exec.{one_of(['python', 'python', 'shell', 'sql'])}",
        "job_id": f"job-{1 + int(_draw() * 900)}", "actor_type": "registered_agent", "actor_id": one_of(AGENTS),
        "risk_tags": tags,
    }
    return {"tenant_id": one_of(TENANTS), "job": job}


def bridging():
    """A tool is called through the bridge, as a job."""
    verb = one_of(["read", "read", "read", "write", "delete"])
    job = {"topic": f"job.mcp-bridge.{verb}.{one_of(['tickets', 'config', 'wiki', 'calendar'])}"}
    if not chance(0.05):  # a few jobs do not say who acts
        job |= {"actor_type": "registered_agent", "actor_id": one_of(AGENTS)}
    if verb == "write":
        job["risk_tags"] = [one_of(["prod", "staging", "dev"]), "write"]
    elif chance(0.1):
        job["risk_tags"] = [one_of(["pii", "secrets"])]
    return {"tenant_id": one_of(TENANTS), "job": job}


def trespassing():
    """Somebody nobody knows tries the same things."""
    request = one_of([reading, restarting, writing, destroying])()
    return {**request, "subject": stranger()}


# how many of a hundred requests are of each kind
KINDS = {reading: 34, restarting: 22, executing: 16, writing: 10, bridging: 10, destroying: 5, trespassing: 3}


def line():
    """Return one line of the corpus; at night it is an envelope with a time and the host that asked."""
    request = one_of(kind for kind, share in KINDS.items() for _ in range(share))()
    if chance(0.06):
        request = {"request": request, "now": one_of(NIGHT), "host": {"env": one_of(["prod", "staging"])}}
    return json.dumps(request, separators=(",", ":"))


def main():
    """Write the corpus to standard output."""
    for _ in range(REQUESTS):
        sys.stdout.write(line() + "\n")


if __name__ == "__main__":
    main()
