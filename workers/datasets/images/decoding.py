"""Decode one image of an upload, in bounded time and memory: what a file is, its first bytes say.

Taken are PNG, JPEG, WebP, BMP and GIF with one picture of 8 bits a channel, grey, in colour, with a palette, or with
transparency; a picture that its camera turned (EXIF) is turned back. Everything else is an ``ImageProblem`` with a
sentence, which becomes the reason of its row: animations, 16 bits, CMYK (its colours depend on a profile), more pixels
than ``MAX_PIXELS``, damaged or cut files, and what is no image at all.

Sources: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), WebP (RFC 9649), EXIF 2.32.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

#: More than any camera gives that feeds a model; a header that says more is not decoded.
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 64 * 1024**2
#: Passes over the picture in one JPEG. Usual files have one, or about ten; each costs a pass over all pixels.
MAX_SCANS = 100

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)
_STRANGERS = (
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML, such as an SVG drawing"),
    (b"<", "markup, such as HTML"),
    (b"II*\0", "a TIFF; save it as PNG"),
    (b"MM\0*", "a TIFF; save it as PNG"),
    (b"\0\0\0\x0cJXL", "a JPEG XL; save it as PNG"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000; save it as PNG"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
#: How a decoder's picture is kept: with a palette as colours, two colours as grey.
_KEPT = {"1": "L", "L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"}
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
_ORIENTATION = 0x0112


class ImageProblem(Exception):
    """An image that is not taken; the message is the sentence that its row gets."""


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright, and what it was: ``image`` is one of Pillow's in the mode L, RGB or RGBA."""

    image: Any
    mode: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self.image.height, self.image.width, _CHANNELS[self.mode])


def kind_of(head: bytes) -> str | None:
    """Return the format that the first 12 bytes of a file are of; None for none that is taken."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def shape_of(content: bytes) -> tuple[int, int, int]:
    """Return height, width and channels, upright, from the header alone.

    Raises:
        ImageProblem: the image is not taken.
    """
    with _opened(content) as image:
        height, width = image.height, image.width
        if _orientation(image) in _SIDEWAYS:
            height, width = width, height
        return height, width, _CHANNELS[_mode_of(image)]


def decode(content: bytes) -> Picture:
    """Decode an image.

    Raises:
        ImageProblem: the image is not taken, or its content does not decode.
    """
    with _opened(content) as image:
        mode = _mode_of(image)
        orientation = _orientation(image)
        try:
            picture = image if image.mode == mode else image.convert(mode)
            picture.load()
            turn = _turns().get(orientation)
            picture = picture if turn is None else picture.transpose(turn)
        except Exception as error:
            raise ImageProblem(f"It does not decode: {_sentence(error)}") from error
        # A copy: the picture outlives the file that it was read from.
        return Picture(picture.copy(), mode)


def _opened(content: bytes) -> Any:
    """Open an image without decoding it, after what a decoder would only find out late."""
    from PIL import Image

    kind = kind_of(content[:12])
    if kind is None:
        raise ImageProblem(_what_it_is(content))
    if kind == "JPEG" and content.count(b"\xff\xda") > MAX_SCANS:
        raise ImageProblem(f"It is a JPEG with more than {MAX_SCANS} scans, which takes too long to decode.")
    if kind == "PNG" and content[24:25] == b"\x10":
        raise ImageProblem("It has 16 bits a channel; 8 bits, in grey, RGB or RGBA, are taken.")
    if kind == "WEBP":
        _check_size(*_webp_size(content))
    # The limit of ours is looked at below, before anything is decoded; Pillow's own would warn before it refuses.
    Image.MAX_IMAGE_PIXELS = None
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
        # A camera's MPO holds its picture first, and smaller ones for its screen behind it.
        is_animation = image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception as error:
        raise ImageProblem(f"Its header cannot be read: {_sentence(error)}") from error
    _check_size(image.width, image.height)
    if is_animation:
        raise ImageProblem(f"It is an animation ({image.format}); a row holds one picture.")
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageProblem(
            f"It has {width:,} x {height:,} pixels; an image of at most {MAX_PIXELS // 1_000_000} megapixels is taken."
        )


def _mode_of(image: Any) -> str:
    """Return the mode in which an image is kept."""
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        return "RGBA"
    if image.mode not in _KEPT:
        raise ImageProblem(
            f"Its pixels are of the mode {image.mode}; 8 bits a channel, in grey, RGB or RGBA, are taken."
        )
    return _KEPT[image.mode]


def _webp_size(content: bytes) -> tuple[int, int]:
    """Read width and height of a WebP by hand, since its decoder makes room for the picture when it is opened."""
    chunk, body = content[12:16], content[20:30]
    if chunk == b"VP8X" and len(body) == 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) == 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise ImageProblem("Its header cannot be read: a WebP begins with a VP8, VP8L or VP8X chunk.")


def _orientation(image: Any) -> int:
    """Return the EXIF orientation, 1 for upright; a PNG that states one behind its pixels is taken as it is."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - EXIF that cannot be read says nothing; the picture is there all the same
        return 1


def _turns() -> dict[int, Any]:
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


_SIDEWAYS = (5, 6, 7, 8)


def _what_it_is(content: bytes) -> str:
    if not content:
        return "It is empty."
    head = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, what in _STRANGERS:
        if content.startswith(magic) or head.startswith(magic):
            return f"It is no image that is taken, but {what}."
    return f"It is no image: its first bytes are {content[:8]!r}; PNG, JPEG, WebP, BMP and GIF are taken."


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    # Pillow names the memory address of the buffer that it could not identify.
    text = "it is cut or damaged" if "BytesIO" in text else text
    return text[:200].rstrip(".") + "."
