import re
import shutil
import subprocess

import pytest

from deploy.local import paths

MAKEFILE = (paths.ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))


def make(*arguments, **env):
    return subprocess.run(
        ["make", *arguments],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=env or None,
    )


def test_help_lists_every_target():
    listed = set(re.findall(r"make ([a-z-]+)", make("help").stdout))

    assert listed == TARGETS


def test_every_target_is_phony():
    phony = MAKEFILE.replace("\\\n", " ").partition(".PHONY:")[2].partition("\n")[0].split()

    assert set(phony) == TARGETS


@pytest.mark.parametrize("found", ["", "python2-of-old"])
def test_no_suitable_python_is_a_clear_error(tmp_path, found):
    """In a copy, since here .venv exists already."""
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    if found:
        old = tmp_path / "python3"
        old.write_text("#!/bin/sh\nexit 1\n")
        old.chmod(0o755)
    result = subprocess.run(
        [
            shutil.which("make"),
            ".venv/bin/python",
            f"PYTHON={tmp_path / 'python3' if found else ''}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode != 0
    assert "Python 3.11" in result.stdout
