"""How the project's stand-off labels agree with the gold labels that the public corpora carry: does the codebook mean what the field means?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escalation.signals import BY_NAME, ESCALATION
from training.corpus.schema import STANDOFF
from training.corpus.standoff import read_units


@dataclass(frozen=True)
class GoldAgreement:
    """Agreement with one corpus' gold labels, over the units that carry a phrase of ours.

    Attributes:
        units: labelled by both.
        marked: share in which we marked at least one phrase; the rest we read as out of scope or without a signal.
        binary: of the marked, share with a phrase of the gold's side (conflict or cooperation).
        quad: of the marked, share with a phrase of the gold quad class.
        root: of the marked, share with a phrase of the gold PLOVER root; None where the corpus has no roots.
    """

    units: int
    marked: float
    binary: float
    quad: float
    root: float | None


def compare_with_gold(corpora: Path, *, corpus: str = "plv", standoff: Path = STANDOFF) -> tuple[GoldAgreement, list[str]]:
    """Compares, and lists the ids of the units whose side (conflict or cooperation) differs.

    Args:
        corpora: folder with the public corpora.
        corpus: `"plv"`, `"cameo-train"` or `"cameo-test"`.
        standoff: folder with the stand-off labels.
    """
    from training.sources import read_source

    rows = {row["id"]: row for row in read_source(corpus, corpora) if row.get("quad")}
    units = [unit for unit in read_units(standoff) if unit.corpus == corpus and not unit.second and unit.row in rows]
    marked = [unit for unit in units if unit.phrases]
    binary, quad, root, differing = 0, 0, 0, []
    for unit in marked:
        row = rows[unit.row]
        signals = [BY_NAME[phrase.signal] for phrase in unit.phrases]
        conflict = row["quad"].endswith("conflict")
        same = any((signal.direction == ESCALATION) == conflict for signal in signals)
        binary += same
        quad += any(signal.quad == row["quad"] for signal in signals)
        root += any(signal.name == row.get("signal") for signal in signals)
        if not same:
            differing.append(unit.row)
    count = max(1, len(marked))
    has_roots = any("signal" in row for row in rows.values())
    found = GoldAgreement(len(units), len(marked) / max(1, len(units)), binary / count, quad / count, root / count if has_roots else None)
    return found, differing
