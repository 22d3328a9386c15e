"""Several processes as one: each takes its share of a step's micro-batches, and the gradients are summed.

Started by `torchrun` or `accelerate launch`, which say in the environment who is who; started plainly, there is one process and nothing to do. The step is that
of one process that takes all the micro-batches itself: the loss is their mean, and what is random in one depends on its number, not on who takes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

TIMEOUT = timedelta(hours=3)  # the others wait while the first measures on dev and writes


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        local: its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def lead(self) -> bool:
        """Whether this is the one that writes, measures and speaks."""
        return self.rank == 0

    def device(self) -> torch.device:
        """The GPU of this process, or the CPU where there is none.

        Raises:
            ValueError: more processes than GPUs.
        """
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if self.local >= torch.cuda.device_count():
            raise ValueError(f"process {self.local} on this machine has no GPU: there are {torch.cuda.device_count()}; start as many processes as GPUs")
        return torch.device("cuda", self.local)

    def share(self, count: int) -> range:
        """The numbers of the micro-batches, of `count`, that this process takes; none where there are fewer than processes."""
        return range(self.rank, count, self.world)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over the processes."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, network: nn.Module) -> None:
        """Replaces every gradient by its sum over the processes; one exchange for all of them."""
        if self.world == 1:
            return
        parameters = [p for p in network.parameters() if p.requires_grad]
        flat = self.sum(torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters]))
        for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def share_object(self, value: Any) -> Any:
        """The first process' value, everywhere."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


@contextmanager
def join_processes() -> Iterator[Processes]:
    """This process among those that the launcher started, connected for as long as the context lasts: NCCL on GPUs, Gloo on CPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    device = processes.device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield processes
        distributed.barrier()  # one that takes its connections down while another still uses them can abort that one
    finally:
        distributed.destroy_process_group()
