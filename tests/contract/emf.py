"""CloudWatch's embedded metric format, as its specification has it: what a line must be for metrics to come of it."""

import json
from typing import Any, NamedTuple

import jsonschema

# CloudWatch User Guide, "Specification: Embedded metric format". Units: CloudWatch API, MetricDatum.
_UNITS = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    *(f"{prefix}{kind}" for kind in ("bytes", "bits") for prefix in ("Kilo", "Mega", "Giga", "Tera")),
    *(f"{prefix}{kind}/Second" for kind in ("bytes", "bits") for prefix in ("Kilo", "Mega", "Giga", "Tera")),
    "Bytes",
    "Bits",
    "Bytes/Second",
    "Bits/Second",
    "Percent",
    "Count",
    "Count/Second",
    "None",
]
_MOST_BYTES = 1024 * 1024

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": _UNITS},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                    "additionalProperties": False,
                                },
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
        },
    },
}
# What the members that a directive refers to must be.
_DIMENSION_VALUE = {"type": "string", "minLength": 1, "maxLength": 1024}
_METRIC_VALUE = {
    "anyOf": [{"type": "number"}, {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "number"}}]
}


class Line(NamedTuple):
    """What a line says: the values of each metric, their units, and the dimensions that all of them have."""

    namespace: str
    dimensions: dict[str, str]
    values: dict[str, list[float]]
    units: dict[str, str]


def lines_in(output: str) -> list[Line]:
    """Return the metric lines among what a function has printed; each must be as the specification wants it."""
    return [_line(text) for text in output.splitlines() if text.startswith('{"_aws"')]


def _line(text: str) -> Line:
    assert len(text.encode()) <= _MOST_BYTES
    root = json.loads(text)
    jsonschema.validate(root, _SCHEMA)
    [directive] = root["_aws"]["CloudWatchMetrics"]
    [names] = directive["Dimensions"]
    for name in names:
        jsonschema.validate(root[name], _DIMENSION_VALUE)
    for metric in directive["Metrics"]:
        jsonschema.validate(root[metric["Name"]], _METRIC_VALUE)
    return Line(
        directive["Namespace"],
        {name: root[name] for name in names},
        {metric["Name"]: _values(root[metric["Name"]]) for metric in directive["Metrics"]},
        {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]},
    )


def _values(member: float | list[float]) -> list[float]:
    return member if isinstance(member, list) else [member]
