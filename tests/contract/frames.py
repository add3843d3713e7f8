"""Holds every frame on a socket against ``docs/asyncapi.yaml``, which clients are written from.

Which schema a frame must match is read from the document too: a client's frame is found by its ``action``, a server's
by its ``type``, an event by its own ``type``, so that what is wrong is said of the right one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT7

DOCUMENT_PATH = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
_DOCUMENT_URI = "urn:hongyan:asyncapi"
_LONGEST_REASON = 300

Frame = str | bytes | Mapping[str, Any]
Schema = dict[str, Any]
Tag = Literal["action", "type"]


def check_server_frame(frame: Frame) -> None:
    """Check an answer or a frame of events: as it came (text, then its size counts too), or already parsed.

    Raises:
        AssertionError: it is not as the document says; the message names each path and reason.

    """
    parsed = _parse(frame)
    _check_by_tag(parsed, "type", _server_schemas())


def check_client_frame(frame: Frame) -> None:
    """Check a client's frame: as it goes out (text, then its size counts too), or not yet serialised.

    Raises:
        AssertionError: it is not as the document says; the message names each path and reason.

    """
    parsed = _parse(frame)
    _check_by_tag(parsed, "action", _client_schemas())


@cache
def document() -> dict[str, Any]:
    """Return the parsed document."""
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    return loaded


def lookup(reference: str) -> dict[str, Any]:
    """Return what ``#/...`` stands for, through references to references.

    Raises:
        referencing.exceptions.Unresolvable: there is no such place.

    """
    found: dict[str, Any] = _registry().resolver(_DOCUMENT_URI).lookup(reference).contents
    return lookup(found["$ref"]) if "$ref" in found else found


def faults(instance: object, schema_reference: str, at: str = "$") -> list[str]:
    """Return what keeps ``instance`` from matching the schema, each as ``path: reason``; ``at`` is its own path."""
    found = _causes(_validator(schema_reference).iter_errors(instance))
    return [f"{at}{fault.json_path[1:]}: {fault.message[:_LONGEST_REASON]}" for fault in found]


@cache
def _registry() -> Registry[Any]:
    registry: Registry[Any] = Registry().with_resource(_DOCUMENT_URI, DRAFT7.create_resource(document()))
    return registry


@cache
def _validator(schema_reference: str) -> Draft7Validator:
    # AsyncAPI's schemas are JSON Schema draft 07 (AsyncAPI 3.0.0, Schema Object).
    return Draft7Validator(
        {"$ref": f"{_DOCUMENT_URI}{schema_reference}"},
        registry=_registry(),
        format_checker=Draft7Validator.FORMAT_CHECKER,
    )


def _causes(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    for error in errors:
        meant = _branch_meant(error)
        if meant:
            yield from _causes(meant)
        else:
            yield error


def _branch_meant(error: ValidationError) -> list[ValidationError]:
    """Return what is wrong by the only branch of a ``oneOf`` that is for values of this type (the others: ``null``)."""
    branches: dict[int | str, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    fitting = [inners for inners in branches.values() if not any(map(_is_of_another_type, inners))]
    return fitting[0] if len(fitting) == 1 else []


def _is_of_another_type(error: ValidationError) -> bool:
    return error.validator == "type" and not error.relative_path


def _parse(frame: Frame) -> Mapping[str, Any]:
    if isinstance(frame, Mapping):
        return frame
    if isinstance(frame, bytes):
        raise AssertionError("$: is a binary frame, not text")  # noqa: TRY004  # a finding, not a misuse
    _check_size(frame)
    parsed = _parse_json(frame)
    if not isinstance(parsed, dict):
        raise AssertionError(f"$: is not an object but {type(parsed).__name__}")  # noqa: TRY004  # likewise
    return parsed


def _parse_json(text: str) -> Any:
    try:
        parsed = json.loads(text, object_pairs_hook=_object_of_distinct_names, parse_constant=_refuse_constant)
    except ValueError as error:
        raise AssertionError(f"$: is not JSON: {error}") from error
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise AssertionError(f"$: escapes a lone surrogate, which many clients cannot read: {error}") from error
    return parsed


def _check_size(text: str) -> None:
    limit: int = document()["channels"]["socket"]["x-max-frame-bytes"]
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise AssertionError(f"$: is not Unicode text: {error}") from error
    if size > limit:
        raise AssertionError(f"$: has {size} bytes, more than the {limit} of a frame")


def _object_of_distinct_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice in an object of {names}")
    return dict(pairs)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _check_by_tag(frame: Mapping[str, Any], tag: Tag, schemas: dict[str, list[str]]) -> None:
    reference = _chosen(frame, schemas, tag, at="$")
    found = _faults_of_events(frame) or faults(frame, reference)
    if found:
        raise AssertionError("\n".join(found))


def _faults_of_events(frame: Mapping[str, Any]) -> list[str]:
    events = frame.get("events")
    if frame.get("type") != "events" or not isinstance(events, list):
        return []
    return [fault for index, event in enumerate(events) for fault in _faults_of_event(event, f"$.events[{index}]")]


def _faults_of_event(event: object, at: str) -> list[str]:
    if not isinstance(event, Mapping):
        return [f"{at}: is not an object"]
    return faults(event, _chosen(event, _event_schemas(), "type", at), at)


def _chosen(tagged: Mapping[str, Any], schemas: dict[str, list[str]], tag: Tag, at: str) -> str:
    value = tagged.get(tag)
    if not isinstance(value, str) or value not in schemas:
        raise AssertionError(f"{at}.{tag}: is {value!r}, none of {sorted(schemas)}")
    return max(schemas[value], key=lambda reference: _names_in_common(tagged.get("data"), reference))


def _names_in_common(data: object, frame_schema: str) -> int:
    """Count the members of ``data`` that the schema names: nothing else tells an ack to `send` from one to `read`."""
    named = lookup(frame_schema)["properties"].get("data", {})
    described = lookup(named["$ref"]) if "$ref" in named else named
    return len(set(described.get("properties", ())).intersection(data if isinstance(data, Mapping) else ()))


@cache
def _client_schemas() -> dict[str, list[str]]:
    operations = document()["operations"].values()
    return _by_tag("action", (message for op in operations if op["action"] == "receive" for message in op["messages"]))


@cache
def _server_schemas() -> dict[str, list[str]]:
    operations = document()["operations"].values()
    replies = [message for op in operations if "reply" in op for message in op["reply"]["messages"]]
    sent = [message for op in operations if op["action"] == "send" for message in op["messages"]]
    return _by_tag("type", [*replies, *sent])


@cache
def _event_schemas() -> dict[str, list[str]]:
    return _grouped("type", (branch["$ref"] for branch in lookup("#/components/schemas/Event")["oneOf"]))


def _by_tag(tag: Tag, messages: Iterable[Schema]) -> dict[str, list[str]]:
    return _grouped(tag, (lookup(message["$ref"])["payload"]["$ref"] for message in messages))


def _grouped(tag: Tag, schema_references: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for reference in dict.fromkeys(schema_references):
        grouped.setdefault(lookup(reference)["properties"][tag]["const"], []).append(reference)
    return grouped
