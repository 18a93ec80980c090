"""The dashboard shows metrics that a running sidecar has: each name and label of it is in a real /metrics."""

import http.client
import json
import re
import socket
from typing import Any

import pytest
from sidecar_bench import new_bench, until
from signed_store import bundle, rules

from builder.rendering.catalogue import Settings, find, render

WORDS = {
    "count", "histogram_quantile", "increase", "max", "min", "or", "rate", "sum", "time", "vector",
}  # fmt: skip


@pytest.fixture(scope="module")
def series() -> set[tuple[str, frozenset[str]]]:
    """Return the name and the names of labels of each series of a sidecar with all that has metrics."""
    with new_bench() as bench:
        bench.store.publish(bundle(rules("allow"), number=1))
        file = bench.folder / "s.toml"
        file.write_text(
            'workers = 2\nfleet_store = "redis://127.0.0.1:1/0"\n[traces]\nendpoint = "http://127.0.0.1:1/v1/traces"\n'
            f'[log]\nship = "{(bench.folder / "logs").as_uri()}"\n'
        )
        sidecar = bench.start("--config", str(file)).wait_for(1)

        def text() -> str | None:
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(sidecar.socket))
            connection.request("GET", "/metrics")
            found = connection.getresponse().read().decode()
            connection.close()
            return found if "writ_workers_resident_memory_bytes" in found and "writ_history_events" in found else None

        lines = until(text, "metrics").splitlines()
    return {
        (line.partition("{")[0].partition(" ")[0], frozenset(re.findall(r'([a-z]+)="', line)))
        for line in lines
        if not line.startswith("#")
    }


def queries() -> list[str]:
    (content,) = render(find("dashboard"), "grafana", Settings("agents", "s3://p", ("prod",))).values()
    panels: list[dict[str, Any]] = json.loads(content)["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("query", queries())
def test_every_metric_and_label_of_the_dashboard_is_there(query: str, series: set[tuple[str, frozenset[str]]]) -> None:
    bare = re.sub(r"\{.*?\}|\[.*?\]", "", query)
    grouped = {label for labels in re.findall(r"by \(([a-z, ]+)\)", bare) for label in labels.split(", ")}
    names = set(re.findall(r"[a-z_]{2,}", re.sub(r"by \([a-z, ]+\)", "", bare))) - WORDS

    assert names
    for name in names:
        labels = {label for found, of in series if found == name for label in of}
        assert name in {found for found, _ in series}
        assert grouped - {"instance"} <= labels
        used = {
            label for each in re.findall(rf"{name}\{{(.*?)\}}", query) for label in re.findall(r"([a-z]+)[=!]", each)
        }
        assert used - {"instance"} <= labels


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    (content,) = render(find("dashboard"), None, Settings("agents", "s3://p", ("prod",))).values()
    panels = json.loads(content)["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
