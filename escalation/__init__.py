"""escalation: reads news and says how far it moves a dispute towards or away from conflict, and which words say so.

from escalation import score
result = score("A measured response has been given, the minister said.")
result.label, result.score, result.highlights
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from escalation.result import Coverage, Highlight, Score, SentenceScore

if TYPE_CHECKING:
    from escalation.scorer import Scorer

__version__ = "0.1.0"
__all__ = ["Coverage", "Highlight", "Score", "Scorer", "SentenceScore", "load", "score"]


def __getattr__(name: str) -> object:
    """`load`, `score` and `Scorer` come with their first use, so that `import escalation` loads no runtime."""
    if name in ("load", "score", "Scorer"):
        from escalation import scorer

        return getattr(scorer, name)
    raise AttributeError(f"module 'escalation' has no attribute {name!r}; it has {', '.join(__all__)}")
