"""Audio as clients send it: what it is declared as, and its frames.

FFmpeg (through PyAV) decodes. It is told which format to expect and may use no decoder but those that a voice needs, so
a file chooses neither which of its hundreds of parsers reads it nor makes it open anything else.
"""

import io
import re
import struct
from collections.abc import Iterator

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from hongyan.audio_formats import Declared, Format
from hongyan.errors import AudioEmpty, AudioUnreadable

_DEMUXERS: dict[Format, str] = {"wav": "wav", "pcm": "s16le", "amr": "amr", "m4a": "mov", "mp3": "mp3", "opus": "ogg"}
_DECODERS = "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,amrnb,amrwb,aac,mp3float,mp3,opus"

# Below and above nothing is a voice, and resampling a second of 1 Hz would make 32 KB of each sample.
_RATES = range(4_000, 192_001)
_MOST_CHANNELS = 8

_MARKS: dict[Format, re.Pattern[bytes]] = {
    "wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "amr": re.compile(rb"#!AMR(-WB)?\n"),
    "m4a": re.compile(rb"....ftyp", re.DOTALL),
    "mp3": re.compile(rb"ID3|\xff[\xe0-\xff]"),  # tags, or the word by which MPEG's frames begin
    "opus": re.compile(rb"OggS"),
}
# What raw samples do not begin with: pictures, documents, and what would have said its format.
_OTHERS = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF|#!AMR|....ftyp|OggS|ID3|fLaC|PK\x03\x04|%PDF", re.DOTALL)
_TEXT_LOOKED_AT = 4_096

_UNKNOWN_SIZE = 0x7FFF_0000

# A recording that breaks off lasts less than its header says. Edit lists and padding differ by less than this.
_SHARE_THAT_MUST_BE_THERE = 0.9


def frames(data: bytes, what: Declared) -> Iterator[AudioFrame]:
    """Yield what is heard, frame by frame: however long a recording says that it is, no more is in memory.

    Raises:
        AudioEmpty: there is no sound in it, not even silence.
        AudioUnreadable: it is not what it is declared as, is cut off, or contradicts itself.

    """
    if not data:
        raise AudioEmpty
    if not _looks_like(data, what.format):
        raise AudioUnreadable
    if what.format == "wav":
        _check_header(data)
    options = {"codec_whitelist": _DECODERS}
    if what.rate is not None:
        options |= {"sample_rate": str(what.rate), "ch_layout": "mono"}
    try:
        with av.open(io.BytesIO(data), "r", format=_DEMUXERS[what.format], options=options) as container:
            yield from _checked(container, what)
    except (av.FFmpegError, ValueError) as error:  # a ValueError: the rate or the channels change on the way
        raise AudioUnreadable from error


def _checked(container: InputContainer, what: Declared) -> Iterator[AudioFrame]:
    stream = next(iter(container.streams.audio), None)
    if stream is None:
        raise AudioUnreadable
    seconds = 0.0
    for frame in container.decode(stream):
        if frame.sample_rate not in _RATES or frame.layout.nb_channels > _MOST_CHANNELS:
            raise AudioUnreadable
        seconds += frame.samples / frame.sample_rate
        yield frame
    if seconds == 0:
        raise AudioEmpty
    if what.format == "m4a" and seconds < _promised_seconds(stream) * _SHARE_THAT_MUST_BE_THERE:
        raise AudioUnreadable


def _looks_like(data: bytes, kind: Format) -> bool:
    """Tell by the first bytes whether it can be what it is declared as."""
    if kind == "pcm":  # which has no mark, so it is what bears none of others, is whole samples, and no text
        return len(data) % 2 == 0 and _OTHERS.match(data) is None and not _is_text(data)
    return _MARKS[kind].match(data) is not None


def _is_text(data: bytes) -> bool:
    head = data[:_TEXT_LOOKED_AT]
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a character that was cut in two
            return False
        text = head[: error.start].decode()
    return all(character.isprintable() or character in "\n\r\t" for character in text)


def _check_header(data: bytes) -> None:
    """Check of a WAVE file what FFmpeg takes on trust: its rates agree, and what the header promises is there.

    A program that writes into a pipe cannot know the length, and promises almost 2 GiB or more.
    """
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt " and at + 16 <= len(data):
            _, _, rate, bytes_a_second, bytes_a_sample = struct.unpack_from("<HHIIH", data, at)
            if bytes_a_second != rate * bytes_a_sample:
                raise AudioUnreadable
        if name == b"data":
            if len(data) - at < size < _UNKNOWN_SIZE:
                raise AudioUnreadable
            return
        at += size + size % 2
    raise AudioUnreadable


def _promised_seconds(stream: AudioStream) -> float:
    return 0.0 if stream.duration is None or stream.time_base is None else float(stream.duration * stream.time_base)
