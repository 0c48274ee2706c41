"""Where things are on this machine: the checkout, the environment's programs, the wheels' binaries."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> Path:
    """A console script of the running environment, whatever PATH says."""
    found = Path(sys.executable).parent / name
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing. Run `make setup`.")
    return found


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it (some act when imported)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"The package {name} is not installed. Run `make setup`.")
    return Path(spec.origin).parent
