import re

import pytest

from deploy.local import assets

pytestmark = pytest.mark.skipif(
    not assets.MODULES.is_dir(), reason="`make assets` has not been run here"
)
REFERENCE = re.compile(r"""url\(\s*["']?([^"')]+)""")


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    target = tmp_path_factory.mktemp("static") / "vendor"
    assets.build(target)
    return target


def test_style_sheets_refer_only_to_files_that_are_there(vendor):
    """Or hashed file names (ManifestStaticFilesStorage) fail on them."""
    missing = [
        (sheet.name, reference)
        for sheet in vendor.rglob("*.css")
        for reference in REFERENCE.findall(sheet.read_text())
        if not reference.startswith(("data:", "#")) and not (sheet.parent / reference).exists()
    ]
    assert not missing


def test_no_source_map_is_named(vendor):
    scripts = [*vendor.rglob("*.js"), *vendor.rglob("*.css")]
    assert len(scripts) >= 7
    assert not [path.name for path in scripts if b"sourceMappingURL" in path.read_bytes()]


def test_the_sprite_has_every_icon_once(vendor):
    sprite = (vendor / "icons" / "sprite.svg").read_text()
    wanted = sorted(set(assets.ICON_NAMES.read_text().split()))
    assert re.findall(r'<symbol id="([^"]+)"', sprite) == wanted
    assert all(len(part) > 20 for part in re.findall(r"<symbol[^>]*>(.*?)</symbol>", sprite))


def test_an_unknown_icon_is_named(tmp_path, monkeypatch):
    names = tmp_path / "icons.txt"
    names.write_text("server-2\nno-such-icon\n")
    monkeypatch.setattr(assets, "ICON_NAMES", names)

    with pytest.raises(assets.AssetError, match="no-such-icon"):
        assets.build_sprite(tmp_path / "sprite.svg")


def test_a_failed_build_leaves_the_old_files(vendor, monkeypatch):
    monkeypatch.setitem(assets.ALLOWED, "no/such/file.js", "x/file.js")

    with pytest.raises(assets.AssetError):
        assets.build(vendor)

    assert (vendor / "htmx" / "htmx.min.js").exists()


def test_nothing_that_is_not_open_source_is_shipped(vendor):
    """Tabler's package also carries chart and editor libraries under other terms."""
    assert not [path for path in vendor.rglob("*") if "apexcharts" in path.name.lower()]
