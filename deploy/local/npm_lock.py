"""Writes package-lock.json anew without any address: `python -m deploy.local.npm_lock`.

npm records where one machine happened to find each package, and pages that ask for money. Neither
belongs in the repository: the hashes alone say what is installed.
"""

import json
import subprocess
import sys

from deploy.local import assets, paths

LOCK = paths.ROOT / "package-lock.json"
ADDRESSES = ("resolved", "funding")


def main() -> None:
    command, env = assets.npm()
    result = subprocess.run(
        [*command, "install", "--package-lock-only", "--loglevel=error"],
        cwd=paths.ROOT,
        env=env,
        check=False,
    )
    if result.returncode:
        sys.exit("npm could not resolve package.json; its own words are above.")
    document = without_addresses(json.loads(LOCK.read_text()))
    LOCK.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def without_addresses(node: object) -> object:
    """The same document less every address."""
    if isinstance(node, dict):
        kept = {name: value for name, value in node.items() if name not in ADDRESSES}
        return {name: without_addresses(value) for name, value in kept.items()}
    return [without_addresses(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    main()
