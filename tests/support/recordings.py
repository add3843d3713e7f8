"""Recordings: words spoken by espeak-ng and sounds made by rule, in any format."""

import io
import math
import subprocess
import wave
from array import array
from functools import cache
from itertools import chain
from typing import Any

import av
import boto3
import sqlalchemy as sa
from hongyan import stores, timeline
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.schemas import Message
from hongyan.tables import files
from hongyan.unit_of_work import UnitOfWork, perform

from tests.support.people import Person

# What the stand-in's small model makes out just as it is spoken.
WORDS = "all my friends"

MIMES = {
    "wav": "audio/wav",
    "amr": "audio/amr",
    "amr-wb": "audio/amr-wb",
    "m4a": "audio/m4a",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
}
_WRITERS = {
    "wav": ("wav", "pcm_s16le"),
    "amr": ("amr", "libopencore_amrnb"),
    "m4a": ("ipod", "aac"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
}


@cache
def spoken(text: str = WORDS, voice: str = "en") -> bytes:
    """Return words as espeak-ng speaks them: WAVE, 22.05 kHz, of a length that its header does not know."""
    command = ["espeak-ng", "-v", voice, "-s", "120", "--stdout", text]
    said = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # our own words
    return bytes(said.stdout)


def tone(seconds: float, rate: int = 16_000, loudness: float = 0.5) -> "array[int]":
    return array("h", (int(loudness * 32_767 * math.sin(n * 2_764 / rate)) for n in range(int(seconds * rate))))


def waved(samples: "array[int]", rate: int = 16_000, channels: int = 1) -> bytes:
    """Return samples as a WAVE file whose header is right."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(samples.tobytes())
    return file.getvalue()


def converted(recording: bytes, kind: str, rate: int, layout: str = "mono") -> bytes:
    """Return a WAVE recording in another format."""
    container, codec = _WRITERS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out, av.open(io.BytesIO(recording), "r", format="wav") as source:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)
        for frame in chain(source.decode(audio=0), [None]):
            for part in resampler.resample(frame):
                part.pts = None
                out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return file.getvalue()


def raw(recording: bytes, rate: int) -> bytes:
    """Return a WAVE recording as bare samples."""
    with wave.open(io.BytesIO(converted(recording, "wav", rate))) as file:
        return bytes(file.readframes(file.getnframes()))


def an_uploaded(
    recording: bytes,
    owner: Person,
    *,
    mime: str = "audio/wav",
    purpose: str = "voice",
    completed: bool = True,
    name: str = "voice.wav",
) -> str:
    """Let somebody have uploaded a recording, and return the file's id."""
    file_id = new_id()
    boto3.client("s3").put_object(Bucket="files", Key=f"{purpose}/{file_id}", Body=recording)
    with stores.engine().begin() as connection:
        connection.execute(
            sa.insert(files).values(
                id=file_id,
                owner_id=owner.id,
                purpose=purpose,
                name=name,
                mime=mime,
                size=len(recording),
                sha256=bytes(32),
                created_at=now(),
                completed_at=now() if completed else None,
            )
        )
    return file_id


def a_voice_message(sender: Person, conversation_id: str, file_id: str, **content: Any) -> int:
    """Let somebody have sent a recording, and return the message's seq."""
    return perform(lambda unit: _append(unit, sender.id, conversation_id, file_id, content))


def _append(unit: UnitOfWork, sender_id: str, conversation_id: str, file_id: str, content: dict[str, Any]) -> int:
    place = timeline.lock(unit.connection, conversation_id, sender_id)
    assert place is not None
    message_id = new_id()
    what = {"file_id": file_id, "duration_ms": 1_000, "transcript": None, "name": "voice.wav", "mime": "audio/wav"}
    message = Message(
        id=message_id,
        conversation_id=conversation_id,
        seq=place.last_seq + 1,
        client_id=message_id,
        sender_id=sender_id,
        type="voice",
        content={**what, "size": 1, **content},
        reply_to_seq=None,
        mentions=[],
        created_at=timeline.moment(place),
        change_seq=place.change_seq + 1,
    )
    timeline.append(unit, place, message, bytes(32))
    return message.seq
