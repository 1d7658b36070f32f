"""The CloudFormation templates, read as CloudFormation reads them: each short form (`!Ref`) becomes its long one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
TEMPLATES = tuple(sorted(DEPLOY.glob("*.yaml")))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """YAML with CloudFormation's tags."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, object]:
    value: object
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


yaml.add_multi_constructor("!", _short_form, Loader=_Loader)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a template."""

    template: str
    name: str
    kind: str
    said: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """What it is to be."""
        found: Mapping[str, Any] = self.said.get("Properties", {})
        return found

    def __str__(self) -> str:
        return f"{self.template}:{self.name}"


def read(path: Path) -> dict[str, Any]:
    """Return a template."""
    loaded: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    return loaded


def resources(name: str | None = None) -> list[Resource]:
    """Return the resources of one template, or of all."""
    return [
        Resource(path.stem, key, said["Type"], said)
        for path in TEMPLATES
        if name in {None, path.stem}
        for key, said in read(path)["Resources"].items()
    ]


def both_branches(value: object) -> Iterator[Any]:
    """Yield what a value may come to: both branches of each `Fn::If`, without those that are nothing."""
    if isinstance(value, Mapping) and value.keys() == {"Fn::If"}:
        for branch in value["Fn::If"][1:]:
            yield from both_branches(branch)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def listed(value: object) -> list[Any]:
    """Return the entries of what is one thing or a list of things, those of both branches of a condition among them."""
    entries = value if isinstance(value, list) else [value]
    return [one for entry in entries for one in both_branches(entry)]


def statements(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """Yield every statement of every policy a resource bears, wherever it bears it."""
    yield from _statements(resource.properties)


def _statements(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield from listed(value["Statement"])
        for inner in value.values():
            yield from _statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _statements(inner)
