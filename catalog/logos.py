"""Pictures that somebody uploads, before anything of them is shown: only what we drew ourselves is kept."""

from __future__ import annotations

import struct
from io import BytesIO

from django.utils.translation import gettext as _
from PIL import Image, ImageOps

from core.errors import InvalidInput

MAX_BYTES = 1_000_000
# Read from the header. A picture within it takes 64 MB while it is decoded.
MAX_SIDE = 4096
SIDE = 256
# What Pillow raises for files that are cut or that lie about their contents.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
)


def redrawn(data: bytes, *, field: str = "logo") -> bytes:
    """A PNG of at most 256 px a side, without the metadata of the file it was drawn from.

    What a file is, is read from its first bytes: its name and declared type are the sender's words.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            _("The file is larger than 1 MB. Save the logo smaller, 256 px a side is enough."),
            field=field,
        )
    kind = _kind(data)
    if kind is None:
        raise InvalidInput(_refusal(data), field=field)
    try:
        with Image.open(BytesIO(data), formats=[kind]) as picture:
            _check_size(picture, field)
            return _draw(picture)
    except Image.DecompressionBombError:
        # Pillow's own limit, far above ours: it does not say how many there are.
        raise InvalidInput(
            _("The picture has too many pixels: at most %(most)d a side.") % {"most": MAX_SIDE},
            field=field,
        ) from None
    except DAMAGED:
        raise InvalidInput(
            _("The picture is damaged and cannot be read. Save it again and upload that file."),
            field=field,
        ) from None


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def _refusal(data: bytes) -> str:
    if b"<svg" in data[:4096].lower():
        return _("SVG is not accepted, because it can carry scripts. Upload a PNG, JPEG or WebP.")
    return _("This is not a PNG, JPEG or WebP picture. Upload one of these.")


def _check_size(picture: Image.Image, field: str) -> None:
    if max(picture.size) > MAX_SIDE:
        raise InvalidInput(
            _("The picture has %(width)d × %(height)d pixels; at most %(most)d a side.")
            % {"width": picture.width, "height": picture.height, "most": MAX_SIDE},
            field=field,
        )


def _draw(picture: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(picture).convert("RGBA")
    upright.thumbnail((SIDE, SIDE))
    # A new picture: a converted one keeps the comments and the colour profile of its file.
    clean = Image.new("RGBA", upright.size)
    clean.paste(upright)
    out = BytesIO()
    clean.save(out, "PNG", optimize=True)
    return out.getvalue()
