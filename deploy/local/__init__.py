"""Runs the whole topology on one machine from Python wheels: no Docker, no root, no apt.

Nothing here imports Django: `make demo` and the tests use it before the portal can even be configured.
"""
