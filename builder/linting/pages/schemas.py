"""The pages of declared schemas and of secrets."""

from builder.language.codes import Code
from builder.linting.pages.page import Page, policy

_LIMITS = "type: object\nproperties:\n  max_targets: {type: integer, minimum: 1}\nadditionalProperties: false\n"
_READING = policy(
    "- {id: few, match: {actions: ['*.restart']}, when: 'action.properties.targets > data.limits.max_targets', "
    "decision: deny}"
)
_USERS = "properties:\n  team: {enum: [sre, apps]}\n"


def _teams(match: str) -> str:
    return policy(f"- {{id: teams, match: {{actions: ['*.restart'], {match}}}, decision: deny}}")


def _suite(team: str) -> str:
    return (
        "version: v1\ncases:\n  - name: apps may not restart\n"
        f"    subject: {{type: user, id: ann, properties: {{{team}}}}}\n"
        "    action: service.restart\n    resource: {type: service, id: web}\n    expect: {decision: deny}\n"
    )


_APPS = _teams("subject: {types: [user], properties: {team: apps}}")

PAGES = (
    Page(
        Code.INVALID_SCHEMA,
        "invalid-schema",
        "A file below `schemas/` is no JSON Schema (draft 2020-12) of the kind read here: an unknown keyword, a "
        "`$ref` out of the file, a pattern RE2 cannot run. A misspelt keyword would check nothing.",
        "correct it; docs/reference/data-and-schemas.md lists the keywords.",
        {
            "policies/a.yaml": _READING,
            "data/limits.yaml": "max_targets: 5\n",
            "schemas/data/limits.yaml": _LIMITS.replace("minimum", "minimun"),
        },
        {
            "policies/a.yaml": _READING,
            "data/limits.yaml": "max_targets: 5\n",
            "schemas/data/limits.yaml": _LIMITS,
        },
    ),
    Page(
        Code.INVALID_DATA,
        "data-against-schema",
        "Reference data is not what its schema says, so conditions that read it would err or mean something else.",
        "correct the data, or the schema.",
        {
            "policies/a.yaml": _READING,
            "data/limits.yaml": "max_targets: five\n",
            "schemas/data/limits.yaml": _LIMITS,
        },
        {
            "policies/a.yaml": _READING,
            "data/limits.yaml": "max_targets: 5\n",
            "schemas/data/limits.yaml": _LIMITS,
        },
    ),
    Page(
        Code.UNDECLARED,
        "undeclared-attribute",
        "A rule asks for an attribute that no schema declares for the types it is about, or compares one with what it "
        "can never be. On a host that is an error in every request, or a clause that never holds.",
        "correct the name or the value; if the attribute is new, declare it below `schemas/`.",
        {
            "policies/a.yaml": _teams("subject: {types: [user], properties: {taem: apps}}"),
            "schemas/subjects/user.yaml": _USERS,
        },
        {"policies/a.yaml": _APPS, "schemas/subjects/user.yaml": _USERS},
    ),
    Page(
        Code.LEAK,
        "secret",
        "The text has the form of a key, token or password. Bundles go to many hosts and git keeps what was committed, "
        "so it is refused before it is published. The message never repeats it, and says nothing else of that file.",
        "remove it, and revoke it: whoever could read the repository may have it. If it is none, list its digest in "
        "`writ.yaml` under `not_secrets`, with a reason.",
        {
            "policies/a.yaml": policy(
                "- {id: reads, match: {actions: ['*.read']}, decision: deny, reason: see https://ann:"
                "hunter2@wiki.example/}"  # in two parts: this file is searched as well
            )
        },
        {
            "policies/a.yaml": policy(
                "- {id: reads, match: {actions: ['*.read']}, decision: deny, reason: see https://wiki.example/}"
            )
        },
    ),
    Page(
        Code.TYPE_WITHOUT_SCHEMA,
        "type-without-schema",
        "A rule names a type that no schema describes, while others of its kind are described. Whatever the rule asks "
        "of that type is not checked; often the type is misspelt.",
        "correct the type, or add a schema for it.",
        {
            "policies/a.yaml": _teams("subject: {types: [usr], properties: {team: apps}}"),
            "schemas/subjects/user.yaml": _USERS,
        },
        {"policies/a.yaml": _APPS, "schemas/subjects/user.yaml": _USERS},
    ),
    Page(
        Code.REQUEST_AGAINST_SCHEMA,
        "request-against-schema",
        "The request of a policy test has an attribute, or a value, that no schema declares. It proves something about "
        "requests that will never come. Tests that expect `evaluation_error` are left out.",
        "correct the request, or declare the attribute.",
        {
            "policies/a.yaml": _APPS,
            "schemas/subjects/user.yaml": _USERS,
            "tests/a.yaml": _suite("team: apps, laed: true"),
        },
        {"policies/a.yaml": _APPS, "schemas/subjects/user.yaml": _USERS, "tests/a.yaml": _suite("team: apps")},
    ),
    Page(
        Code.UNUSED_ALLOWANCE,
        "unused-not-secret",
        "An entry of `not_secrets` in `writ.yaml` has a digest that no text in the repository has. It would silently "
        "permit a text that comes later.",
        "remove the entry.",
        {
            "policies/a.yaml": _APPS,
            "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\nnot_secrets:\n"
            f"  - {{digest: 'sha256:{'0' * 64}', reason: an example in a ticket}}\n",
        },
        {"policies/a.yaml": _APPS, "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"},
    ),
)
