"""The store's bucket and everybody's role as a CloudFormation template, in JSON."""

from collections.abc import Sequence
from typing import Any

from builder.rendering.access import VERSION, Kind, Place, Principal, bucket_policy, policy_of
from builder.rendering.trusting import AUDIENCE, ISSUER, SERVICES, SUBJECT, TAGGED, people_of

_ARN_LIST = {"Type": "CommaDelimitedList", "AllowedPattern": "arn:.+"}


def template(name: str, bucket: str, prefix: str, everybody: Sequence[Principal]) -> dict[str, Any]:
    """Return the template for the store of the policy repository called `name`."""
    place = Place(bucket, prefix, partition="${AWS::Partition}")
    resources = {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": bucket,
                "VersioningConfiguration": {"Status": "Enabled"},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            },
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": _substituted(bucket_policy(place))},
        },
    }
    outputs: dict[str, Any] = {}
    for principal in everybody:
        logical = _logical_id(principal.name)
        resources |= _resources(principal, place, logical)
        outputs[f"{logical}Role"] = {
            "Description": principal.purpose,
            "Value": {"Fn::GetAtt": [f"{logical}Role", "Arn"]},
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Store of {name}, with the least rights for each who reaches it. "
        f"The account needs an OIDC provider for {ISSUER}.",
        "Parameters": _parameters(everybody),
        "Resources": resources,
        "Outputs": outputs,
    }


def _parameters(everybody: Sequence[Principal]) -> dict[str, Any]:
    repository = {
        "Type": "String",
        "AllowedPattern": "[A-Za-z0-9._-]+/[A-Za-z0-9._-]+",
        "Description": "OWNER/NAME of the policy repository on GitHub",
    }
    people = {
        _logical_id(people_of(principal)): _ARN_LIST
        | {"Description": f"ARNs of those who may take the role that {principal.purpose}"}
        for principal in everybody
        if Kind.PERSON in principal.kinds
    }
    return {"Repository": repository} | people


def _resources(principal: Principal, place: Place, logical: str) -> dict[str, Any]:
    role, policy = f"{logical}Role", f"{logical}Policy"
    resources: dict[str, Any] = {
        policy: {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "Description": f"Writ: {principal.purpose}",
                "PolicyDocument": _substituted(policy_of(principal, place)),
            },
        },
        role: {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Description": f"Writ: {principal.purpose}",
                "AssumeRolePolicyDocument": {"Version": VERSION, "Statement": _trust(principal)},
                "ManagedPolicyArns": [{"Ref": policy}],
            },
        },
    }
    if Kind.MACHINE in principal.kinds:
        profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": role}]}}
        resources[f"{logical}InstanceProfile"] = profile
    return resources


def _trust(principal: Principal) -> list[dict[str, Any]]:
    found: dict[Kind, dict[str, Any]] = {
        Kind.PIPELINE: {
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {
                "Federated": {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:oidc-provider/{ISSUER}"}
            },
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:aud": AUDIENCE,
                    f"{ISSUER}:sub": {"Fn::Sub": SUBJECT.format("${Repository}")},
                }
            },
        },
        Kind.MACHINE: {"Effect": "Allow", "Action": TAGGED, "Principal": {"Service": SERVICES}},
    }
    if Kind.PERSON in principal.kinds:
        found[Kind.PERSON] = {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": {"Ref": _logical_id(people_of(principal))}},
        }
    return [found[kind] for kind in principal.kinds]


def _substituted(value: Any) -> Any:
    """Return a document in which CloudFormation fills in what it has to."""
    if isinstance(value, str):
        return {"Fn::Sub": value} if "${" in value else value
    if isinstance(value, list):
        return [_substituted(each) for each in value]
    if isinstance(value, dict):
        return {key: _substituted(each) for key, each in value.items()}
    return value


def _logical_id(name: str) -> str:
    """Return a name without dashes that no other name has: all letters in it are small but those put in here."""
    return name[:1].upper() + name[1:].replace("-", "X")
