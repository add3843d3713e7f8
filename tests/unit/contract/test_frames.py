"""The frame checker takes what the document shows and refuses what it rules out, saying where and why."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.contract.frames import check_client_frame, check_server_frame, document, lookup

Payload = dict[str, Any]
Change = Callable[[Payload], object]

CLIENT_MESSAGES = ["ping", "send", "read"]
SERVER_MESSAGES = ["pong", "sendAck", "readAck", "error", "events"]


def _examples(names: list[str]) -> list[Any]:
    messages = document()["components"]["messages"]
    return [
        pytest.param(example["payload"], id=f"{name}.{example['name']}")
        for name in names
        for example in messages[name]["examples"]
    ]


def _example(message: str, name: str) -> Payload:
    examples = lookup(f"#/components/messages/{message}")["examples"]
    return deepcopy(next(example["payload"] for example in examples if example["name"] == name))


def _set(value: object, *path: str | int) -> Change:
    *way, last = path

    def change(frame: Payload) -> None:
        place: Any = frame
        for step in way:
            place = place[step]
        place[last] = value

    return change


def _remove(*path: str | int) -> Change:
    *way, last = path

    def change(frame: Payload) -> None:
        place: Any = frame
        for step in way:
            place = place[step]
        del place[last]

    return change


@pytest.mark.parametrize("frame", _examples(CLIENT_MESSAGES))
def test_the_examples_of_a_clients_frames_pass_as_objects_and_as_text(frame: Payload) -> None:
    check_client_frame(frame)
    check_client_frame(json.dumps(frame, ensure_ascii=False))


@pytest.mark.parametrize("frame", _examples(SERVER_MESSAGES))
def test_the_examples_of_the_servers_frames_pass_as_objects_and_as_text(frame: Payload) -> None:
    check_server_frame(frame)
    check_server_frame(json.dumps(frame, ensure_ascii=False))


@pytest.mark.parametrize("frame", _examples(CLIENT_MESSAGES))
def test_a_clients_frame_is_not_one_of_the_server(frame: Payload) -> None:
    with pytest.raises(AssertionError, match=r"\$\.type: is None"):
        check_server_frame(frame)


_MESSAGE = ("events", 0, "data", "message")
_CONVERSATION = ("events", 0, "data", "conversation")
_REQUEST = ("events", 0, "data", "friend_request")

REFUSED_EVENTS = [
    ("messageCreated", _remove(*_MESSAGE, "edited_at"), r"\$\.events\[0\]\.data\.message: 'edited_at' is a required"),
    ("messageCreated", _set(1, *_MESSAGE, "extra"), r"\$\.events\[0\]\.data\.message: .*'extra' was unexpected"),
    ("messageCreated", _set("1", *_MESSAGE, "seq"), r"message\.seq: '1' is not of type 'integer'"),
    ("messageCreated", _set(0, *_MESSAGE, "seq"), r"message\.seq: 0 is less than the minimum of 1"),
    ("messageCreated", _set(2**63, *_MESSAGE, "seq"), r"message\.seq: 9223372036854775808 is greater"),
    ("messageCreated", _set(1.5, *_MESSAGE, "seq"), r"message\.seq: 1\.5 is not of type 'integer'"),
    ("messageCreated", _set("01m84rbwpkg7kyhrjxjg7dj13n", *_MESSAGE, "id"), r"message\.id: '01m84.*does not match"),
    ("messageCreated", _set("01M84RBWPKG7KYHRJXJG7DJ13U", *_MESSAGE, "id"), r"message\.id: .*does not match"),
    ("messageCreated", _set("01M84RBWPKG7KYHRJXJG7DJ13N\n", *_MESSAGE, "id"), r"message\.id: .*too long"),
    ("messageCreated", _set("2026-11-23T17:48:23Z", *_MESSAGE, "created_at"), r"message\.created_at: .*does not match"),
    ("messageCreated", _set("2026-11-23T17:48:23.123456Z", "events", 0, "at"), r"\[0\]\.at: .*does not match"),
    ("messageCreated", _set("2026-11-23T17:48:23.123+00:00", "events", 0, "at"), r"\[0\]\.at: .*does not match"),
    ("messageCreated", _set("2026-02-30T17:48:23.123Z", "events", 0, "at"), r"\[0\]\.at: .*is not a 'date-time'"),
    ("messageCreated", _set("2026-11-23T17:48:23Z", *_MESSAGE, "edited_at"), r"message\.edited_at: .*does not match"),
    ("messageCreated", _set({"body": "x"}, *_MESSAGE, "content"), r"message\.content: 'text' is a required"),
    ("messageCreated", _set({"text": " \n"}, *_MESSAGE, "content"), r"content\.text: .*does not match"),
    ("messageCreated", _set({"text": "a\u0000b"}, *_MESSAGE, "content"), r"content\.text: .*does not match"),
    ("messageCreated", _set({"text": "雁" * 5_001}, *_MESSAGE, "content"), r"content\.text: '雁+"),
    ("messageCreated", _set("sticker", *_MESSAGE, "type"), r"message\.type: 'sticker' is not one of"),
    ("messageCreated", _set("", *_MESSAGE, "client_id"), r"message\.client_id: "),
    ("messageCreated", _set("c" * 65, *_MESSAGE, "client_id"), r"message\.client_id: .*too long"),
    ("messageCreated", _set(None, *_MESSAGE, "mentions"), r"message\.mentions: None is not of type 'array'"),
    ("messageCreated", _remove("events", 0, "event_id"), r"\$\.events\[0\]: 'event_id' is a required"),
    (
        "messageCreated",
        _set("message.vanished", "events", 0, "type"),
        r"\$\.events\[0\]\.type: is 'message\.vanished', none of",
    ),
    (
        "messageCreated",
        _set("message.read", "events", 0, "type"),
        r"\$\.events\[0\]\.data: 'conversation_id' is a required",
    ),
    ("messageCreated", _set("message", "events", 0), r"\$\.events\[0\]: is not an object"),
    ("messageCreated", _set([], "events"), r"\$\.events: "),
    ("messageCreated", _remove("events"), r"\$: 'events' is a required"),
    ("messageCreated", _set("e-1", "id"), r"\$: .*'id' was unexpected"),
    ("conversationCreated", _set("x", *_CONVERSATION, "last_message", "id"), r"conversation\.last_message\.id: "),
    ("conversationCreated", _set(-1, *_CONVERSATION, "unread_count"), r"conversation\.unread_count: -1 is less"),
    ("conversationCreated", _set("13800000000", *_CONVERSATION, "peer", "phone"), r"peer: .*'phone' was unexpected"),
    ("friendRequested", _set("2026-11-23T17:41:30.654Z", *_REQUEST, "decided_at"), r"friend_request\.decided_at: "),
    ("friendRequested", _set("accepted", *_REQUEST, "status"), r"friend_request\.decided_at: None is not of type"),
    ("sessionEnded", _set("bored", "events", 0, "data", "reason"), r"data\.reason: 'bored' is not one of"),
    ("severalInOneFrame", _set(0, "events", 1, "data", "seq"), r"\$\.events\[1\]\.data\.seq: 0 is less"),
]


@pytest.mark.parametrize(("example", "change", "reason"), REFUSED_EVENTS)
def test_a_frame_of_events_that_differs_is_refused_with_path_and_reason(
    example: str, change: Change, reason: str
) -> None:
    frame = _example("events", example)
    change(frame)

    with pytest.raises(AssertionError, match=reason):
        check_server_frame(frame)


REFUSED_ANSWERS = [
    ("pong", "pong", _remove("id"), r"\$: 'id' is a required"),
    ("pong", "pong", _set(17, "id"), r"\$\.id: 17 is not of type"),
    ("pong", "pong", _set("x" * 65, "id"), r"\$\.id: .*too long"),
    ("pong", "pong", _set("now", "data", "at"), r"\$\.data: .*'at' was unexpected"),
    (
        "pong",
        "pong",
        _set("wave", "type"),
        r"\$\.type: is 'wave', none of \['ack', 'error', 'events', 'pong', 'sync'\]",
    ),
    ("sendAck", "stored", _remove("data", "message", "seq"), r"\$\.data\.message: 'seq' is a required"),
    ("sendAck", "stored", _set({}, "data"), r"\$\.data: '\w+' is a required"),
    ("readAck", "read", _remove("data", "user_id"), r"\$\.data: 'user_id' is a required"),
    ("error", "conversationNotFound", _set("no_such_code", "data", "code"), r"\$\.data\.code: 'no_such_code' is not"),
    ("error", "conversationNotFound", _set(400, "data", "status"), r"\$\.data\.status: 404 was expected"),
    ("error", "conversationNotFound", _remove("data", "request_id"), r"\$\.data: 'request_id' is a required"),
    ("error", "validationFailed", _set("body.text", "data", "errors", 0, "loc"), r"errors\[0\]\.loc: .*'array'"),
]


@pytest.mark.parametrize(("message", "example", "change", "reason"), REFUSED_ANSWERS)
def test_an_answer_that_differs_is_refused_with_path_and_reason(
    message: str, example: str, change: Change, reason: str
) -> None:
    frame = _example(message, example)
    change(frame)

    with pytest.raises(AssertionError, match=reason):
        check_server_frame(frame)


REFUSED_ACTIONS = [
    (
        "ping",
        "ping",
        _set("wave", "action"),
        r"\$\.action: is 'wave', none of \['ping', 'read', 'send', 'sync', 'typing'\]",
    ),
    ("ping", "ping", _remove("action"), r"\$\.action: is None"),
    ("send", "text", _remove("message", "client_id"), r"\$\.message: 'client_id' is a required"),
    ("send", "text", _set("system", "message", "type"), r"\$\.message\.type: 'system' is not one of"),
    ("send", "text", _set(0, "message", "reply_to_seq"), r"\$\.message\.reply_to_seq: 0 is less"),
    ("send", "text", _set("yes", "urgent"), r"\$: .*'urgent' was unexpected"),
    ("read", "read", _set("2", "seq"), r"\$\.seq: '2' is not of type 'integer'"),
]


@pytest.mark.parametrize(("message", "example", "change", "reason"), REFUSED_ACTIONS)
def test_a_clients_frame_that_differs_is_refused_with_path_and_reason(
    message: str, example: str, change: Change, reason: str
) -> None:
    frame = _example(message, example)
    change(frame)

    with pytest.raises(AssertionError, match=reason):
        check_client_frame(frame)


def test_every_fault_of_a_frame_is_named() -> None:
    frame = _example("readAck", "read")
    _set(0, "data", "seq")(frame)
    _remove("data", "user_id")(frame)

    with pytest.raises(AssertionError) as refusal:
        check_server_frame(frame)

    assert "$.data.seq: 0 is less than the minimum of 1" in str(refusal.value)
    assert "$.data: 'user_id' is a required property" in str(refusal.value)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("pong", r"\$: is not JSON"),
        ("[]", r"\$: is not an object but list"),
        ('{"type": "pong", "id": "p", "id": "q", "data": {}}', r"\$: is not JSON: a name stands twice"),
        ('{"type": "pong", "id": NaN, "data": {}}', r"\$: is not JSON: NaN"),
        ('{"type": "pong", "id": "\\ud800", "data": {}}', r"\$: escapes a lone surrogate"),
        ('{"type": "pong", "id": "\ud800", "data": {}}', r"\$: is not Unicode text"),
        (b'{"type": "pong", "id": null, "data": {}}', r"\$: is a binary frame"),
    ],
)
def test_what_is_no_json_object_in_a_text_frame_is_refused(frame: str | bytes, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        check_server_frame(frame)


def _frame_of_bytes(size: int) -> str:
    frame = json.dumps(_example("pong", "pong"))
    return frame + " " * (size - len(frame))


def test_a_frame_of_exactly_32_kib_passes() -> None:
    check_server_frame(_frame_of_bytes(32 * 1024))


@pytest.mark.parametrize("size", [32 * 1024 + 1, 40 * 1024])
def test_a_frame_over_32_kib_is_refused(size: int) -> None:
    with pytest.raises(AssertionError, match=f"has {size} bytes, more than the 32768 of a frame"):
        check_server_frame(_frame_of_bytes(size))


def test_the_size_of_a_frame_counts_bytes_and_not_characters() -> None:
    frame = _example("send", "text")
    frame["message"]["content"]["text"] = "雁" * 11_000

    with pytest.raises(AssertionError, match="bytes, more than"):
        check_client_frame(json.dumps(frame, ensure_ascii=False))


def test_the_longest_text_fits_into_one_event_whatever_its_script() -> None:
    frame = _example("events", "messageCreated")
    frame["events"][0]["data"]["message"]["content"]["text"] = "🪿" * 5_000

    check_server_frame(json.dumps(frame, ensure_ascii=False))
