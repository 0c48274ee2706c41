"""What was done and what was seen, in order, from all threads."""

from __future__ import annotations

import threading
import time


class History:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.lines: list[str] = []
        self.violations: list[str] = []

    def note(self, who: str, what: str) -> None:
        with self._lock:
            self.lines.append(f"{time.monotonic() - self._began:7.2f}  {who:<8} {what}")

    def violate(self, invariant: str, what: str) -> None:
        """Each kind once: a broken gateway would fill the page with the same words."""
        with self._lock:
            if f"{invariant} {what}" not in self.violations:
                self.violations.append(f"{invariant} {what}")
                self.lines.append(
                    f"{time.monotonic() - self._began:7.2f}  {'!!':<8} {invariant} {what}"
                )
