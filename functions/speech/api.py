"""The speech module's route (contract, Speech)."""

from typing import Annotated, Any

from fastapi import Query, Request
from hongyan.errors import (
    AudioEmpty,
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    AudioUnrecognisable,
    BodyTooLarge,
    FileNotFound,
    FileNotUsable,
    MalformedJson,
    RateLimited,
    SpeechUnavailable,
    TokenInvalid,
    UnsupportedAudio,
    ValidationFailed,
)
from hongyan.validation import field_errors
from hongyan.web import Caller, RawBody, create_app, lambda_handler, media_type_of, problems
from pydantic import ValidationError

from functions.speech import recognition, service
from functions.speech.recognition import Language
from functions.speech.schemas import Recognized, Recording

# Lambda takes 6 MB a call, in base64.
MOST_BYTES = 4 * 1024 * 1024

_SOUND = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A `file_id` of one's own voice upload, or up to 60 s of audio, up to 4 MiB, as it is.",
        "content": {
            "application/json": {"schema": Recording.model_json_schema()},
            "audio/wav": _SOUND,
            "audio/pcm;rate=16000": _SOUND,
            "audio/pcm;rate=8000": _SOUND,
            "audio/amr": _SOUND,
            "audio/m4a": _SOUND,
            "audio/mpeg": _SOUND,
            "audio/ogg": _SOUND,
        },
    }
}


app = create_app("speech", takes_raw_bodies=True)
handler = lambda_handler(app)


@app.post(
    "/v1/speech/recognitions",
    responses=problems(
        TokenInvalid,
        MalformedJson,
        FileNotFound,
        AudioTooLarge,
        BodyTooLarge,
        UnsupportedAudio,
        AudioEmpty,
        AudioUnreadable,
        AudioTooLong,
        AudioUnrecognisable,
        FileNotUsable,
        ValidationFailed,
        RateLimited,
        SpeechUnavailable,
    ),
    openapi_extra=_BODY,
)
def recognize(
    caller: Caller,
    request: Request,
    body: RawBody,
    language: Annotated[Language, Query(description="Of audio in the body; an upload's stands beside its id.")] = "zh",
) -> Recognized:
    """Return what is said in an upload, or in the body: in Mandarin (`zh`, which knows some English) or English."""
    if media_type_of(request) == "application/json":
        recording = _recording(body)
        return service.recognize_upload(caller.user_id, recording.file_id, recording.language, recognition.recognizer())
    if len(body) > MOST_BYTES:
        raise AudioTooLarge
    content_type = request.headers.get("content-type", "")
    return service.recognize(caller.user_id, body, content_type, language, recognition.recognizer())


def _recording(body: bytes) -> Recording:
    try:
        return Recording.model_validate_json(body)
    except ValidationError as error:
        if any(detail["type"] == "json_invalid" for detail in error.errors()):
            raise MalformedJson from None
        located = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
        raise ValidationFailed(errors=field_errors(located)) from None
