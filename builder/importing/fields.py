"""Every field of a job-style policy file, and what becomes of it: the table that reading, report and docs share.

A field is mapped, perhaps with a change in what it means, or refused with a sentence and what to do instead. A field
that is not in the table is unknown and refused too, so nothing is ever dropped in silence.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field by its dotted path; ``<name>`` stands for names that authors choose.

    `ours` is what it becomes (empty: it is refused); `says` how its meaning changes or what is worth a look, or why it
    is refused; `hint` what to do about a refusal.
    """

    path: str
    ours: str = ""
    says: str = ""
    hint: str = ""

    @property
    def refused(self) -> bool:
        """Tell whether a file with this field is not imported."""
        return not self.ours


def _mapped(prefix: str, *rows: tuple[str, str] | tuple[str, str, str]) -> list[Field]:
    return [Field(prefix + path, ours, *says) for path, ours, *says in rows]


def _refused(prefix: str, says: str, hint: str, names: str) -> list[Field]:
    return [Field(prefix + name, "", says, hint) for name in names.split()]


_ANY_CASE = ", a `regex` without regard to case, as there"
_EXACT = "compared exactly; there without regard to case"
_GUARD = "a request without the label passes, as there; take `exists: true` out to have it refused instead"
_WRITTEN = "accepted but never enforced there; from now on a bound"
_CONTENT = "Writ decides on requests and never looks into their content"
_CONTENT_HINT = "keep the scanner in the application, send what it finds as a risk tag, and write a rule about that tag"
_MCP = "its two evaluators read these lists in opposite ways, and a request without such labels passes them all"
_MCP_HINT = "say what is meant: a rule whose match has labels, such as labels: {mcp_tool: fs.read}"
_DELEGATION = "requests carry no chain of delegation that could be verified"
_DELEGATION_HINT = "have the application check the chain, and send the outcome as a label that a rule is about"
_SELECTOR = (
    ("workflow_id", "`match.attributes`: `context.job.workflow_id`"),
    ("job_id", "`match.attributes`: `resource.id`"),
    ("session_id", "`match.attributes`: `context.job.session_id`"),
)
_CONTENT_MATCH = (
    "tenants topics capabilities risk_tags scanners content_patterns keywords content_types detectors input_size_gt "
    "max_input_bytes output_size_gt max_output_bytes has_error"
)
_CONTENT_RULE = "id decision reason severity"
_SCOPE = "instruction_path items_path category_path name_path allowed_categories aliases on_missing_input on_ambiguous"
_BUDGETS = (
    ("max_runtime_ms", "`max_runtime_ms`"),
    ("max_retries", "`max_retries`"),
    ("max_artifact_bytes", "`max_artifact_bytes`"),
    ("max_concurrent_jobs", "`max_concurrent_jobs`"),
)
_SANDBOX = (
    ("isolated", "`isolated`"),
    ("network_allowlist", "`network_allowlist`"),
    ("fs_read_only", "`fs_read_allowlist`"),
    ("fs_read_write", "`fs_write_allowlist`, and `fs_read_allowlist` where there is an `fs_read_only`"),
)
_TOOLCHAIN = (("allowed_tools", "`tool_allowlist`"), ("allowed_commands", "`command_allowlist`"))
_DIFF = (("max_files", "`max_files`"), ("max_lines", "`max_lines`"), ("deny_path_globs", "`path_denylist`"))
_FLAT = (
    ("redaction_level", "`redaction_level`"),
    ("max_runtime_sec", "`max_runtime_sec`"),
    ("max_output_bytes", "`max_output_bytes`", _WRITTEN),
    ("allowed_destinations", "`network_allowlist`", _WRITTEN),
    ("redact_patterns", "`redact_denylist`", _WRITTEN),
)

_ALL = [
    *_mapped(
        "",
        ("version", "`version: v1`"),
        ("tier", "rules of tier job go before workflow, those before global", "files of other tiers are not seen here"),
        ("default_tenant", "nothing: a request without tenant is of tenant `default`; another name is refused"),
        ("default_decision", "`deny` is ours too; `allow` becomes the rule `default-allow`"),
        ("rules", "`rules`", "whatever their order: each rule excepts what an earlier, less strict one decided"),
        ("tenants", "rules, where the file has no `rules`; beside `rules` they did nothing and are refused"),
    ),
    *_mapped("selector.", *_SELECTOR),
    *_mapped(
        "rules.",
        ("id", "`id`"),
        ("tier", "order, as above"),
        ("match", "`match`; for jobs only: the action's name starts with `job.`"),
        ("decision", "`decision`, in any of its spellings"),
        ("reason", "`reason`"),
        ("constraints", "`constraints`; of an approval: a `constrain` rule beside it"),
        ("remediations", "`remediations`"),
        ("velocity", "`rate`", "only allowed requests are counted; there all that matched, refused ones too"),
    ),
    *_mapped("rules.selector.", *_SELECTOR),
    *_mapped(
        "rules.match.",
        ("tenants", f"`match.attributes`: `context.tenant`{_ANY_CASE}"),
        ("capabilities", f"`match.attributes`: `context.capability`{_ANY_CASE}"),
        ("pack_ids", f"`match.attributes`: `context.pack_id`{_ANY_CASE}"),
        ("actor_ids", f"`match.attributes`: `subject.id`{_ANY_CASE}"),
        ("actor_types", f"`match.attributes`: `subject.type`{_ANY_CASE}"),
        ("agent_risk_tiers", f"`match.attributes`: `context.job.agent_risk_tier`{_ANY_CASE}"),
        ("topics", "`match.topics`; where `*` must not cross a slash, `not: {topics: ['*/*']}` or a `regex`"),
        ("risk_tags", "`match.risk_tags_any`", f"taken from the request and from classify/; {_EXACT}"),
        ("agent_data_classifications", "`when`: `context.job.agent_data_classifications`", _EXACT),
        ("requires", "`match.requires`", _EXACT),
        ("labels", "`match.labels`"),
        ("label_allowlist", "`match.attributes`: `not_in`", _GUARD),
        ("label_threshold", "`match.attributes`: `gt`", f"send the label as a number: a text is an error; {_GUARD}"),
        ("secrets_present", "`when`, over the label `secrets_present` and the tag `secrets`"),
    ),
    *_refused(
        "rules.match.",
        "what a predicate means is fixed in the other product's code, not in the file",
        "write what it tests as match or when",
        "predicate",
    ),
    *_refused(
        "rules.match.delegation.",
        _DELEGATION,
        _DELEGATION_HINT,
        "max_depth issuers require_issuer required_scope forbid_delegated delegation_required",
    ),
    *_refused(
        "rules.match.mcp.",
        _MCP,
        _MCP_HINT,
        "allow_servers allow_tools allow_resources allow_actions deny_servers deny_tools deny_resources deny_actions",
    ),
    *_mapped(
        "rules.velocity.",
        ("max_requests", "`rate.limit`"),
        ("window_seconds", "`rate.window`"),
        ("key", "`rate.key`", "a request without it is not limited, as there: `exists: true` and `not` say so"),
    ),
    *_mapped("rules.constraints.budgets.", *_BUDGETS),
    *_mapped("rules.constraints.sandbox.", *_SANDBOX),
    *_mapped("rules.constraints.toolchain.", *_TOOLCHAIN),
    *_mapped("rules.constraints.diff.", *_DIFF),
    *_mapped("rules.constraints.", *_FLAT, *_BUDGETS, *_SANDBOX, *_TOOLCHAIN, *_DIFF),
    *_mapped(
        "rules.remediations.",
        ("id", "`id`"),
        ("title", "`title`"),
        ("summary", "`summary`"),
        ("replacement_topic", "`replacement_action`"),
        ("replacement_capability", "`replacement_capability`"),
        ("add_labels", "`add_labels`"),
        ("remove_labels", "`remove_labels`"),
    ),
    *_mapped(
        "tenants.<name>.",
        ("allow_topics", "one `allow` rule for the tenant"),
        ("deny_topics", "one `deny` rule for the tenant, before its `allow`"),
    ),
    *_refused(
        "tenants.<name>.",
        "hosts of repositories are checked beside the rules, from a place in the request that the file does not name",
        "write a rule about the label that names the host",
        "allowed_repo_hosts denied_repo_hosts",
    ),
    *_refused(
        "tenants.<name>.",
        "it is kept by the scheduler there, for all jobs of a tenant together, and is no bound on one job",
        "leave it to the scheduler, or write a constrain rule with max_concurrent_jobs for this tenant",
        "max_concurrent_jobs",
    ),
    *_refused(
        "tenants.<name>.mcp.",
        _MCP,
        _MCP_HINT,
        "allow_servers allow_tools allow_resources allow_actions deny_servers deny_tools deny_resources deny_actions",
    ),
    *_refused("input_policy.", _CONTENT, _CONTENT_HINT, "enabled fail_mode max_scan_bytes"),
    *_refused("input_rules.", _CONTENT, _CONTENT_HINT, _CONTENT_RULE),
    *_refused("input_rules.match.", _CONTENT, _CONTENT_HINT, _CONTENT_MATCH),
    *_refused("input_rules.match.scope.", _CONTENT, _CONTENT_HINT, _SCOPE),
    *_refused(
        "require_human.",
        "it weakens what content rules decide, and content rules are not imported",
        "remove it together with input_rules",
        "min_severity_for_deny min_confidence_for_deny downgrade_when_prompt_only",
    ),
    *_refused("output_policy.", _CONTENT, _CONTENT_HINT, "enabled fail_mode"),
    *_refused("output_rules.", _CONTENT, _CONTENT_HINT, _CONTENT_RULE),
    *_refused("output_rules.match.", _CONTENT, _CONTENT_HINT, _CONTENT_MATCH),
]

FIELDS: dict[str, Field] = {field.path: field for field in _ALL}
"""All fields by path, in the order of the reference page."""


def _children() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for path in FIELDS:
        parts = path.split(".")
        for length in range(len(parts)):
            found.setdefault(".".join(parts[:length]), {})[parts[length]] = None
    return {parent: tuple(names) for parent, names in found.items()}


CHILDREN: dict[str, tuple[str, ...]] = _children()
"""The names known below each path; a path that is absent here holds a value."""

BOUNDS: dict[str, str] = {row[0]: row[1].split("`")[1] for row in (*_BUDGETS, *_SANDBOX, *_TOOLCHAIN, *_DIFF, *_FLAT)}
"""Their constraints by our names."""
BOUND_GROUPS = ("budgets", "sandbox", "toolchain", "diff")
