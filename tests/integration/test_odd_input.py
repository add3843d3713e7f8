"""Whatever a client sends to whatever endpoint, it is refused in the contract's form and never breaks anything."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.openapi import document
from tests.support.gateway import LambdaContext, request
from tests.support.people import Person
from tests.support.template import load

People = Callable[[str], Person]

_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
_ODD_VALUES: list[Any] = [
    None, True, 0, -1, 2**63, 1e308, "", " ", "\u0000", "\ud800", "编号", "🪿" * 20, "x" * 3_000, "' OR 1=1 -- ", "%",
    "../..", "\u202e", "+8613800138000", _ULID, [], [None], [[]], {}, {"a": {}}, [_ULID] * 600,
]  # fmt: skip
_ODD_BODIES: list[Any] = [None, True, 7, "x", [], [{}], {}, {"": ""}, {"\ud800": 1}, {"__class__": "x"}]


def endpoints() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document()["paths"].items():
        yield from ((method.upper(), path, operation) for method, operation in operations.items())


def fields(schema: dict[str, Any]) -> set[str]:
    """Return the names of all fields that a body may have, in whichever of its forms."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    names = set(schema.get("properties", {}))
    for form in schema.get("oneOf", []) + schema.get("anyOf", []):
        names |= fields(form)
    return names


def json_of(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a body, an empty one if it is bytes."""
    schema: dict[str, Any] = operation["requestBody"]["content"].get("application/json", {}).get("schema", {})
    return schema


_WITH_BODY = [
    pytest.param(method, path, sorted(fields(json_of(operation))), id=f"{method} {path}")
    for method, path, operation in endpoints()
    if "requestBody" in operation
]  # fmt: skip
_WITH_PARAMETERS = [
    pytest.param(method, path, operation["parameters"], id=f"{method} {path}")
    for method, path, operation in endpoints()
    if operation.get("parameters")
]


@pytest.mark.parametrize(("method", "path", "names"), _WITH_BODY)
@pytest.mark.usefixtures("bucket")
def test_an_odd_body_is_refused_or_taken_and_breaks_nothing(
    person: People, method: str, path: str, names: list[str]
) -> None:
    alice = person("alice")
    path = re.sub(r"{(\w+)}", lambda name: "1" if name[1] == "seq" else _ULID, path)
    bodies = [*_ODD_BODIES, *({name: value} for name in names for value in _ODD_VALUES)]
    # All fields odd in the same way, so that what stands behind the first refusal is met too.
    bodies += [dict.fromkeys(names, value) for value in _ODD_VALUES]

    for body in bodies:
        answer = request(method, path, token=alice.token, body=body)
        assert answer.status < 500, (body, answer.text)
        assert answer.status < 400 or answer.code


@pytest.mark.parametrize(("method", "path", "parameters"), _WITH_PARAMETERS)
def test_odd_parameters_are_refused_or_taken_and_break_nothing(
    person: People, method: str, path: str, parameters: list[dict[str, Any]]
) -> None:
    for module in ("user", "message"):  # without an index searching is a 503
        load(f"functions.{module}.reindex.handler")({}, LambdaContext())
    alice = person("alice")
    odd = [
        "",
        " ",
        "0",
        "-1",
        "1e3",
        str(2**64),
        "x",
        "编号",
        "🪿",
        "%00",
        "x" * 600,
        _ULID,
        _ULID.lower(),
        "' OR 1=1 -- ",
    ]

    for parameter in parameters:
        for value in odd:
            url = path
            for other in parameters:
                if other["in"] == "path":
                    given = value if other is parameter else _ULID
                    url = url.replace(f"{{{other['name']}}}", quote(given, safe="%") or "%20")
            if parameter["in"] == "query":
                required = {p["name"]: "incoming" for p in parameters if p["in"] == "query" and p.get("required")}
                query = {**required, parameter["name"]: value}
                url += "?" + "&".join(f"{name}={quote(given, safe='%')}" for name, given in query.items())
            answer = request(method, url, token=alice.token, body={} if method in {"POST", "PUT", "PATCH"} else None)
            assert answer.status < 500, (url, answer.text)
            assert answer.status < 400 or answer.code
