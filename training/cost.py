"""What a run cost: time, energy, carbon. Estimates of the last two, by constants that anyone can put others in for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = "steps.jsonl"
WATTS_A_CORE = 10.0  # a server's core with its share of memory, cooling and power supply: 200 to 350 W for 32 to 64 cores, times 1.5
WATTS_A_GPU = 1000.0  # 700 W (NVIDIA H100 and H200 SXM, data sheets) times the same 1.5
KG_A_KWH = 0.48  # world average of 2023 (Ember, Global Electricity Review 2024)


@dataclass(frozen=True)
class Cost:
    """Of one run, what it started from not counted.

    Attributes:
        steps: optimiser steps.
        hours: in steps; reading data and measuring on dev come on top.
        kwh: energy, estimated.
        kg: carbon dioxide equivalent, estimated.
        machine: what was counted.
    """

    steps: int
    hours: float
    kwh: float
    kg: float
    machine: str


def measure_cost(run: Path, described: dict[str, Any]) -> Cost | None:
    """Adds up the seconds of a run's steps; None where it kept no log of them.

    Args:
        run: the run's folder.
        described: its `run.json`.
    """
    path = run / STEPS
    if not path.is_file():
        return None
    seconds = {row["step"]: row["seconds"] for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()) if "seconds" in row}
    processes, cores, gpu = int(described.get("processes") or 1), int(described.get("cores") or 1), described.get("device", "cpu") != "cpu"
    watts = WATTS_A_GPU * processes if gpu else WATTS_A_CORE * cores
    hours = sum(seconds.values()) / 3600
    kwh = watts * hours / 1000
    count, unit = (processes, "GPU") if gpu else (cores, "core")
    return Cost(len(seconds), hours, kwh, kwh * KG_A_KWH, f"{count} {unit}{'s' if count > 1 else ''}")


def describe_cost(cost: Cost | None) -> str:
    """A paragraph for the card; empty where nothing is known."""
    if cost is None:
        return ""
    watts = f"{WATTS_A_CORE:.0f} W a core or {WATTS_A_GPU:.0f} W a GPU with cooling, {KG_A_KWH} kg/kWh, the world's average of 2023 by Ember"
    return f"""## Time and carbon

This run took {cost.steps:,} steps in {cost.hours:.2f} hours on {cost.machine}: about {cost.kwh:.3f} kWh and {cost.kg:.3f} kg CO2e
({watts}). What it started from, its teachers and the
runs that were not shipped are not counted; the log of experiments names them.

"""
