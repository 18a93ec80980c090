"""One condition (``when``) beside the CEL library that checks it, on the same decoded request.

Three shapes that policies are full of: a bound and a membership; guarded text tests; comprehensions and a conditional.
The library is timed twice: with an activation made for each request, as it would have to be, and with one that is
shared, which leaves out what it costs to hand a request over. All must agree on every request.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from cel_expr_python import cel

from benchmarks.measuring import table
from builder.language.cel import lower
from policy_core.condition import compile_condition
from policy_core.request import normalise

CONDITIONS = {
    "bound and membership": "context.restarts_last_hour < 3 && 'sre' in subject.properties.roles",
    "guarded text": (
        "has(resource.properties.owner) && resource.properties.owner.startsWith('team-')"
        " && !resource.properties.owner.contains('legacy')"
    ),
    "comprehension": (
        "resource.properties.targets.all(t, t in ['web', 'db', 'cache'])"
        " ? subject.properties.roles.exists(r, r == 'sre') : context.emergency == true"
    ),
}
REQUESTS, CALLS, ROUNDS = 64, 20_000, 7  # the best round counts


def run() -> None:
    """Print the time of one evaluation for each shape."""
    raw = _requests()
    requests = [normalise(each, now=0.0, host={}) for each in raw]
    environment = cel.NewEnv(
        variables={name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for name in ("subject", "resource", "context")}
    )
    rows = []
    for name, source in CONDITIONS.items():
        started = time.perf_counter()
        lower.__wrapped__(source)
        lowering_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        ours = compile_condition(lower(source), {})
        compiling_us = (time.perf_counter() - started) * 1e6
        program = environment.compile(source)
        shared = [environment.Activation(each) for each in raw]

        def fresh(each: Any, program: Any = program) -> bool:
            return bool(program.eval(data=each).value())

        def reused(activation: Any, program: Any = program) -> bool:
            return bool(program.eval(activation).value())

        if not [ours(each) for each in requests] == [fresh(each) for each in raw] == [reused(a) for a in shared]:
            raise SystemExit(f"the engines disagree: {source}")
        best = _best_us(ours, requests)
        for engine, microseconds in (
            ("Writ", best),
            ("cel-expr-python", _best_us(fresh, raw)),
            ("cel-expr-python, shared activation", _best_us(reused, shared)),
        ):
            built = (f"{lowering_ms:.2f}", f"{compiling_us:.0f}") if engine == "Writ" else ("", "")
            rows.append((name, engine, microseconds, microseconds / best, *built))
    table(
        "One condition (µs)",
        ("condition", "engine", "µs", "µs / Writ", "lowered by the builder ms", "compiled on the host µs"),
        rows,
    )


def _requests() -> list[dict[str, Any]]:
    draw = random.Random(3)
    return [
        {
            "subject": {"type": "user", "id": "ann", "properties": {"roles": draw.sample(["dev", "sre", "dba"], 2)}},
            "action": {"name": "service.restart"},
            "resource": {
                "type": "service",
                "id": "web",
                "properties": {
                    "owner": draw.choice(["team-web", "team-legacy", "ops"]),
                    "targets": draw.sample(["web", "db", "cache", "mail"], 3),
                },
            },
            "context": {"restarts_last_hour": draw.randrange(6), "emergency": draw.random() < 0.5},
        }
        for _ in range(REQUESTS)
    ]


def _best_us(call: Callable[[Any], bool], arguments: list[Any]) -> float:
    """Return the time of one call in microseconds, over arguments that take turns."""
    rounds = range(CALLS // len(arguments))
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in rounds:
            for argument in arguments:
                call(argument)
        times.append(time.process_time() - started)
    return min(times) / (len(rounds) * len(arguments)) * 1e6


if __name__ == "__main__":
    run()
