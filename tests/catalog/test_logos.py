"""What becomes of a picture that somebody uploads: only what we drew ourselves is kept and served."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from PIL import Image, PngImagePlugin

from accounts.models import AuditEvent
from catalog.logos import redrawn
from catalog.models import Logo
from catalog.services import logos, products
from core.errors import InvalidInput
from tests.factories.catalog import ProductFactory

SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 32), **options) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "teal").save(out, kind, **options)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it has side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


# --- the rule ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_each_kind_becomes_a_small_png(kind):
    drawn = opened(redrawn(picture(kind, (1000, 500))))

    assert (drawn.format, drawn.size) == ("PNG", (256, 128))


def test_small_ones_are_not_blown_up():
    assert opened(redrawn(picture(size=(20, 10)))).size == (20, 10)


def test_metadata_stays_behind():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "taken at home")
    exif = Image.Exif()
    exif[0x010E] = "a secret place"

    for data in (picture(pnginfo=notes, icc_profile=b"x" * 200), picture("JPEG", exif=exif)):
        drawn = redrawn(data)
        assert opened(drawn).info == {}
        assert b"secret" not in drawn
        assert b"taken" not in drawn


def test_a_photo_is_turned_as_its_camera_was():
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side

    assert opened(redrawn(picture("JPEG", (100, 50), exif=exif))).size == (50, 100)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (SVG, "SVG is not accepted"),
        (b"   \n" + SVG, "SVG is not accepted"),
        (b"", "not a PNG, JPEG or WebP"),
        (b"GIF89a" + b"\0" * 100, "not a PNG, JPEG or WebP"),
        (b"<html><script>alert(1)</script>", "not a PNG, JPEG or WebP"),
        (picture()[:60], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"nonsense" * 20, "damaged"),
        (b"\xff\xd8\xff" + b"\0" * 50, "damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 1_000_000, "larger than 1 MB"),
        (bomb(20_000), "too many pixels: at most 4096 a side"),
        (bomb(4_097), "4097 × 4097"),
    ],
)
def test_what_is_refused_and_why(data, said):
    with pytest.raises(InvalidInput, match=said) as refusal:
        redrawn(data)
    assert refusal.value.field == "logo"


# --- the service -------------------------------------------------------------


@pytest.mark.django_db
def test_another_picture_is_another_address(member, provider):
    product = ProductFactory(organization=provider)
    first = logos.put(actor=member, product_id=product.pk, data=picture()).logo_path
    again = logos.put(actor=member, product_id=product.pk, data=picture()).logo_path
    other = logos.put(actor=member, product_id=product.pk, data=picture(size=(9, 9))).logo_path

    assert first == again != other
    assert Logo.objects.count() == 1
    assert AuditEvent.objects.filter(action="product.logo").count() == 2


@pytest.mark.django_db
def test_a_logo_goes_with_its_product(admin, provider):
    product = ProductFactory(organization=provider)
    logos.put(actor=admin, product_id=product.pk, data=picture())

    products.delete(actor=admin, product_id=product.pk)

    assert not Logo.objects.exists()


# --- served ------------------------------------------------------------------


@pytest.fixture
def product(member, provider):
    product = ProductFactory(organization=provider)
    return logos.put(actor=member, product_id=product.pk, data=picture())


def test_everybody_gets_it_and_may_keep_it(product):
    answer = Client().get(product.logo_path)

    assert opened(answer.content).format == "PNG"
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in answer["Cache-Control"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    again = Client().get(product.logo_path, headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_logo_that_was_replaced_is_gone(product, member):
    before = product.logo_path
    logos.put(actor=member, product_id=product.pk, data=picture(size=(5, 5)))

    assert Client().get(before).status_code == 404


# --- REST --------------------------------------------------------------------


def send(client, product, data: bytes, name: str = "logo.png"):
    url = f"/api/v1/provider/products/{product.pk}/logo"
    form = encode_multipart(BOUNDARY, {"logo": SimpleUploadedFile(name, data)})
    return client.put(url, form, content_type=MULTIPART_CONTENT)


@pytest.fixture
def rest(client, member):
    client.force_login(member)
    return client


def test_put_and_delete(rest, provider):
    product = ProductFactory(organization=provider)

    answer = send(rest, product, picture("WEBP"))

    assert answer.status_code == 200
    address = answer.json()["data"]["logo_url"]
    assert address.startswith("http")
    assert rest.get(address).status_code in {200, 301}
    assert rest.delete(f"/api/v1/provider/products/{product.pk}/logo").status_code == 204
    assert rest.get(f"/api/v1/provider/products/{product.pk}").json()["data"]["logo_url"] == ""


def test_a_refusal_names_the_field(rest, provider):
    product = ProductFactory(organization=provider)

    answer = send(rest, product, SVG, "logo.png")

    assert answer.status_code == 400
    assert "SVG" in answer.json()["error"]["details"]["logo"][0]
    assert send(rest, product, b"x" * 1_048_576).status_code == 413


def test_json_is_no_picture(rest, provider):
    product = ProductFactory(organization=provider)
    url = f"/api/v1/provider/products/{product.pk}/logo"

    assert rest.put(url, {"logo": "x"}, content_type="application/json").status_code == 415


def test_a_viewer_and_a_stranger_put_nothing(client, provider, viewer, stranger):
    product = ProductFactory(organization=provider)

    client.force_login(viewer)
    assert send(client, product, picture()).status_code == 403
    client.force_login(stranger)
    assert send(client, product, picture()).status_code == 404
    assert not Logo.objects.exists()


def test_writing_a_product_over_rest_leaves_its_logo(rest, product):
    body = {"name": "Renamed", "logo_url": "https://elsewhere.example/x.png"}

    rest.put(f"/api/v1/provider/products/{product.pk}", body, content_type="application/json")

    before = product.logo_path
    product.refresh_from_db()
    assert (product.name, product.logo_path) == ("Renamed", before)
