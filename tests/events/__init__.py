"""A sample event for each function of template.yaml, `{{names}}` in the place of what must exist."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

_FOLDER = Path(__file__).parent
_PASSWORD = "correct horse battery staple"

# Method, path, token, and a body of JSON or of bytes; answers what was answered.
Call = Callable[[str, str, str | None, Any], Any]


def sample(function: str, values: Mapping[str, str]) -> Any:
    """Return the sample event of a function, by its logical id, with values in the place of names.

    Raises:
        FileNotFoundError: there is none.
        KeyError: the event names what has no value.

    """
    text = (_FOLDER / f"{function}.json").read_text()
    return json.loads(re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], text))


def make(call: Call) -> dict[str, str]:
    """Let two friends have said something, by text, picture and voice, and return the values that events name."""
    alice, bob = _joined(call, "alice"), _joined(call, "bob")
    asked = call("POST", "/v1/friend-requests", alice["access_token"], {"user_id": bob["user"]["id"]})
    accepted = call("POST", f"/v1/friend-requests/{asked['id']}/accept", bob["access_token"], None)
    conversation_id = accepted["conversation"]["id"]

    def say(kind: str, content: dict[str, str]) -> Any:
        message = {"client_id": uuid4().hex, "type": kind, "content": content}
        return call("POST", f"/v1/conversations/{conversation_id}/messages", alice["access_token"], message)

    say("text", {"text": "Hello, 鸿雁"})
    image_id = _uploaded(call, alice["access_token"], "image", "image/png", _picture())
    say("image", {"file_id": image_id})
    voice_id = _uploaded(call, alice["access_token"], "voice", "audio/m4a", voice())
    return {
        "user_id": alice["user"]["id"],
        "session_id": alice["session_id"],
        "access_token": alice["access_token"],
        "conversation_id": conversation_id,
        "connection_id": f"{uuid4().hex[:15]}=",
        "image_file_id": image_id,
        "voice_seq": str(say("voice", {"file_id": voice_id})["seq"]),
    }


def voice() -> bytes:
    """Return the recording that the event of SpeechApiFunction carries."""

    return base64.b64decode(json.loads((_FOLDER / "SpeechApiFunction.json").read_text())["body"])


def _joined(call: Call, name: str) -> Any:
    username = f"{name}-{uuid4().hex[:8]}"
    call("POST", "/v1/users", None, {"username": username, "password": _PASSWORD})
    device = {"id": "sample", "platform": "cli", "name": "sample"}
    return call("POST", "/v1/sessions", None, {"username": username, "password": _PASSWORD, "device": device})


def _uploaded(call: Call, token: str, purpose: str, mime: str, data: bytes) -> str:
    about = {"name": f"sample {purpose}", "mime": mime, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    file_id: str = call("POST", "/v1/files", token, {"purpose": purpose, **about})["file_id"]
    call("PUT", f"/v1/files/{file_id}/content", token, data)
    return file_id


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()
