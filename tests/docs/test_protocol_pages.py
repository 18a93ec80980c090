"""The curl lines on the pages of protocols, run against a sidecar, get the replies shown below them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host

REFERENCE = Path(__file__).parents[2] / "docs/reference"
PAGES = ["envoy.md", "kubernetes.md", "opa.md"]
CONFIGURATION = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```sh\n(curl .*?)^```\n\n```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
SOCKET = "/run/writ/decision.sock"
CURL_TIMEOUT_S = 30


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    shown = [part for page in PAGES for part in CONFIGURATION.findall((REFERENCE / page).read_text(encoding="utf-8"))]
    with running_host(configuration="".join(shown)) as running:
        yield running


def is_as_shown(found: Any, shown: Any) -> bool:
    """Tell whether a reply has all that is shown of it; "…" stands for any value, as a key for any more."""
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        named = shown.keys() - {"…"}
        complete = named <= found.keys() if "…" in shown else named == found.keys()
        return complete and all(is_as_shown(found[key], shown[key]) for key in named)
    return bool(found == shown)


@pytest.mark.parametrize("page", PAGES)
def test_each_curl_line_gets_the_reply_shown_below_it(host: RunningHost, page: str) -> None:
    shown = SHOWN.findall((REFERENCE / page).read_text(encoding="utf-8"))
    assert shown

    for command, reply in shown:
        assert SOCKET in command
        here = command.replace(SOCKET, str(host.socket))
        done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=True, timeout=CURL_TIMEOUT_S)
        assert is_as_shown(json.loads(done.stdout), json.loads(reply)), done.stdout


@pytest.mark.parametrize("found", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 2}, {"a": 1, "b": {}}])
def test_a_reply_that_differs_is_noticed(found: object) -> None:
    assert not is_as_shown(found, {"a": 1, "b": 2})
