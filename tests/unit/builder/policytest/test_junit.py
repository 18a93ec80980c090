"""JUnit XML: what the common schema demands and permits, whatever texts authors write."""

from xml.etree import ElementTree

from builder.language.expectations import Expectation
from builder.language.suites import Case
from builder.policytest.junit import junit_xml
from builder.policytest.runner import CaseResult, Difference, Status, SuiteResult, TestReport

# junit-10.xsd of the Jenkins xunit plugin: element -> (required attributes, permitted attributes, children)
SCHEMA = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests"},
        {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        {"testcase", "properties", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}
NASTY = '<b> & "quotes" ]]> \x00\x1b \ud800 \ufffe ✓'


def case(name: str, *, skip: str = "") -> Case:
    return Case(name, 3, {}, 0, {}, Expectation("allow"), skip)


def report() -> TestReport:
    results = (
        CaseResult(case("fine"), Status.PASSED),
        CaseResult(case(NASTY), Status.FAILED, differences=(Difference("decision", "allow", "deny"),)),
        CaseResult(case("later", skip=NASTY), Status.SKIPPED),
    )
    return TestReport((SuiteResult("tests/a.yaml", NASTY, results), SuiteResult("tests/b.yaml", "b", ())), {})


def parsed() -> ElementTree.Element:
    return ElementTree.fromstring(junit_xml(report()))  # noqa: S314 - written above


def test_every_element_is_what_the_schema_says() -> None:
    root = parsed()

    assert root.tag == "testsuites"
    for element in root.iter():
        required, permitted, children = SCHEMA[element.tag]
        assert required <= set(element.attrib) <= required | permitted
        assert {child.tag for child in element} <= children


def test_counts_and_messages() -> None:
    root = parsed()

    first, second = root
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")
    assert (first.get("tests"), first.get("failures"), first.get("skipped")) == ("3", "1", "1")
    assert (first.get("package"), second.get("tests")) == ("tests/a.yaml", "0")
    failure = first[1][0]
    assert failure.get("message") == "decision: expected allow, got deny"
    assert failure.text == "tests/a.yaml:3\ndecision: expected allow, got deny"


def test_characters_xml_does_not_have_are_replaced() -> None:
    root = parsed()

    assert root[0].get("name") == '<b> & "quotes" ]]> �� � � ✓'


def test_the_same_report_gives_the_same_bytes() -> None:
    assert junit_xml(report()) == junit_xml(report())
