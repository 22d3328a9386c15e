"""The losses: every kind of label trains the token evidence, directly or through the pooling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from escalation.evaluation.labelled import QUADS
from escalation.evidence import DIRECTION_LOGITS, SCOPE_LOGIT, SEVERITY_LOGIT, SIGNAL_LOGITS, STATUS_LOGITS
from escalation.signals import SIGNALS
from training.batches import UNKNOWN, Batch
from training.config import LossWeights
from training.network import pool_tokens

QUAD_OF_SIGNAL = torch.tensor([QUADS.index(signal.quad) for signal in SIGNALS])
EVENT_SIGNALS = torch.tensor([signal.plover is not None for signal in SIGNALS])
EDGE = 1e-4  # probabilities are kept this far from 0 and 1 in logarithms


def mean_known(loss: Tensor, known: Tensor) -> Tensor:
    """Mean of `loss` over the places where `known` is true; 0 where there are none."""
    return torch.where(known, loss, torch.zeros_like(loss)).sum() / known.sum().clamp(min=1)


def binary(probability: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of probabilities against 0/1 targets, NaN targets left out."""
    known = ~target.isnan()
    p = probability.clamp(EDGE, 1 - EDGE)
    return mean_known(F.binary_cross_entropy(p, target.nan_to_num(), reduction="none"), known)


def event_loss(signal: Tensor, event: Tensor, quad: Tensor) -> Tensor:
    """Cross-entropy of the one gold PLOVER signal, or of the gold quad class, over the pooled signal probabilities made to sum to 1.

    `restrain` is left out: PLOVER codes it as something else or not at all.
    """
    shares = signal * EVENT_SIGNALS.to(signal.device)
    shares = (shares + EDGE) / (shares + EDGE).sum(dim=1, keepdim=True)
    quads = torch.zeros((len(signal), len(QUADS)), device=signal.device).index_add(1, QUAD_OF_SIGNAL.to(signal.device), shares)
    by_event = -shares.gather(1, event.clamp(min=0)[:, None])[:, 0].log()
    by_quad = -quads.gather(1, quad.clamp(min=0)[:, None])[:, 0].log()
    return mean_known(by_event, event >= 0) + 0.5 * mean_known(by_quad, (quad >= 0) & (event < 0))


def teacher_loss(kept: Tensor, taught: Tensor) -> Tensor:
    """How far the evidence is from a teacher's (Hinton, Vinyals and Dean 2015, at temperature 1): cross-entropy against its probabilities.

    Signals and scope count on every token; status, direction and severity as much as the teacher sees a phrase there, for they mean nothing elsewhere.

    Args:
        kept: `(n_tokens, N_LOGITS)`.
        taught: the same of the teacher, NaN where it was not asked.
    """
    known = ~taught[:, 0].isnan()
    if not known.any():
        return kept.sum() * 0.0
    kept, taught = kept[known], taught[known]
    signal = taught[:, SIGNAL_LOGITS].softmax(dim=1)
    weight = 1.0 - signal[:, 0]
    total = weight.sum() + 1.0
    soft = taught.sigmoid()
    pairs = F.binary_cross_entropy_with_logits(kept, soft, reduction="none")
    by_status = -(taught[:, STATUS_LOGITS].softmax(dim=1) * kept[:, STATUS_LOGITS].log_softmax(dim=1)).sum(dim=1)
    by_phrase = 0.5 * by_status + pairs[:, DIRECTION_LOGITS].mean(dim=1) + pairs[:, SEVERITY_LOGIT]
    by_token = -(signal * kept[:, SIGNAL_LOGITS].log_softmax(dim=1)).sum(dim=1)
    return 4 * by_token.mean() + (weight * by_phrase).sum() / total + 0.5 * pairs[:, SCOPE_LOGIT].mean()


def compute_losses(logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The losses of a step by name (those of `LossWeights`).

    Args:
        logits: `(n_windows, width, N_LOGITS)`.
        batch: the step's labels.
    """
    kept = logits.reshape(-1, logits.shape[-1])[batch.index].float()
    pools = pool_tokens(kept, batch.sentence, len(batch.severity))
    in_phrase = batch.signal > 0
    return {
        "phrase_signal": F.cross_entropy(kept[:, SIGNAL_LOGITS], batch.signal, ignore_index=UNKNOWN, reduction="sum")
        / (batch.signal != UNKNOWN).sum().clamp(min=1) * 4,
        "phrase_direction": mean_known(
            F.binary_cross_entropy_with_logits(kept[:, DIRECTION_LOGITS], batch.counted.nan_to_num(), reduction="none"),
            in_phrase[:, None] & ~batch.counted.isnan(),
        ),
        "phrase_status": F.cross_entropy(kept[:, STATUS_LOGITS], batch.status, ignore_index=UNKNOWN, reduction="sum")
        / (batch.status != UNKNOWN).sum().clamp(min=1),
        "direction": binary(pools.direction, batch.direction),
        "severity": mean_known(F.smooth_l1_loss(pools.severity, batch.severity.nan_to_num(), reduction="none", beta=0.1), ~batch.severity.isnan()),
        "scope": mean_known(
            F.binary_cross_entropy_with_logits(pools.scope, batch.scope.nan_to_num(), reduction="none"), ~batch.scope.isnan()
        ),
        "signal": binary(pools.signal, batch.signals),
        "event": event_loss(pools.signal, batch.event, batch.quad),
        "teacher": teacher_loss(kept, batch.taught),
    }  # fmt: skip


def total_loss(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weighted sum of the losses."""
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()
