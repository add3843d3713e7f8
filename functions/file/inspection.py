"""What bytes really are: nothing is taken on anybody's word (contract, File).

Pictures are decoded by Pillow (`pictures`), recordings by FFmpeg; of other files, the first bytes are compared with
what is known of their type.
"""

import re

import puremagic
from hongyan import audio_formats
from hongyan.errors import (
    AudioEmpty,
    AudioUnreadable,
    FileChecksumWrong,
    FileSizeWrong,
    FileTypeWrong,
    PictureTooLarge,
    PictureUnreadable,
    Problem,
    RecordingTooLong,
)

# For which an upload is refused for good.
REFUSALS: tuple[type[Problem], ...] = (
    AudioEmpty,
    AudioUnreadable,
    FileChecksumWrong,
    FileSizeWrong,
    FileTypeWrong,
    PictureTooLarge,
    PictureUnreadable,
    RecordingTooLong,
)

HEAD_BYTES = 64 * 1024

LONGEST_RECORDING_MS = 15 * 60 * 1000

# Pillow's names of their formats.
PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}
# A page in disguise: browsers run what is in it.
_ACTIVE = {"text/html", "application/xhtml+xml", "text/javascript", "application/javascript"}

_PROGRAMS = (b"MZ", b"\x7fELF", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")
# Types under which programs go by their own name.
_ANY_BYTES = re.compile(
    r"application/(octet-stream|x-msdownload|x-msdos-program|vnd\.microsoft\.portable-executable|x-executable|x-elf"
    r"|x-mach-binary|x-sh|x-sharedlib|java-vm|vnd\.debian\.binary-package)|text/x-(sh|python|shellscript)"
)
_LOOKED_INTO = re.compile(r"(image|audio|video)/|application/(pdf|zip|gzip|x-7z-compressed|vnd\.rar)$")


def takes(purpose: str, mime: str) -> bool:
    """Tell whether a file of a type may serve a purpose."""
    match purpose:
        case "avatar":
            return mime in PICTURES and mime != "image/gif"
        case "image":
            return mime in PICTURES
        case "voice":
            return audio_formats.is_file(mime)
        case _:
            return mime not in _ACTIVE


def check_head(head: bytes, mime: str) -> None:
    """Check that the first bytes of a file may be those of its type.

    Raises:
        FileTypeWrong: they are of another: a program by the name of something else, above all.

    """
    if _ANY_BYTES.fullmatch(mime):
        return
    if head.startswith(_PROGRAMS):
        raise FileTypeWrong
    if mime.startswith("text/"):
        if b"\0" in head:
            raise FileTypeWrong
        return
    if _LOOKED_INTO.match(mime) and not _looks_like(head, mime):
        raise FileTypeWrong


def duration_ms(data: bytes, mime: str) -> int:
    """Return how long a recording lasts, after decoding all of it.

    Raises:
        AudioEmpty, AudioUnreadable: there is no sound in it, or it is broken, or none of its type.
        RecordingTooLong: it lasts longer than a quarter of an hour.

    """
    from hongyan import audio  # noqa: PLC0415  # FFmpeg, which not every call needs

    heard = 0.0
    for frame in audio.frames(data, audio_formats.declared(mime)):
        heard += frame.samples * 1000 / frame.sample_rate
        if heard > LONGEST_RECORDING_MS:
            raise RecordingTooLong
    return round(heard)


def _looks_like(head: bytes, mime: str) -> bool:
    if mime == "image/svg+xml":
        return b"<svg" in head
    try:
        known = {match.mime_type for match in puremagic.magic_string(head)}
    except puremagic.PureError:
        known = set()
    family = mime.partition("/")[0] + "/"
    kinds = {"audio/", "video/"} if family in {"audio/", "video/"} else {family}
    return any(kind.startswith(tuple(kinds)) for kind in known)
