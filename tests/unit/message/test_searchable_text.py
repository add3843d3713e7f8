"""What a message can be found by."""

from typing import Any

import pytest
from hongyan.clock import now
from hongyan.schemas import Message

from functions.message.message_index import document, searchable_text

VOICE = {"file_id": "f", "duration_ms": 900, "name": "friends.wav", "mime": "audio/wav", "size": 9}


def message(kind: str, content: dict[str, Any], **more: Any) -> Message:
    about = {"id": "m", "conversation_id": "c", "seq": 1, "client_id": "k", "sender_id": "s", "mentions": []}
    return Message(type=kind, content=content, reply_to_seq=None, created_at=now(), change_seq=1, **about, **more)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (message("text", {"text": "all my friends"}), "all my friends"),
        (message("voice", {**VOICE, "transcript": "all my friends"}), "all my friends"),
        (message("voice", {**VOICE, "transcript": None}), ""),
        (message("voice", {**VOICE, "transcript": ""}), ""),
        (message("voice", {}, recalled_at=now()), ""),
        (message("system", {"event": "group_renamed", "by_user_id": "s", "name": "friends"}), ""),
    ],
)
def test_a_message_is_found_by_what_was_written_or_said(said: Message, text: str) -> None:
    assert searchable_text(said) == text


def test_a_voice_message_without_transcript_leaves_its_id_alone() -> None:
    assert document(message("voice", {**VOICE, "transcript": None})).fields == {"id": "m"}
