"""Training in several processes, one a GPU, under `torchrun`. In one process every function here does nothing.

Gradients are averaged, so N processes of batch b take the step that one process takes with a batch of N b. Two things
see only their own process's pictures: BatchNorm on the CPU (on GPUs it is replaced by SyncBatchNorm, which sees all),
and dropout's noise. Networks of GroupNorm have no such difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

# How long processes wait for one another: the first measures the colours of the whole folder while the others wait, for
# which NCCL's own ten minutes are not enough.
PATIENCE = timedelta(hours=4)


@dataclass(frozen=True)
class Processes:
    """This process's number, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes; a NaN in one is a NaN in all."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.size
        return values

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """All gradients in one message a dtype: the networks are small beside the wire's latency."""
        if self.size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_dtype.values():
            flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
            for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(piece.view(gradient.shape))

    @torch.no_grad()
    def broadcast(self, network: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                plain = tensor.contiguous()
                dist.broadcast(plain, 0)
                tensor.copy_(plain)

    def synchronise(self, network: nn.Module, device: torch.device) -> nn.Module:
        """BatchNorm over the pictures of all processes, where torch can: on GPUs."""
        if self.size > 1 and device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return network


@contextmanager
def join(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that `torchrun` started, if it did, each on the GPU of its own number."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size()), device
    finally:
        if ours:
            dist.destroy_process_group()
