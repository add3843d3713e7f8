"""template.yaml and stores.yaml as tests read them: which function answers which route, how a store is protected."""

import importlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
STORES = TEMPLATE.with_name("stores.yaml")

Handler = Callable[[dict[str, Any], Any], Any]


class RestRoute(NamedTuple):
    """A path of the REST API as the gateway matches it."""

    path: str
    method: str
    is_open: bool
    handler: str

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\\\{proxy\\\+\\\}", ".+", re.escape(self.path))
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
        return self.method in (method, "ANY") and re.fullmatch(pattern, path) is not None


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, kept as {tag: value}."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


@cache
def template(file: Path = TEMPLATE) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(file.read_text(), _Loader)  # noqa: S506  # a safe loader of ours
    return loaded


def resources(resource_type: str, file: Path = TEMPLATE) -> dict[str, dict[str, Any]]:
    """Return the properties of each resource of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template(file)["Resources"].items()
        if resource["Type"] == resource_type
    }


@cache
def rest_routes() -> list[RestRoute]:
    routes = [
        RestRoute(
            event["Properties"]["Path"],
            event["Properties"]["Method"],
            event["Properties"].get("Auth", {}).get("Authorizer") == "NONE",
            function["Handler"],
        )
        for function in resources("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    # API Gateway prefers the literal path to the variable, the variable to the greedy, and the named method to ANY.
    return sorted(routes, key=lambda r: ("{proxy+}" in r.path, "{" in r.path, r.method == "ANY"))


def socket_handler(route: str) -> Handler:
    """Return what answers frames of an action, or of `$connect`, `$disconnect`; unknown ones go to `$default`."""
    routes = template()["Resources"]["SocketApi"]["Properties"]["Routes"]
    alias: str = routes.get(route, routes["$default"])["FunctionArn"]["Ref"]
    return load(resources("AWS::Serverless::Function")[alias.removesuffix(".Alias")]["Handler"])


def load(handler: str) -> Handler:
    module, _, name = handler.rpartition(".")
    loaded: Handler = getattr(importlib.import_module(module), name)
    return loaded
