"""What bytes are taken for, whatever they are called."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from hongyan.errors import FileTypeWrong, PictureTooLarge, PictureUnreadable
from PIL import Image

from functions.file import inspection, pictures, storage
from tests.support.uploads import a_picture

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
ZIP = b"PK\x03\x04\x14\0\0\0\x08\0"
MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (PDF, "application/pdf"),
        (ZIP, "application/zip"),
        (ZIP, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (MP4, "video/mp4"),
        (a_picture(), "image/png"),
        ("鸿雁".encode(), "text/plain"),
        (b"BM is how this text begins", "text/plain"),
        (b"{}", "application/json"),
        (b"MZ\x90\0", "application/octet-stream"),
        (b"MZ\x90\0", "application/x-msdownload"),
        (b"#!/bin/sh\n", "text/x-sh"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"anything", "application/x-of-mine"),
    ],
)
def test_a_file_may_be_what_its_first_bytes_are(head: bytes, mime: str) -> None:
    inspection.check_head(head, mime)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"MZ\x90\0", "image/png"),
        (b"MZ\x90\0", "application/pdf"),
        (b"MZ\x90\0", "text/plain"),
        (b"\x7fELF\x02\x01", "application/zip"),
        (b"#!/bin/sh\n", "image/jpeg"),
        (b"\0\x01\x02", "text/plain"),
        (PDF, "image/png"),
        (ZIP, "image/png"),
        (b"no picture", "image/png"),
        (b"no film", "video/mp4"),
    ],
)
def test_a_file_by_the_name_of_something_else_is_refused(head: bytes, mime: str) -> None:
    with pytest.raises(FileTypeWrong):
        inspection.check_head(head, mime)


def an_enormous_png() -> bytes:
    """Return a PNG of 50,000 × 50,000 pixels that takes a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("picture", [an_enormous_png, lambda: a_picture(16_384, 1), lambda: a_picture(8_000, 6_251)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(picture: Callable[[], bytes]) -> None:
    with pytest.raises(PictureTooLarge):
        pictures.decode(picture(), "PNG")


@pytest.mark.parametrize(("width", "height"), [(16_383, 1), (1, 16_383)])
def test_the_longest_side_is_taken(width: int, height: int) -> None:
    assert pictures.decode(a_picture(width, height), "PNG").size == (width, height)


@pytest.mark.parametrize("data", [ZIP * 50, b"", b"<svg onload='alert(1)'/>", PDF])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(FileTypeWrong):
        pictures.decode(data, "PNG")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_breaks_off_is_refused(kind: str) -> None:
    whole = a_picture(300, 200, kind)

    with pytest.raises((PictureUnreadable, FileTypeWrong)):
        pictures.decode(whole[: len(whole) // 2], kind)


def test_an_avatar_is_the_middle_of_its_picture() -> None:
    avatar = pictures.square(pictures.decode(a_picture(300, 100)), 512)

    assert avatar.size == (100, 100)
    with Image.open(io.BytesIO(avatar.data)) as shown:
        left, right = shown.convert("RGB").getpixel((5, 50)), shown.convert("RGB").getpixel((95, 50))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > left[2]
    assert right[2] > right[0]


def test_a_thumbnail_is_turned_as_the_camera_was_and_does_not_say_where_it_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif.get_ifd(0x8825)[2] = (39.9, 0.0, 0.0)  # north of where
    taken = a_picture(400, 200, "JPEG", exif=exif)

    made = pictures.within(pictures.decode(taken), 320)

    assert made.size == (160, 320)
    with Image.open(io.BytesIO(made.data)) as shown:
        assert not shown.getexif()
        assert "exif" not in shown.info


def test_a_thumbnail_keeps_no_notes_of_a_program_either() -> None:
    taken = a_picture(400, 200, "WEBP", xmp=b"<x:xmpmeta>exif:GPSLatitude=39.9</x:xmpmeta>")
    with Image.open(io.BytesIO(taken)) as noted:
        assert "xmp" in noted.info

    made = pictures.within(pictures.decode(taken), 320)

    assert b"GPSLatitude" not in made.data


def test_a_grey_of_sixteen_bits_keeps_its_shades() -> None:
    file = io.BytesIO()
    Image.new("I;16", (8, 8), 32_768).save(file, "PNG")

    made = pictures.within(pictures.decode(file.getvalue()), 8)

    with Image.open(io.BytesIO(made.data)) as shown:
        grey = shown.convert("L").getpixel((4, 4))
    assert isinstance(grey, int)
    assert abs(grey - 128) < 4


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("report.pdf", "attachment; filename=\"report.pdf\"; filename*=UTF-8''report.pdf"),
        ("鸿雁.png", "attachment; filename=\"__.png\"; filename*=UTF-8''%E9%B8%BF%E9%9B%81.png"),
        ("тест.txt", "attachment; filename=\"____.txt\"; filename*=UTF-8''%D1%82%D0%B5%D1%81%D1%82.txt"),
        ('a"; b="c', "attachment; filename=\"a__ b__c\"; filename*=UTF-8''a%22%3B%20b%3D%22c"),
        ("a\r\nX-Evil: 1", "attachment; filename=\"a__X-Evil_ 1\"; filename*=UTF-8''a%0D%0AX-Evil%3A%201"),
        ("é.txt", "attachment; filename=\"e.txt\"; filename*=UTF-8''%C3%A9.txt"),
    ],
)
def test_a_name_is_kept_in_any_script_and_says_nothing_else(name: str, disposition: str) -> None:
    assert storage.disposition(name) == disposition


@pytest.mark.parametrize(
    "mime", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/json"]
)
def test_what_a_browser_might_run_is_served_as_bytes(mime: str) -> None:
    assert storage.shown_as(mime) == "application/octet-stream"


@pytest.mark.parametrize("mime", ["image/png", "video/mp4", "audio/amr", "application/pdf", "text/plain"])
def test_what_a_browser_only_shows_keeps_its_type(mime: str) -> None:
    assert storage.shown_as(mime) == mime
