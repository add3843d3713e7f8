"""The whole template as CloudFormation would carry it out in an account, without one: SAM translated, nothing open.

Parameters, conditions, maps and pseudo parameters are resolved, so that what is not made is not there; references to
resources stay. Stacks of the local emulator can be had as well, by their parameters.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.support.translation import translate

REGION = "us-east-1"
ACCOUNT = "123456789012"
_PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/hongyan/0",
    "AWS::StackName": "hongyan",
    "AWS::URLSuffix": "amazonaws.com",
}
_NOTHING: Any = object()

# What a deployment with everything that can be chosen is given besides.
WITH_DOMAINS = {
    "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000",
    "RestDomain": "api.example.com",
    "SocketDomain": "ws.example.com",
    "HostedZoneId": "Z0000000000000",
    "WebOrigin": "https://chat.example.com",
}
LOCAL = {
    "LocalHost": "127.0.0.1:4566",
    "TrafficShift": "Unwatched",
    "DatabaseUrl": "mysql+pymysql://functions@127.0.0.1/hongyan",
    "DatabaseOwnerUrl": "mysql+pymysql://owner@127.0.0.1/hongyan",
    "RedisUrl": "redis://127.0.0.1",
    "OpenSearchUrl": "http://127.0.0.1",
}


def production(**parameters: str) -> dict[str, Any]:
    """Return the template translated and resolved; a parameter that has no default and is not given is its own name.

    Example:
        production(**WITH_DOMAINS)["Resources"]["RestDomainName"]

    """
    return _resolved(tuple(sorted(parameters.items())))


def production_resources(resource_type: str, **parameters: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by their logical names."""
    found = production(**parameters)["Resources"].items()
    return {name: resource.get("Properties", {}) for name, resource in found if resource["Type"] == resource_type}


@cache
def _resolved(parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    template = translate(**dict(parameters))
    template.pop("Rules", None)  # of what may be given together: they make nothing
    declared: dict[str, dict[str, Any]] = template.pop("Parameters", {})
    defaults = {name: parameter.get("Default", name) for name, parameter in declared.items()}
    values = {name: str(value) for name, value in (_PSEUDO_PARAMETERS | defaults | dict(parameters)).items()}
    return _Resolver(values, template.pop("Mappings", {}), template.pop("Conditions", {})).template(template)


class _Resolver:
    """Resolves what needs no resource to be there (CloudFormation guide, intrinsic functions)."""

    def __init__(self, values: dict[str, str], mappings: dict[str, Any], conditions: dict[str, Any]) -> None:
        self._values = values
        self._mappings = mappings
        self._conditions = conditions
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::If": self._if,
            "Fn::Sub": self._sub,
            "Fn::FindInMap": self._find_in_map,
        }

    def template(self, template: dict[str, Any]) -> dict[str, Any]:
        kept = {
            section: {name: entry for name, entry in template.get(section, {}).items() if self._is_made(entry)}
            for section in ("Resources", "Outputs")
        }
        resolved: dict[str, Any] = self._value(template | kept)
        for resource in resolved["Resources"].values():
            self._drop_what_is_not_made(resource, resolved["Resources"])
        return resolved

    def _is_made(self, entry: dict[str, Any]) -> bool:
        return self._holds({"Condition": entry.pop("Condition")}) if "Condition" in entry else True

    @staticmethod
    def _drop_what_is_not_made(resource: dict[str, Any], made: dict[str, Any]) -> None:
        waits_for = resource.get("DependsOn")
        if isinstance(waits_for, list):
            resource["DependsOn"] = [name for name in waits_for if name in made]
        elif waits_for is not None and waits_for not in made:
            del resource["DependsOn"]

    def _holds(self, condition: Any) -> bool:
        [(function, operand)] = condition.items()
        match function:
            case "Condition":
                return self._holds(self._conditions[operand])
            case "Fn::Equals":
                first, second = (str(self._value(value)) for value in operand)
                return first == second
            case "Fn::Not":
                return not self._holds(operand[0])
            case "Fn::And":
                return all(self._holds(each) for each in operand)
            case "Fn::Or":
                return any(self._holds(each) for each in operand)
        raise AssertionError(f"no condition is known by {function}")

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._value, value) if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := self._functions.get(next(iter(value)))) is not None:
            return function(*value.values())
        resolved = {key: self._value(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NOTHING}

    def _ref(self, name: str) -> Any:
        return _NOTHING if name == "AWS::NoValue" else self._values.get(name, {"Ref": name})

    def _if(self, operands: list[Any]) -> Any:
        condition, then, otherwise = operands
        return self._value(then if self._holds({"Condition": condition}) else otherwise)

    def _find_in_map(self, operands: list[Any]) -> Any:
        name, first, second = (self._value(operand) for operand in operands)
        return self._mappings[name][first][second]

    def _sub(self, operand: Any) -> Any:
        text, own = (operand, {}) if isinstance(operand, str) else operand
        own = {name: self._value(value) for name, value in own.items()}
        known = self._values | {name: value for name, value in own.items() if isinstance(value, str)}
        filled = re.sub(r"\$\{([\w:.]+)\}", lambda found: known.get(found[1], found[0]), text)
        open_names = {name: value for name, value in own.items() if not isinstance(value, str)}
        if open_names:
            return {"Fn::Sub": [filled, open_names]}
        return {"Fn::Sub": filled} if re.search(r"\$\{[^!]", filled) else filled
