"""What tests of the commands share: a policy repository with a test, and `writ` run in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.cli.main import main

SUITE = """\
cases:
  - name: reading is granted
    request: {job: {topic: service.read}}
    expect: {decision: allow, rule: a/reads}
"""


class Run(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def policies(policy_repository: Callable[..., Any]) -> Any:
    repository = policy_repository("file:///srv/store")
    repository.commit({"tests/a.yaml": SUITE})
    return repository


@pytest.fixture
def writ(policies: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*arguments: str, at: Path | None = None) -> Run:
        code = main(["-C", str(at or policies.path), *arguments])
        out, err = capsys.readouterr()
        return Run(code, out, err)

    return run
