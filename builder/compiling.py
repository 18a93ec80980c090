"""From a policy tree to compiled rules and their bundle: pure, the same tree always gives the same bytes."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from builder.conflicts import find_conflicts
from builder.governing import Governed, governance_problems
from builder.language import project as project_file
from builder.language.classify import ClassifyDocument, read_classify
from builder.language.codes import Code
from builder.language.data import read_data
from builder.language.documents import PolicyDocument, read_document
from builder.language.exceptions import (
    ExceptionDocument,
    check_exception_ids,
    check_lifted_rules,
    read_exception,
)
from builder.language.expectations import Known
from builder.language.nodes import Report
from builder.language.project import Project, read_project
from builder.language.remembering import Remembered
from builder.language.signers import signers_of
from builder.language.suites import Suite, read_suites
from builder.quorums import find_unreachable_quorums
from builder.scanning import note_secrets
from builder.schemas.datafiles import check_data
from builder.schemas.declarations import FOLDER, Declarations, read_declarations
from builder.schemas.rules import check_rules, check_scopes
from builder.source import PolicyTree
from policy_core.bundle import DATA, MATCHER, PROVISIONS, SELFTEST, Bundle, build_bundle
from policy_core.errors import InvalidPolicyError, Problem
from policy_core.features import needed_features
from policy_core.matcher import encode_rules
from policy_core.model import Provisions, Rule
from policy_core.provisions import encode_provisions
from policy_core.selftest import MAX_CASES, SelfTestCase, encode_cases

_REMEMBERED: Remembered[PolicyDocument | None] = Remembered()
RuleSource: TypeAlias = PolicyDocument | ClassifyDocument
"""A file that rules come from."""
_OTHER_SUFFIXES = frozenset({"yaml", "yml", "json"})  # compared without case


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy tree that has no problem: settings, documents (sorted by id), what is beside rules, tests, warnings.

    `rules` are those of documents and of classifications, in the order of ties; exceptions are sorted by file.
    """

    tree: PolicyTree
    project: Project
    documents: tuple[PolicyDocument, ...]
    classify: tuple[ClassifyDocument, ...]
    exceptions: tuple[ExceptionDocument, ...]
    rules: tuple[Rule, ...]
    provisions: Provisions
    declarations: Declarations
    suites: tuple[Suite, ...]
    warnings: tuple[Problem, ...]

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the reference data that conditions see."""
        return self.provisions.data

    def places(self) -> dict[str, str]:
        """Return where each rule and classification is written: ``<policy>/<rule>`` to *file:line*."""
        classified = {
            found.name: f"{document.file}:{line}"
            for document in self.classify
            for found, line in zip(document.classifications, document.classified_at, strict=True)
        }
        return classified | _places((*self.documents, *self.classify))

    def governed(self, today: datetime.date | None) -> Governed:
        """Return what a governance is about."""
        return Governed(self.documents, self.exceptions, self.tree.files, today)


def compile_tree(tree: PolicyTree, *, today: datetime.date | None) -> Compiled:
    """Compile a tree. Raises InvalidPolicyError with everything that is wrong anywhere in it.

    `today` (UTC) is what the dates in policies and exceptions are held against. None does not judge them: an old
    revision must stay buildable to be compared with what was published from it. Nor does it search for secrets: a
    newer scanner must not take an old revision away.
    """
    overall = Report("")
    problems, warnings = overall.problems, overall.warnings

    def report(path: str) -> Report:
        return Report(path, problems, warnings)

    project = read_project(tree.files.get(project_file.FILE), report(project_file.FILE))
    read = partial(read_document, today=today)
    documents = [
        document
        for path, content in _yaml_files(tree, "policies", overall)
        if (document := _REMEMBERED.read(read, content, report(path), beside=today))
    ]
    if not any(path.startswith("policies/") for path in tree.files):
        report("policies").of(Code.UNUSABLE_FILE).file_problem(
            "there is no policy document", "put one into policies/, such as policies/a.yaml"
        )
    classify = [
        found
        for path, content in _yaml_files(tree, "classify", overall)
        if (found := read_classify(content, report(path)))
    ]
    exceptions = [
        exception
        for path, content in _yaml_files(tree, "exceptions", overall)
        if (exception := read_exception(content, report(path), today=today))
    ]
    if project:
        signers_of(tree.files, project.governance.path_approvals, overall)
    _check_ids((*documents, *classify), overall)
    documents.sort(key=lambda document: document.id)
    data = read_data(tree.below("data"), overall)
    declarations = read_declarations(tree.below(FOLDER), overall)
    check_data(declarations, tree.files, data, overall)
    check_rules((*documents, *classify), tree.files, declarations, overall)
    check_scopes(exceptions, tree.files, declarations, overall)
    # ties go to the baseline tier, then by id
    sources: list[RuleSource] = [*documents, *classify]
    in_force = sorted(sources, key=lambda source: (not source.baseline, source.id))
    rules = {rule.name: rule for source in in_force for rule in source.rules}
    if project and not problems:
        problems += find_conflicts(rules.values(), _places(in_force))
        problems += find_unreachable_quorums(documents, project.approvers, tree.files)
        problems += check_exception_ids(exceptions, tree.files)
        problems += check_lifted_rules(exceptions, rules, tree.files)
        problems += governance_problems(project.governance, Governed(documents, exceptions, tree.files, today))
    known = Known()
    if project and not problems:
        known = Known(
            rules=rules,
            rated=frozenset(name for name, rule in rules.items() if rule.rate is not None),
            approvers=[approver.id for approver in project.approvers],
            exceptions=[each.exception.id for each in exceptions],
        )
    suites = read_suites(_yaml_files(tree, "tests", overall), report, known=known)
    if today is not None:
        note_secrets(tree.files, project.not_secrets if project else (), overall)
    if problems or project is None:
        raise InvalidPolicyError(problems)
    return Compiled(
        tree=tree,
        project=project,
        documents=tuple(documents),
        classify=tuple(classify),
        exceptions=tuple(exceptions),
        rules=tuple(rules.values()),
        provisions=Provisions(
            data=data,
            exceptions=tuple(each.exception for each in exceptions),
            classifications=tuple(found for document in classify for found in document.classifications),
            approvers=project.approvers,
            hosts=project.hosts,
            log=project.log,
        ),
        declarations=declarations,
        suites=tuple(suites),
        warnings=tuple(sorted(set(warnings))),
    )


def bundle_of(compiled: Compiled) -> tuple[bytes, Bundle]:
    """Return the bundle archive of a compiled tree, and its description.

    Raises ArchiveError if the bundle as a whole is too large.
    """
    tree = compiled.tree
    sources: list[RuleSource | ExceptionDocument] = [*compiled.documents, *compiled.classify, *compiled.exceptions]
    files = {source.file: tree.files[source.file] for source in sources}
    files[project_file.FILE] = tree.files[project_file.FILE]
    files[MATCHER] = encode_rules(compiled.rules)
    files[DATA] = msgspec.json.encode(compiled.data, order="sorted")
    if beside := encode_provisions(compiled.provisions):
        files[PROVISIONS] = beside
    files[SELFTEST] = encode_cases(islice(_selftest_cases(compiled.suites), MAX_CASES))
    return build_bundle(
        name=compiled.project.name,
        revision=tree.revision,
        dirty=tree.dirty,
        files=files,
        features=needed_features(compiled.rules, compiled.provisions),
    )


def _yaml_files(tree: PolicyTree, folder: str, overall: Report) -> Iterable[tuple[str, bytes]]:
    """Yield the ``.yaml`` files of a folder; one that only looks like it would silently not be read."""
    for path, content in tree.below(folder):
        suffix = path.rpartition(".")[2]
        if suffix == "yaml":
            yield path, content
        elif suffix.lower() in _OTHER_SUFFIXES:
            message, hint = f"is not read (suffix .{suffix})", "files here end in .yaml"
            overall.problems.append(Problem(path, 0, 0, message, hint, Code.UNUSABLE_FILE))


def _places(documents: Iterable[RuleSource]) -> dict[str, str]:
    return {
        rule.name: f"{document.file}:{line}"
        for document in documents
        for rule, line in zip(document.rules, document.lines, strict=True)
    }


def _check_ids(documents: Iterable[RuleSource], overall: Report) -> None:
    first: dict[str, RuleSource] = {}
    for document in documents:
        other = first.setdefault(document.id, document)
        if other is not document and document.id:
            where = Problem(other.file, *other.id_place, "").where
            message = f"policy id {document.id} is used already in {where}"
            hint = "give each policy its own id"
            overall.problems.append(Problem(document.file, *document.id_place, message, hint, Code.DUPLICATE_NAME))


def _selftest_cases(suites: Iterable[Suite]) -> Iterable[SelfTestCase]:
    """Yield what the sidecar asks itself before it activates the bundle; suites are sorted by file."""
    return (
        SelfTestCase(
            case.request,
            case.expect.decision,
            case.expect.rule or "",
            case.now,
            dict(case.host),
            dict(case.counted),
            case.approved_by,
        )
        for suite in suites
        for case in suite.cases
        if not case.skip
    )
