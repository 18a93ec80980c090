"""CloudFormation and Terraform say what the policies say, and everything they refer to is there."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto.iam.policy_validation import IAMTrustPolicyDocumentValidator

from builder.rendering import cloudformation, terraform
from builder.rendering.access import Place, bucket_policy, policy_of, principals
from builder.rendering.catalogue import CATALOGUE, Settings, render

CHANNELS = ["staging", "prod", "prod-eu"]
EVERYBODY = principals(CHANNELS)
PLACE = Place("acme-policies", "agents")
STACK = cloudformation.template("agents", "acme-policies", "agents", EVERYBODY)
CONFIGURATION = terraform.configuration("agents", "acme-policies", "agents", EVERYBODY)
PEOPLE = ["arn:aws:iam::123456789012:role/people"]
INPUTS: dict[str, Any] = dict.fromkeys(STACK["Parameters"], PEOPLE) | {"Repository": "acme/policies"}
PSEUDO: dict[str, Any] = {"AWS::Partition": "aws", "AWS::AccountId": "123456789012"}


def resolved(value: Any, known: Mapping[str, Any] = PSEUDO) -> Any:
    """Fill in what CloudFormation would."""
    if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(known[found[1]]), value["Fn::Sub"])
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return known[value["Ref"]]
    if isinstance(value, dict):
        return {key: resolved(each, known) for key, each in value.items()}
    return [resolved(each, known) for each in value] if isinstance(value, list) else value


def names_in(value: Any) -> Iterator[str]:
    """Yield what a template refers to."""
    if isinstance(value, dict):
        if "Ref" in value:
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        if "Fn::Sub" in value:
            yield from re.findall(r"\$\{([^}]+)\}", value["Fn::Sub"])
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_in(each)


def test_the_stack_refers_to_nothing_that_is_not_there() -> None:
    assert set(names_in(STACK)) <= {*STACK["Resources"], *STACK["Parameters"], *PSEUDO}


def test_the_stack_has_the_policies_of_everybody_and_of_the_bucket() -> None:
    found = [r["Properties"] for r in STACK["Resources"].values() if r["Type"] == "AWS::IAM::ManagedPolicy"]

    assert [resolved(each["PolicyDocument"]) for each in found] == [policy_of(each, PLACE) for each in EVERYBODY]
    assert resolved(STACK["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]) == bucket_policy(PLACE)


def test_the_bucket_of_the_stack_outlives_it_is_private_and_keeps_versions() -> None:
    bucket = STACK["Resources"]["Bucket"]

    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert "LifecycleConfiguration" not in bucket["Properties"]


def trusted_by(name: str) -> list[Any]:
    statements: list[Any] = STACK["Resources"][f"{name}Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    return statements


def test_a_workflow_takes_the_publishers_role_from_the_main_branch_only() -> None:
    (statement,) = trusted_by("Publisher")

    assert statement["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": {"Fn::Sub": "repo:${Repository}:ref:refs/heads/main"},
    }


@pytest.mark.parametrize("who", ["Approver", "Oncall", "Keeper", "Auditor"])
def test_people_take_a_role_only_if_they_are_listed_for_it(who: str) -> None:
    (statement,) = trusted_by(who)

    (listed,) = {name for name in STACK["Parameters"] if name.startswith(who)}
    assert statement["Principal"] == {"AWS": {"Ref": listed}}


def test_trust_is_written_as_iam_wants_it() -> None:
    for name, role in STACK["Resources"].items():
        if role["Type"] == "AWS::IAM::Role":
            document = resolved(role["Properties"]["AssumeRolePolicyDocument"], PSEUDO | INPUTS)
            IAMTrustPolicyDocumentValidator(json.dumps(document)).validate()
            assert "$" not in json.dumps(document), name


def test_each_channel_has_a_role_for_its_hosts() -> None:
    roles = {name for name, r in STACK["Resources"].items() if r["Type"] == "AWS::IAM::Role" and "Sidecar" in name}

    assert roles == {"SidecarXstagingRole", "SidecarXprodRole", "SidecarXprodXeuRole"}
    assert all(trusted_by(role.removesuffix("Role"))[0]["Principal"].keys() == {"Service"} for role in roles)


def test_channels_that_look_alike_have_roles_of_their_own() -> None:
    stack = cloudformation.template("agents", "acme", "", principals(["a-1", "a1", "a--1"]))

    assert len([r for r in stack["Resources"].values() if r["Type"] == "AWS::IAM::Role"]) == 6 + 3


def test_terraform_has_the_policies_of_everybody_and_of_the_bucket() -> None:
    def read(text: str) -> Any:
        return json.loads(text.replace("${data.aws_partition.current.partition}", "aws"))

    resources = CONFIGURATION["resource"]
    found = {name: read(policy["policy"]) for name, policy in resources["aws_iam_policy"].items()}
    assert found == {principal.name: policy_of(principal, PLACE) for principal in EVERYBODY}
    assert read(resources["aws_s3_bucket_policy"]["store"]["policy"]) == bucket_policy(PLACE)


def test_terraform_refers_to_nothing_that_is_not_there() -> None:
    there = {f"{kind}.{name}" for kind, named in CONFIGURATION["resource"].items() for name in named}
    there |= {f"data.{kind}.{name}" for kind, named in CONFIGURATION["data"].items() for name in named}
    there |= {f"var.{name}" for name in CONFIGURATION["variable"]}

    references = re.findall(r"\$\{([^}]+)\}", json.dumps(CONFIGURATION))

    assert references
    assert {
        reference if reference.startswith("var.") else reference.rpartition(".")[0] for reference in references
    } <= there


def test_terraform_gives_each_role_its_policy_and_keeps_the_bucket() -> None:
    resources = CONFIGURATION["resource"]

    assert resources["aws_s3_bucket"]["store"]["lifecycle"] == {"prevent_destroy": True}
    assert resources["aws_s3_bucket_versioning"]["store"]["versioning_configuration"] == {"status": "Enabled"}
    assert set(resources["aws_iam_role_policy_attachment"]) == set(resources["aws_iam_role"])
    assert all(len(role["name_prefix"]) <= 38 for role in resources["aws_iam_role"].values())


FORMS = [(renderable, form) for renderable in CATALOGUE for form in renderable.forms]


@pytest.mark.parametrize(("renderable", "form"), FORMS, ids=[f"{r.name}-{form}" for r, form in FORMS])
def test_the_same_settings_give_the_same_files(renderable: Any, form: str) -> None:
    settings = Settings("agents", "s3://acme-policies/agents", CHANNELS)

    assert render(renderable, form, settings) == render(renderable, form, settings) != {}
