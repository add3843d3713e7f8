"""``docs/asyncapi.yaml`` is a valid AsyncAPI 3.0.0 document, as far as it goes.

AsyncAPI's own JSON schema is published for Node only, so the rules for the kinds of objects that the document uses are
held here (AsyncAPI 3.0.0, https://www.asyncapi.com/docs/reference/specification/v3.0.0).
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft7Validator

from tests.contract.frames import document, faults, lookup

Object = dict[str, Any]


class Kind(NamedTuple):
    """The fields of a kind of object of the specification."""

    required: frozenset[str]
    optional: frozenset[str]


def _kind(required: str, optional: str) -> Kind:
    return Kind(frozenset(required.split()), frozenset(optional.split()))


ROOT = _kind("asyncapi info", "id servers defaultContentType channels operations components")
INFO = _kind("title version", "description termsOfService contact license tags externalDocs")
SERVER = _kind(
    "host protocol",
    "protocolVersion pathname description title summary variables security tags externalDocs bindings",
)
SERVER_VARIABLE = _kind("", "enum default description examples")
CHANNEL = _kind("", "address messages title summary description servers parameters tags externalDocs bindings")
OPERATION = _kind(
    "action channel", "title summary description security tags externalDocs bindings traits messages reply"
)
REPLY = _kind("", "address channel messages")
MESSAGE = _kind(
    "payload examples",  # the specification asks for neither; readers of this document do
    "headers correlationId contentType name title summary description tags externalDocs bindings traits",
)
EXAMPLE = _kind("name payload", "headers summary")
CORRELATION_ID = _kind("location", "description")
COMPONENTS = _kind(
    "",
    "schemas servers channels operations messages securitySchemes serverVariables parameters correlationIds replies"
    " replyAddresses externalDocs tags operationTraits messageTraits serverBindings channelBindings operationBindings"
    " messageBindings",
)
WS_CHANNEL_BINDING = _kind("", "method query headers bindingVersion")
HTTP_API_KEY = _kind("type name in", "description")
HTTP_BEARER = _kind("type scheme", "description bearerFormat")


def _objects() -> Iterator[Any]:
    doc = document()
    components = doc["components"]
    yield pytest.param(doc, ROOT, id="document")
    yield pytest.param(doc["info"], INFO, id="info")
    yield pytest.param(components, COMPONENTS, id="components")
    for name, server in doc["servers"].items():
        yield pytest.param(server, SERVER, id=f"server {name}")
        for variable, described in server["variables"].items():
            yield pytest.param(described, SERVER_VARIABLE, id=f"server {name} variable {variable}")
    for name, channel in doc["channels"].items():
        yield pytest.param(channel, CHANNEL, id=f"channel {name}")
        yield pytest.param(channel["bindings"]["ws"], WS_CHANNEL_BINDING, id=f"channel {name} binding")
    for name, operation in doc["operations"].items():
        yield pytest.param(operation, OPERATION, id=f"operation {name}")
        if "reply" in operation:
            yield pytest.param(operation["reply"], REPLY, id=f"operation {name} reply")
    for name, message in components["messages"].items():
        yield pytest.param(message, MESSAGE, id=f"message {name}")
        for example in message["examples"]:
            yield pytest.param(example, EXAMPLE, id=f"message {name} example {example['name']}")
    for name, correlation_id in components["correlationIds"].items():
        yield pytest.param(correlation_id, CORRELATION_ID, id=f"correlation id {name}")
    for name, scheme in components["securitySchemes"].items():
        yield pytest.param(
            scheme, HTTP_API_KEY if scheme["type"] == "httpApiKey" else HTTP_BEARER, id=f"security scheme {name}"
        )


def _nested(node: object) -> Iterator[Object]:
    if isinstance(node, list):
        for item in node:
            yield from _nested(item)
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nested(value)


def _references(node: object) -> list[Object]:
    return [found for found in _nested(node) if "$ref" in found]


def _schemas() -> dict[str, Object]:
    schemas: dict[str, Object] = document()["components"]["schemas"]
    return schemas


def _ways(operation: Object) -> Iterator[Object]:
    """Yield what refers to a channel and to some of its messages: the operation, and its reply if it has one."""
    yield operation
    if "reply" in operation:
        yield operation["reply"]


@pytest.mark.parametrize(("described", "kind"), list(_objects()))
def test_each_object_has_the_fields_of_its_kind_and_no_others(described: Object, kind: Kind) -> None:
    fields = {name for name in described if not name.startswith("x-")}

    assert fields >= kind.required
    assert fields <= kind.required | kind.optional


def test_the_document_is_of_asyncapi_3_0_0() -> None:
    assert document()["asyncapi"] == "3.0.0"


def test_every_reference_leads_somewhere_and_stands_alone() -> None:
    references = _references(document())

    assert references
    for reference in references:
        assert set(reference) == {"$ref"}, "draft 07 ignores what stands beside a $ref"
        assert lookup(reference["$ref"])


def test_every_component_has_a_name_that_the_specification_allows_and_is_used() -> None:
    used = {reference["$ref"] for reference in _references(document())}

    for section, named in document()["components"].items():
        for name in named:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
            assert f"#/components/{section}/{name}" in used


@pytest.mark.parametrize("name", document()["servers"])
def test_a_servers_address_uses_exactly_the_variables_it_declares(name: str) -> None:
    server = document()["servers"][name]

    assert set(re.findall(r"{(\w+)}", server["host"] + server["pathname"])) == set(server["variables"])


@pytest.mark.parametrize("name", document()["operations"])
def test_an_operation_and_its_reply_use_messages_of_their_channel(name: str) -> None:
    operation = document()["operations"][name]

    assert operation["action"] in {"send", "receive"}
    for way in _ways(operation):
        channel = way["channel"]["$ref"]
        assert channel.removeprefix("#/channels/") in document()["channels"]
        assert way["messages"]
        for message in way["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_every_message_is_of_some_operation() -> None:
    used = {
        message["$ref"] for op in document()["operations"].values() for way in _ways(op) for message in way["messages"]
    }

    assert used == {f"#/channels/socket/messages/{name}" for name in document()["channels"]["socket"]["messages"]}


@pytest.mark.parametrize("name", document()["components"]["messages"])
def test_the_examples_of_a_message_match_its_schema(name: str) -> None:
    message = document()["components"]["messages"][name]

    assert message["examples"]
    for example in message["examples"]:
        assert faults(example["payload"], message["payload"]["$ref"]) == []


def test_every_type_of_event_has_an_example() -> None:
    shown = {
        event["type"]
        for example in lookup("#/components/messages/events")["examples"]
        for event in example["payload"]["events"]
    }
    branches = lookup("#/components/schemas/Event")["oneOf"]

    assert shown == {lookup(branch["$ref"])["properties"]["type"]["const"] for branch in branches}


def test_every_error_code_is_explained() -> None:
    problem = lookup("#/components/schemas/Problem")

    explained = re.findall(r"^\| `(\w+)` \| \d{3} \|", problem["description"], flags=re.MULTILINE)

    assert explained == problem["properties"]["code"]["enum"]


def test_the_explained_status_of_an_error_code_is_the_one_that_is_checked() -> None:
    problem = lookup("#/components/schemas/Problem")

    for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", problem["description"], flags=re.MULTILINE):
        body = {"type": f"urn:hongyan:problem:{code}", "title": "t", "detail": "d", "code": code, "request_id": "r"}
        assert faults({**body, "status": int(status)}, "#/components/schemas/Problem") == []
        assert faults({**body, "status": 418}, "#/components/schemas/Problem") != []


@pytest.mark.parametrize("name", _schemas())
def test_a_schema_is_a_json_schema_of_draft_07(name: str) -> None:
    Draft7Validator.check_schema(_schemas()[name])


@pytest.mark.parametrize("name", _schemas())
def test_an_objects_schema_requires_only_what_it_describes_and_forbids_the_rest(name: str) -> None:
    for schema in _nested(_schemas()[name]):
        if "required" in schema:
            assert set(schema["required"]) <= set(schema["properties"])
            assert schema["additionalProperties"] is False


def test_every_format_in_the_schemas_is_one_that_is_checked() -> None:
    formats = {schema["format"] for schema in _nested(_schemas()) if isinstance(schema.get("format"), str)}

    assert formats == {"date-time"}
    assert formats <= set(Draft7Validator.FORMAT_CHECKER.checkers)
