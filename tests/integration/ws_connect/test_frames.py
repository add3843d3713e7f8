"""Frames that are none, and answers that are always one."""

import json
from collections.abc import Callable

import pytest

from tests.support.gateway import Socket
from tests.support.people import Person, a_text

People = Callable[[str], Person]


@pytest.fixture
def socket(person: People) -> Socket:
    return person("alice").connect()


def test_a_ping_is_answered_with_its_id(socket: Socket) -> None:
    assert socket.send(action="ping", id="p-1") == {"type": "pong", "id": "p-1", "data": {"resync": False}}
    assert socket.send(action="ping")["id"] is None


@pytest.mark.parametrize("text", ["", "{", "ping", "[]", '"ping"', "7", "null", "[" * 10_000, '{"action": "ping"} x'])
def test_a_frame_that_is_no_json_object_is_refused(socket: Socket, text: str) -> None:
    answer = socket.send_raw(text)

    assert (answer["type"], answer["data"]["code"]) == ("error", "invalid_frame")


def test_a_binary_frame_is_refused(socket: Socket) -> None:
    assert socket.send_raw("eyJhY3Rpb24iOiJwaW5nIn0=", is_binary=True)["data"]["code"] == "invalid_frame"


@pytest.mark.parametrize("action", ["dance", "", None, 7, ["ping"], "PING"])
def test_an_unknown_action_is_refused_with_its_id(socket: Socket, action: object) -> None:
    answer = socket.send_raw(json.dumps({"action": action, "id": "f-1"}))

    assert (answer["type"], answer["id"], answer["data"]["code"]) == ("error", "f-1", "unknown_action")


def test_a_frame_over_32_kib_is_refused(socket: Socket) -> None:
    limit = 32 * 1024
    frame = '{"action": "ping", "id": "p"}'
    assert socket.send_raw(frame + " " * (limit - len(frame)))["type"] == "pong"

    for text in (frame + " " * (limit - len(frame) + 1), '"' + "鸿" * 11_000 + '"'):
        assert socket.send_raw(text)["data"]["code"] == "frame_too_large"


@pytest.mark.parametrize("frame_id", [7, "x" * 65, ["p"], {"p": 1}, "a\nb"])
def test_an_id_that_cannot_be_answered_is_refused(socket: Socket, frame_id: object) -> None:
    answer = socket.send_raw(json.dumps({"action": "ping", "id": frame_id}))

    assert (answer["id"], answer["data"]["code"]) == (None, "validation_failed")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"conversation_id": "x", "message": a_text("x")},
        {"conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "message": "hi"},
        {"conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "message": a_text(" ")},
        {"conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "message": a_text("x"), "colour": "red"},
    ],
)
def test_a_send_of_other_form_is_refused_with_its_id(socket: Socket, fields: dict[str, object]) -> None:
    answer = socket.send_raw(json.dumps({"action": "send", "id": "f-1", **fields}))

    assert (answer["type"], answer["id"], answer["data"]["code"]) == ("error", "f-1", "validation_failed")
    assert answer["data"]["errors"]


def test_a_ping_with_fields_is_refused(socket: Socket) -> None:
    assert socket.send_raw('{"action": "ping", "colour": "red"}')["data"]["code"] == "validation_failed"


def test_sending_to_a_conversation_one_is_not_in_is_refused(socket: Socket) -> None:
    answer = socket.send(
        action="send", id="f-1", conversation_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", message=a_text("hello?")
    )

    assert answer["data"]["code"] == "conversation_not_found"


def test_lone_surrogates_are_refused(socket: Socket) -> None:
    frame = (
        '{"action": "send", "id": "f", "conversation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "message": {"client_id": "c", '
    )
    answer = socket.send_raw(frame + '"type": "text", "content": {"text": "\\ud83d"}}}')

    assert answer["data"]["code"] == "validation_failed"


def test_errors_come_in_the_language_of_the_handshake(person: People) -> None:
    alice = person("alice")
    socket = Socket.open(alice.management, token=alice.token, language="zh")

    assert socket.send_raw("x")["data"]["title"] == "帧无效"
