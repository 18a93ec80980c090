"""A test report as JUnit XML, in the form CI systems read (the xunit plugin's junit-10.xsd).

It holds no times and no host names: the same revision gives the same bytes.
"""

import re
from xml.etree import ElementTree

from builder.policytest.report import describe_failure
from builder.policytest.runner import Status, SuiteResult, TestReport

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2 (Char)


def junit_xml(report: TestReport) -> bytes:
    """Return the report as an XML document in UTF-8."""
    root = ElementTree.Element("testsuites", _counts([*report.suites]) | {"name": "policy tests"})
    for suite in report.suites:
        element = ElementTree.SubElement(
            root, "testsuite", _counts([suite]) | {"name": _clean(suite.name), "package": _clean(suite.file)}
        )
        element.set("skipped", str(sum(result.status is Status.SKIPPED for result in suite.cases)))
        for result in suite.cases:
            case = ElementTree.SubElement(
                element, "testcase", {"name": _clean(result.case.title), "classname": _clean(suite.file)}
            )
            if result.status is Status.SKIPPED:
                ElementTree.SubElement(case, "skipped", {"message": _clean(result.case.skip)})
            elif result.status is Status.FAILED:
                lines = list(describe_failure(suite.file, result, report.places))
                failure = ElementTree.SubElement(case, "failure", {"type": "policy", "message": _clean(lines[1])})
                failure.text = _clean("\n".join(lines))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(suites: list[SuiteResult]) -> dict[str, str]:
    results = [result for suite in suites for result in suite.cases]
    failures = sum(result.status is Status.FAILED for result in results)
    return {"tests": str(len(results)), "failures": str(failures), "errors": "0"}


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
