"""SARIF: what the standard asks of a log, as far as forges rely on it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import pytest

from builder.linting import LintResult, sarif_log
from builder.linting.pages import PAGES, Page

Lint = Callable[[Mapping[str, str]], LintResult]

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
ESSENTIALS: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}, "minItems": 1},
    },
    "additionalProperties": False,
    "$defs": {
        "level": {"enum": ["none", "note", "warning", "error"]},
        "run": {
            "type": "object",
            "required": ["tool", "results"],
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {
                        "driver": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "version": {"type": "string"},
                                "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}},
                            },
                            "additionalProperties": False,
                        }
                    },
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "originalUriBaseIds": {"type": "object"},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
            "additionalProperties": False,
        },
        "rule": {
            "type": "object",
            "required": ["id", "shortDescription", "fullDescription", "help"],
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "shortDescription": TEXT,
                "fullDescription": TEXT,
                "help": TEXT,
                "defaultConfiguration": {"properties": {"level": {"$ref": "#/$defs/level"}}},
            },
            "additionalProperties": False,
        },
        "result": {
            "type": "object",
            "required": ["ruleId", "message", "locations"],
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": {"$ref": "#/$defs/level"},
                "message": TEXT,
                "locations": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["physicalLocation"],
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation"],
                                "properties": {
                                    "artifactLocation": {
                                        "required": ["uri"],
                                        "properties": {"uri": {"type": "string", "pattern": "^[^/\\\\:]"}},
                                    },
                                    "region": {
                                        "required": ["startLine", "startColumn"],
                                        "properties": {
                                            "startLine": {"type": "integer", "minimum": 1},
                                            "startColumn": {"type": "integer", "minimum": 1},
                                        },
                                    },
                                },
                            }
                        },
                    },
                },
            },
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_every_finding_is_a_result_of_its_rule(lint: Lint, page: Page) -> None:
    log = sarif_log(lint(page.before))

    jsonschema.validate(log, ESSENTIALS, cls=jsonschema.Draft202012Validator)
    (run,) = log["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert (rule["id"], rule["help"]["text"]) == (page.code, page.text())
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == ("error" if page.code.is_error else "warning")


def test_a_result_has_message_hint_and_place(lint: Lint) -> None:
    log = sarif_log(lint({"policies/a.yaml": "version: v1\nrules: [{id: r, decision: permit}]\n"}))

    (result,) = log["runs"][0]["results"]
    assert result["message"]["text"] == "unknown decision 'permit' (hint: did you mean 'allow'?)"
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "policies/a.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 2, "startColumn": 27},
    }


def test_a_finding_about_a_file_as_a_whole_has_no_region(lint: Lint) -> None:
    log = sarif_log(lint({"policies/a.yml": ""}))

    places = [result["locations"][0]["physicalLocation"] for result in log["runs"][0]["results"]]
    assert places == [{"artifactLocation": {"uri": "policies/a.yml", "uriBaseId": "%SRCROOT%"}}]


def test_the_same_findings_give_the_same_bytes(lint: Lint) -> None:
    files = {path: text for page in PAGES.values() if page.code.is_error for path, text in page.before.items()}

    assert json.dumps(sarif_log(lint(files))) == json.dumps(sarif_log(lint(dict(reversed(files.items())))))
