"""The losses: every kind of label trains the token evidence, directly or through the pooling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from escalation.evaluation.labelled import QUADS
from escalation.evidence import DIRECTION_LOGITS, EVENT_LOGITS, EVENT_SIGNALS, SCOPE_LOGIT, SEVERITY_LOGIT, SIGNAL_LOGITS, STATUS_LOGITS
from escalation.signals import SIGNALS
from training.batches import UNKNOWN, Batch
from training.config import LossWeights
from training.network import pool_tokens

QUAD_OF_SIGNAL = torch.tensor([QUADS.index(signal.quad) for signal in SIGNALS])
EVENT_TENSOR = torch.tensor(EVENT_SIGNALS)
EDGE = 1e-4  # probabilities are kept this far from 0 and 1 in logarithms


def mean_known(loss: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Mean of `loss` × `weight` over the places where `known` is true; 0 where there are none.

    Divided by the number of places, not by the weights: a factor is a factor, whatever else is in the batch. `weight` is `(n,)`, one a row of `loss`.
    """
    weighted = loss * weight.reshape(-1, *[1] * (loss.dim() - 1))
    return torch.where(known, weighted, torch.zeros_like(loss)).sum() / known.sum().clamp(min=1)


def binary(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of probabilities against 0/1 targets, NaN targets left out."""
    known = ~target.isnan()
    p = probability.clamp(EDGE, 1 - EDGE)
    return mean_known(F.binary_cross_entropy(p, target.nan_to_num(), reduction="none"), known, weight)


def event_loss(shares: Tensor, event: Tensor, quad: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the one gold PLOVER event, or of its quad class where only that is known.

    Args:
        shares: `(n_sentences, 15)` logarithm of the probability of each event; the probabilities are 1 in all.
        event: `(n_sentences,)` signal, one that PLOVER has; -1 unknown.
        quad: `(n_sentences,)` quad class, -1 unknown.
        weight: `(n_sentences,)` factors.
    """
    signals = EVENT_TENSOR.to(shares.device)
    column = (event.clamp(min=0)[:, None] == signals).int().argmax(dim=1, keepdim=True)
    by_event = -shares.gather(1, column)[:, 0]
    inside = QUAD_OF_SIGNAL.to(shares.device)[signals] == quad.clamp(min=0)[:, None]
    by_quad = -torch.where(inside, shares, torch.full_like(shares, -torch.inf)).logsumexp(dim=1)
    return mean_known(by_event, event >= 0, weight) + 0.5 * mean_known(by_quad, (quad >= 0) & (event < 0), weight)


def share_out(signal: Tensor) -> Tensor:
    """Probabilities of the 16 signals, `(n_sentences, 16)`, to logarithms of those of the 15 events, 1 in all; PLOVER has no `restrain`."""
    shares = signal[:, EVENT_TENSOR.to(signal.device)] + EDGE
    return (shares / shares.sum(dim=1, keepdim=True)).log()


def teacher_loss(kept: Tensor, taught: Tensor, factor: Tensor) -> Tensor:
    """How far the evidence is from a teacher's (Hinton, Vinyals and Dean 2015, at temperature 1): cross-entropy against its probabilities.

    Signals and scope count on every token; status, direction and severity as much as the teacher sees a phrase there, for they mean nothing elsewhere.
    Events have a loss of their own (`event_teacher_loss`), since they are a sentence's and not a token's.

    Args:
        kept: `(n_tokens, N_LOGITS)`.
        taught: `(n_tokens, 26)` of the teacher, NaN where it was not asked.
        factor: `(n_tokens,)` weight of each token's sentence.
    """
    known = ~taught[:, 0].isnan()
    if not known.any():
        return kept.sum() * 0.0
    kept, taught, factor = kept[known, : EVENT_LOGITS.start], taught[known], factor[known]
    signal = taught[:, SIGNAL_LOGITS].softmax(dim=1)
    weight = 1.0 - signal[:, 0]
    total = weight.sum() + 1.0
    soft = taught.sigmoid()
    pairs = F.binary_cross_entropy_with_logits(kept, soft, reduction="none")
    by_status = -(taught[:, STATUS_LOGITS].softmax(dim=1) * kept[:, STATUS_LOGITS].log_softmax(dim=1)).sum(dim=1)
    by_phrase = 0.5 * by_status + pairs[:, DIRECTION_LOGITS].mean(dim=1) + pairs[:, SEVERITY_LOGIT]
    by_token = -(signal * kept[:, SIGNAL_LOGITS].log_softmax(dim=1)).sum(dim=1)
    return 4 * (factor * by_token).mean() + (factor * weight * by_phrase).sum() / total + 0.5 * (factor * pairs[:, SCOPE_LOGIT]).mean()


def event_teacher_loss(shares: Tensor, taught: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the events against a teacher's probabilities (Hinton, Vinyals and Dean 2015, at temperature 1).

    Few texts have a gold event, and a small network knows those by heart; a teacher says of every sentence which event a coder would choose.

    Args:
        shares: `(n_sentences, 15)` logarithm of the probability of each event.
        taught: `(n_sentences, 15)` logits of the teacher, NaN where it was not asked.
        weight: `(n_sentences,)` factors.
    """
    return mean_known(-(taught.nan_to_num().softmax(dim=1) * shares).sum(dim=1), ~taught[:, 0].isnan(), weight)


def consistency_loss(first: Tensor, second: Tensor, factor: Tensor) -> Tensor:
    """How far two readings of the same tokens under different dropout are from each other (R-Drop; Liang et al. 2021): symmetric Kullback-Leibler divergence.

    Counted as a teacher is (`teacher_loss`): signals and scope on every token, status, direction and severity as much as the two see a phrase there.

    Args:
        first: `(n_tokens, N_LOGITS)`.
        second: the same of the other pass.
        factor: `(n_tokens,)` weight of each token's sentence.
    """

    def apart(columns: slice) -> Tensor:
        p, q = first[:, columns].log_softmax(dim=1), second[:, columns].log_softmax(dim=1)
        return ((p.exp() - q.exp()) * (p - q)).sum(dim=1) / 2

    pairs = (first.sigmoid() - second.sigmoid()) * (first - second) / 2
    weight = 1.0 - (first[:, SIGNAL_LOGITS].softmax(dim=1)[:, 0] + second[:, SIGNAL_LOGITS].softmax(dim=1)[:, 0]).detach() / 2
    by_phrase = 0.5 * apart(STATUS_LOGITS) + pairs[:, DIRECTION_LOGITS].mean(dim=1) + pairs[:, SEVERITY_LOGIT]
    by_token = 4 * apart(SIGNAL_LOGITS) + 0.5 * pairs[:, SCOPE_LOGIT]
    return (factor * by_token).mean() + (factor * weight * by_phrase).sum() / (weight.sum() + 1.0)


def average_losses(passes: list[Tensor], batch: Batch) -> dict[str, Tensor]:
    """The losses of a step by name (those of `LossWeights`): the mean over its passes through the network, and how far the two, if there are two, are apart."""
    each = [compute_losses(logits, batch) for logits in passes]
    losses = {name: torch.stack([found[name] for found in each]).mean() for name in each[0]}
    kept = [logits.reshape(-1, logits.shape[-1])[batch.index].float() for logits in passes]
    losses["consistency"] = consistency_loss(kept[0], kept[-1], batch.weight[batch.sentence])
    return losses


def compute_losses(logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The losses of one pass through the network by name (those of `LossWeights` but `consistency`).

    Args:
        logits: `(n_windows, width, N_LOGITS)`.
        batch: the step's labels.
    """
    kept = logits.reshape(-1, logits.shape[-1])[batch.index].float()
    pools = pool_tokens(kept, batch.sentence, len(batch.severity))
    in_phrase = batch.signal > 0
    weight, token_weight = batch.weight, batch.weight[batch.sentence]
    return {
        "phrase_signal": 4 * mean_known(
            F.cross_entropy(kept[:, SIGNAL_LOGITS], batch.signal, ignore_index=UNKNOWN, reduction="none"), batch.signal != UNKNOWN, token_weight
        ),
        "phrase_direction": mean_known(
            F.binary_cross_entropy_with_logits(kept[:, DIRECTION_LOGITS], batch.counted.nan_to_num(), reduction="none"),
            in_phrase[:, None] & ~batch.counted.isnan(), token_weight,
        ),
        "phrase_status": mean_known(
            F.cross_entropy(kept[:, STATUS_LOGITS], batch.status, ignore_index=UNKNOWN, reduction="none"), batch.status != UNKNOWN, token_weight
        ),
        "direction": binary(pools.direction, batch.direction, weight * batch.label_weight),
        "severity": mean_known(F.smooth_l1_loss(pools.severity, batch.severity.nan_to_num(), reduction="none", beta=0.1), ~batch.severity.isnan(), weight),
        "scope": mean_known(
            F.binary_cross_entropy_with_logits(pools.scope, batch.scope.nan_to_num(), reduction="none"), ~batch.scope.isnan(), weight
        ),
        "signal": binary(pools.signal, batch.signals, weight),
        "event": event_loss(pools.event, batch.event, batch.quad, weight),
        "event_signal": event_loss(share_out(pools.signal), batch.event, batch.quad, weight),
        "teacher": teacher_loss(kept, batch.taught, token_weight),
        "event_teacher": event_teacher_loss(pools.event, batch.event_taught, weight),
    }  # fmt: skip


def total_loss(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weighted sum of the losses."""
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()
