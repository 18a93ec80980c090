"""The page on explanations shows what ``writ explain`` really prints."""

import json
import re
from pathlib import Path

from builder.compiling import compile_tree
from builder.explaining import describe_explanation, matcher_for
from builder.source import PolicyTree
from policy_core.explaining import explain
from policy_core.request import normalise

PAGE = Path(__file__).parents[2] / "docs/how-to/explain-a-decision.md"
BLOCK = re.compile(r"^```(yaml|json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_example_on_the_page_is_what_comes() -> None:
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    settings = b"name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"
    files = {"policies/restarts.yaml": blocks["yaml"].encode(), "writ.yaml": settings}
    compiled = compile_tree(PolicyTree("1" * 40, True, files), today=None)
    matcher = matcher_for(compiled.rules, compiled.provisions, "")

    explanation = explain(matcher, normalise(json.loads(blocks["json"]), now=0.0, host={}))

    lines = describe_explanation(explanation, compiled.places(), "work tree")
    assert "\n".join(lines) == blocks["text"].rstrip("\n")
