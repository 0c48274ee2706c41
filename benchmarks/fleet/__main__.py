"""Commands are JSON lines on stdin, answers JSON lines on stdout; the end of stdin ends the fleet."""

from __future__ import annotations

import argparse

from benchmarks.fleet.fleet import Fleet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="host:port of agentd")
    parser.add_argument("--ca", default="", help="PEM file; without it the stream is not encrypted")
    parser.add_argument("--agents", required=True, help="JSON lines of id, cluster and key")
    parser.add_argument("--share", default="0/1", help="which part of them: 0/2 and 1/2")
    parser.add_argument("--work", action="store_true", help="read manifests and give verdicts")
    Fleet(parser.parse_args()).run()


if __name__ == "__main__":
    main()
