"""A secret in the repository: the commands refuse it, and no stream of theirs repeats it."""

from collections.abc import Callable
from typing import Any

import pytest

Writ = Callable[..., Any]

TOKEN = "gh" + "p_" + "aB3" * 12
FILES = {
    # each is wrong in other ways too, so that other messages would quote the text
    "data/x.yaml": f"token: {TOKEN}\ntoken: {TOKEN}\n",
    "data/y.json": f'{{"token": "{TOKEN}", "token": 1}}',
    "data/z.yaml": f"{TOKEN}\n",
    "corpus/a.jsonl": f'{{"job": {{"topic": 3, "token": "{TOKEN}"}}}}\n{TOKEN}\n',
    "tests/b.yaml": f"cases:\n  - {{name: {TOKEN}, request: {TOKEN}, expect: {{decision: {TOKEN}}}}}\n",
    "policies/b.yaml": f"version: v1\nrules:\n  - {{id: r, decision: {TOKEN}, {TOKEN}: 1}}\n",
}


@pytest.mark.parametrize(
    "command",
    [
        ("lint",),
        ("lint", "--format", "json"),
        ("lint", "--format", "sarif"),
        ("lint", "--strict", "HEAD"),
        ("publish",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("file", FILES)
def test_a_secret_is_refused_and_never_repeated(
    writ: Writ, policies: Any, tmp_path: Any, command: tuple[str, ...], file: str
) -> None:
    policies.commit({"writ.yaml": f"name: demo\nstore: {(tmp_path / 's').as_uri()}\nchannels: [prod]\n"})
    assert writ("keys", "init", "--dev").code == 0
    policies.commit({file: FILES[file], "data/z.yaml": FILES["data/z.yaml"], "schemas/data/z.yaml": "type: integer\n"})

    run = writ(*command)

    said = run.out + run.err
    assert run.code == 3
    assert file in said
    assert TOKEN[4:12] not in said
