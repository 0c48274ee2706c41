"""Figures beside their targets and baselines: printed as a table, kept as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float | None
    unit: str
    target: float | None = None
    at_least: bool = False  # else the target is an upper bound
    baseline: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None or self.value is None:
            return ""
        met = self.value >= self.target if self.at_least else self.value <= self.target
        return "met" if met else "MISSED"


@dataclass
class Result:
    """What one benchmark found. `raw` holds the samples."""

    name: str
    quick: bool
    figures: list[Figure] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine.facts)
    began: float = field(default_factory=time.time)

    def add(self, name: str, value: float | None, unit: str, **beside: Any) -> None:
        rounded = None if value is None else round(value, 3 if abs(value) < 10 else 1)
        self.figures.append(Figure(name, rounded, unit, **beside))
        print(f"    {name}: {rounded} {unit}", flush=True)

    def add_times(
        self, name: str, seconds: Sequence[float], *, p50: float | None = None,
        p99: float | None = None, baseline: str = "",
    ) -> None:  # fmt: skip
        """Two figures in milliseconds; all samples are kept."""
        ms = sorted(each * 1000 for each in seconds)
        self.raw[name] = [round(each, 3) for each in ms]
        runs = f"{name}, n={len(ms)}"
        self.add(f"{runs}: p50", quantile(ms, 0.5), "ms", target=p50, baseline=baseline)
        self.add(f"{runs}: p99", quantile(ms, 0.99), "ms", target=p99, baseline=baseline)

    def save(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = _file(self.name, quick=self.quick)
        self.machine["load_after"] = machine.load()
        document = asdict(self) | {"seconds": round(time.time() - self.began, 1)}
        document["figures"] = [asdict(each) | {"verdict": each.verdict} for each in self.figures]
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path


def saved(names: Iterable[str], *, quick: bool) -> list[dict[str, Any]]:
    """The last results that there are."""
    files = [_file(name, quick=quick) for name in names]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def _file(name: str, *, quick: bool) -> Path:
    return RESULTS / f"{name}{'.quick' if quick else ''}.json"


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest sample that this share of all does not exceed. No interpolation: it happened."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def table(documents: Iterable[dict[str, Any]]) -> str:
    rows = [("benchmark", "figure", "measured", "target", "", "baseline")]
    for document in documents:
        for each in document["figures"]:
            value = "none" if each["value"] is None else f"{each['value']:g} {each['unit']}"
            sign = "≥" if each["at_least"] else "≤"
            target = "" if each["target"] is None else f"{sign} {each['target']:g}"
            name = document["name"] + (" (quick)" if document["quick"] else "")
            rows.append((name, each["name"], value, target, each["verdict"], each["baseline"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join(
            (*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])
        ).rstrip()
        for row in rows
    )
