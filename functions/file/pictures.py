"""Pictures, by Pillow: decoded within bounds, turned as their camera was held, made smaller, without where it was."""

import io
from typing import NamedTuple

from hongyan.errors import FileTypeWrong, PictureTooLarge, PictureUnreadable
from PIL import Image, ImageOps, UnidentifiedImageError

# Decoded, these are 200 MB; no side of a WebP is longer than this one.
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 16_383
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_QUALITY = 80
MIME = "image/webp"  # of what is made here


class Made(NamedTuple):
    """A WebP, and its width and height in pixels."""

    data: bytes
    size: tuple[int, int]


def decode(data: bytes, expected: str | None = None) -> Image.Image:
    """Return a picture as it is shown; of one that moves, how it begins. Its size is looked at before it is decoded.

    Raises:
        FileTypeWrong: it is none, or none of the format that was expected.
        PictureTooLarge: it has more pixels than memory should hold.
        PictureUnreadable: it is broken.

    """
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise FileTypeWrong from error
    except Image.DecompressionBombError as error:
        raise PictureTooLarge from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureUnreadable from error
    if expected is not None and picture.format != expected:
        raise FileTypeWrong
    if picture.width * picture.height > MOST_PIXELS or max(picture.size) > LONGEST_SIDE:
        raise PictureTooLarge
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise PictureUnreadable from error


def square(picture: Image.Image, side: int) -> Made:
    """Return the middle of a picture, at most ``side`` pixels wide and high, or as large as it is."""
    side = min(side, *picture.size)
    return _webp(ImageOps.fit(_colours(picture), (side, side)))


def within(picture: Image.Image, side: int) -> Made:
    """Return a picture whole, no wider and no higher than ``side``, or as large as it is."""
    smaller = _colours(picture)
    smaller.thumbnail((side, side))
    return _webp(smaller)


def _colours(picture: Image.Image) -> Image.Image:
    """Return a copy in colours that a WebP has, see-through where the picture is."""
    if picture.mode.startswith("I;16"):  # of which Pillow would keep the dark end and make the rest white
        picture = picture.point(lambda grey: grey * (1 / 256)).convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _webp(picture: Image.Image) -> Made:
    """Return nothing but the pixels: what a camera noted, and where it was, stays behind."""
    picture.info.clear()
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=_QUALITY)
    return Made(file.getvalue(), picture.size)
