"""The templates are as CloudFormation wants them and as we want them. None of them was ever run against AWS from here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from s3batch.catalogue.inventory import COLUMNS
from s3sync.store.check import lifecycle_findings
from tests.deploy import rules
from tests.deploy.rules import RULES, Rule
from tests.deploy.templates import TEMPLATES, Resource, listed, read, resources, statements

KINDS = {
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::EIP",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::Volume",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::OpenSearchService::Domain",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
}
"""Kinds of resources that the rules were thought through for. A new one belongs here after its rules."""


def _bad(kind: str, properties: Mapping[str, Any], **more: object) -> Resource:
    return Resource("bad", "one", kind, {"Type": kind, "Properties": properties, **more})


def _policy(**statement: object) -> Resource:
    whole = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"} | statement
    return _bad("AWS::IAM::ManagedPolicy", {"PolicyDocument": {"Statement": [whole]}})


_MACHINE: dict[str, object] = {
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    "BlockDeviceMappings": [{"Ebs": {"Encrypted": True}}],
}
BROKEN: list[tuple[Rule, Resource]] = [
    (rules.no_wildcard_actions, _policy(Action="s3:*")),
    (rules.no_wildcard_actions, _policy(Action=["s3:GetObject", "s3:Put*"])),
    (rules.no_wildcard_resources, _policy(Resource="*")),
    (rules.no_wildcard_resources, _policy(Resource={"Fn::If": ["Some", "arn:aws:s3:::b/*", "*"]})),
    (rules.nobody_is_everybody, _policy(Principal="*")),
    (rules.nobody_is_everybody, _policy(Principal={"AWS": ["*"]})),
    (rules.encrypted, _bad("AWS::S3::Bucket", {})),
    (rules.encrypted, _bad("AWS::EC2::Volume", {"Encrypted": False})),
    (rules.encrypted, _bad("AWS::EC2::LaunchTemplate", {"LaunchTemplateData": _MACHINE | {"BlockDeviceMappings": [{}]}})),
    (rules.encrypted, _bad("AWS::SNS::Topic", {})),
    (rules.encrypted, _bad("AWS::KMS::Key", {})),
    (rules.encrypted, _bad("AWS::OpenSearchService::Domain", {})),
    (rules.not_public, _bad("AWS::S3::Bucket", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}})),
    (
        rules.nobody_comes_in_by_default,
        _bad("AWS::EC2::SecurityGroup", {"SecurityGroupIngress": [{"FromPort": 22, "CidrIp": "0.0.0.0/0"}]}),
    ),
    (
        rules.nobody_comes_in_by_default,
        _bad(
            "AWS::EC2::SecurityGroup",
            {"SecurityGroupIngress": [{"Fn::If": ["Some", {"FromPort": 22, "CidrIpv6": "::/0"}, {"Ref": "AWS::NoValue"}]}]},
        ),
    ),
    (
        rules.credentials_by_sessions_only,
        _bad("AWS::EC2::LaunchTemplate", {"LaunchTemplateData": {"MetadataOptions": {"HttpTokens": "optional"}}}),
    ),
    (rules.what_holds_data_stays, _bad("AWS::S3::Bucket", {}, DeletionPolicy="Retain")),
    (rules.what_holds_data_stays, _bad("AWS::EC2::Volume", {}, DeletionPolicy="Delete", UpdateReplacePolicy="Retain")),
]
"""For every rule, resources that break it."""


@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say() -> None:
    """cfn-lint, which knows CloudFormation's own schemas, is silent, for each region a host is likely to be in."""
    regions = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
    words = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", *regions, "--template", *map(str, TEMPLATES)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)

    assert (0, "", "") == (ended.returncode, ended.stdout.strip(), ended.stderr)


@pytest.mark.parametrize("resource", resources(), ids=str)
def test_every_resource_keeps_the_rules(resource: Resource) -> None:
    """No wildcards, all encrypted, nothing public, nobody in by default, IMDSv2, and data outlives its stack."""
    assert [] == [f"{resource} {wrong}" for rule in RULES for wrong in rule(resource)]
    assert resource.kind in KINDS


@pytest.mark.parametrize(("rule", "resource"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_every_rule_can_be_broken(rule: Rule, resource: Resource) -> None:
    """Each rule finds what it is there for."""
    assert [] != list(rule(resource))
    assert set(RULES) == {rule for rule, _ in BROKEN}


@pytest.mark.parametrize("resource", [one for one in resources() if one.kind == "AWS::S3::Bucket"], ids=str)
def test_every_bucket_takes_tls_alone(resource: Resource) -> None:
    """A policy of each bucket refuses what comes in the clear."""
    policies = [one for one in resources(resource.template) if one.properties.get("Bucket") == {"Ref": resource.name}]
    refusals = [one for policy in policies for one in statements(policy) if one["Effect"] == "Deny" and one["Action"] == "s3:*"]

    assert {"Bool": {"aws:SecureTransport": "false"}} in [one["Condition"] for one in refusals]


def test_nobody_may_delete_or_thaw_on_a_drop_host() -> None:
    """The packing policy knows neither word; no policy at all deletes."""
    allowed = {
        resource.name: {action for one in statements(resource) for action in listed(one["Action"])}
        for resource in resources("host")
        if resource.kind == "AWS::IAM::ManagedPolicy"
    }

    assert "s3:RestoreObject" not in allowed["PackingPolicy"]
    assert "s3:RestoreObject" in allowed["RestoringPolicy"]
    assert [] == [action for actions in allowed.values() for action in actions if "Delete" in action and action[:2] != "es"]


def test_roles_are_taken_by_machines_only() -> None:
    """Nobody but EC2 assumes a role of ours."""
    trusts = [one.properties["AssumeRolePolicyDocument"] for one in resources("host") if one.kind == "AWS::IAM::Role"]

    assert [[{"Service": "ec2.amazonaws.com"}]] * 2 == [[one["Principal"] for one in trust["Statement"]] for trust in trusts]


def test_doctor_has_nothing_against_the_buckets() -> None:
    """The lifecycle rule of an archive bucket aborts unfinished uploads and touches no manifest, in doctor's own judgement."""
    (bucket,) = [one for one in resources("buckets") if one.name == "Bucket"]
    shown = [
        {"ID": rule["Id"], "Filter": {}, **{name: value for name, value in rule.items() if name != "Id"}}
        for rule in bucket.properties["LifecycleConfiguration"]["Rules"]
    ]

    assert [(True, "")] == [(one.ok, one.hint) for one in lifecycle_findings("lifecycle", shown)]


def test_the_inventory_is_what_verify_reads_by_itself() -> None:
    """CSV of current versions without further fields has the columns that `index verify --inventory` takes for granted."""
    (bucket,) = [one for one in resources("buckets") if one.name == "Bucket"]
    ((inventory,),) = listed({"Fn::If": ["", bucket.properties["InventoryConfigurations"], {"Ref": "AWS::NoValue"}]})

    assert ("CSV", "Current", None) == (
        inventory["Destination"]["Format"],
        inventory["IncludedObjectVersions"],
        inventory.get("OptionalFields"),
    )
    assert "Bucket, Key" == COLUMNS


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_defaults_fit_what_parameters_take(path: Path) -> None:
    """Every default fits the pattern and the values allowed; or nothing would start."""
    for name, said in read(path)["Parameters"].items():
        default = said.get("Default")
        if default is not None and "AllowedPattern" in said:
            assert re.fullmatch(said["AllowedPattern"], str(default)), name
        if default is not None and "AllowedValues" in said:
            assert default in said["AllowedValues"], name
