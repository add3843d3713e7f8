"""Formats of audio, as they are declared: what FFmpeg (`hongyan.audio`) need not be imported for."""

from typing import Literal, NamedTuple

from hongyan.errors import UnsupportedAudio

Format = Literal["wav", "pcm", "amr", "m4a", "mp3", "opus"]

_FORMATS: dict[str, Format] = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/pcm": "pcm",
    "audio/amr": "amr",
    "audio/amr-wb": "amr",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/ogg": "opus",
    "audio/opus": "opus",
}
_PCM_RATES = (8_000, 16_000)


class Declared(NamedTuple):
    """What a sender says that the audio is; raw samples have a rate, all else says its own."""

    format: Format
    rate: int | None = None


def declared(content_type: str) -> Declared:
    """Return what a media type says.

    Raises:
        UnsupportedAudio: it is none that is taken.

    >>> declared("audio/pcm; rate=8000")
    Declared(format='pcm', rate=8000)
    """
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    kind = _FORMATS.get(media_type)
    if kind is None:
        raise UnsupportedAudio
    if kind != "pcm":
        return Declared(kind)
    for rate in _PCM_RATES:
        if f"rate={rate}" in parameters:
            return Declared(kind, rate)
    raise UnsupportedAudio


def is_file(mime: str) -> bool:
    """Tell whether a media type is of audio that says itself what it is, as raw samples do not."""
    return _FORMATS.get(mime, "pcm") != "pcm"
