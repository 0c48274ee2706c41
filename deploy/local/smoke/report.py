"""What was checked and what it took, printed while it happens and as one JSON line at the end."""

from __future__ import annotations

import json

from deploy.local.smoke.portal import SmokeError


class Report:
    """The first thing that does not hold ends the run."""

    def __init__(self) -> None:
        self.checks: dict[str, bool] = {}
        self.timings_ms: dict[str, float] = {}
        self.main_job_seconds = 0.0
        self.error = ""

    def check(self, name: str, holds: bool, seen: object = "") -> None:
        self.checks[name] = holds
        print(f"  {'ok ' if holds else 'NO '} {name}{'' if holds else f': saw {seen}'}", flush=True)
        if not holds:
            raise SmokeError(f"{name}: saw {seen}")

    def expect(self, name: str, seen: object, wanted: object) -> None:
        self.check(name, seen == wanted, f"{seen}, wanted {wanted}")

    def line(self, seconds: float) -> str:
        return json.dumps(
            {
                "ok": not self.error,
                "checks": self.checks,
                "timings_ms": self.timings_ms,
                "main_job_seconds": self.main_job_seconds,
                "seconds": round(seconds, 1),
                **({"error": self.error} if self.error else {}),
            }
        )
