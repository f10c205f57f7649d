"""Where workers are: how cards, CPUs and threads are shared out among them, on this machine and on a cluster."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from curate.foundation.errors import FewposeError, UsageError
from curate.workers.settings import WorkerSettings

CPUS_OF_A_MODEL = 8  # at most, for one worker of a cluster, where there is no card


@dataclass(frozen=True)
class Needs:
    """What a worker makes use of. The default: one CPU."""

    device: str = ""  # as --device names it: auto, cpu, cuda, cuda:1; "" is never a card
    cpus: int = 1  # at most, of a cluster, for a worker without a card


@dataclass(frozen=True)
class Place:
    """What one worker is given."""

    number: int = 0  # from 0; one that is lost is replaced by another of the same number
    device: str = "cpu"
    threads: int = 1  # that it should compute with
    node: str = ""  # of the cluster, where it matters which


def on_this_machine(asked: WorkerSettings, needs: Needs, cards: int | None = None) -> list[Place]:
    """A place for each worker that was asked for, with its part of the CPUs.

    Where no number was asked for: of workers with a model one for each card where there are several, else one; of
    others one for each CPU. Cards are taken in turn, unless one was named.

    cards: number of cards of the machine; None counts them.
    """
    cpus = os.cpu_count() or 1
    cards = _cards(needs.device) if cards is None else cards
    if not needs.device:
        devices = ["cpu"] * (asked.workers or cpus)
    elif needs.device in ("auto", "cuda") and cards > 1:
        devices = [f"cuda:{number % cards}" for number in range(asked.workers or cards)]
    else:
        devices = [needs.device] * (asked.workers or 1)
    threads = max(1, cpus // len(devices))
    return [Place(number, device, threads) for number, device in enumerate(devices)]


def _cards(device: str) -> int:
    """Number of cards to share out; 0 where `device` names one, or none."""
    if device not in ("auto", "cuda"):
        return 0
    import torch

    return torch.cuda.device_count()


@dataclass(frozen=True)
class ClusterPlaces:
    """Where workers of a cluster find room."""

    claim: dict[str, float]  # what each takes of the cluster, as Ray's options
    places: list[Place]


def on_cluster(nodes: Sequence[dict[str, float]], asked: WorkerSettings, needs: Needs, most: int) -> ClusterPlaces:
    """A card or a share of one for each worker, or else some CPUs.

    nodes: the resources of each, as Ray names them. most: workers that have something to do, at least 1.
    Raises UsageError for a device that the cluster lacks or Ray chooses, FewposeError where it has no CPU.
    """
    cards = sum(int(node.get("GPU", 0)) for node in nodes)
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if needs.device not in ("", "auto", "cpu", "cuda"):
        raise UsageError(f"--device {needs.device}: with --engine ray it is auto, cpu or cuda; Ray chooses which")
    if needs.device == "cuda" and not cards:
        raise UsageError("--device cuda: the Ray cluster has no GPU; add one, or use --device cpu")
    if cards and needs.device in ("auto", "cuda"):
        there = cards * int(1 / asked.gpu_share + 1e-9)
        device, threads = "cuda", max(1, sum(cpus) // there)
        claim: dict[str, float] = {"num_gpus": asked.gpu_share, "num_cpus": 0}
    else:
        threads = _cpus_each(cpus, needs.cpus, asked.workers)
        there = sum(count // threads for count in cpus)
        device, claim = "cpu", {"num_cpus": threads}
    number = min(there, asked.workers or there, most)
    return ClusterPlaces(claim, [Place(each, device, threads) for each in range(number)])


def _cpus_each(cpus: Sequence[int], most: int, workers: int) -> int:
    """The most CPUs for each, so that `workers` find room on these nodes; for 0 workers `most`, if a node has them.

    Raises FewposeError where no node has a CPU.
    """
    if not any(cpus):
        raise no_cpu()
    fitting = (each for each in range(min(most, max(cpus)), 1, -1) if sum(n // each for n in cpus) >= workers)
    return next(fitting, 1)


def on_each_cpu(nodes: dict[str, dict[str, float]]) -> list[Place]:
    """A place for each CPU of a cluster, such that any first few are spread over as many nodes as there are.

    nodes: the resources of each, by its id. Raises FewposeError where there is no CPU.
    """
    cpus = {node: int(resources.get("CPU", 0)) for node, resources in nodes.items()}
    spread = [node for turn in range(max(cpus.values(), default=0)) for node in sorted(cpus) if turn < cpus[node]]
    if not spread:
        raise no_cpu()
    return [Place(number, node=node) for number, node in enumerate(spread)]


def no_cpu() -> FewposeError:
    """The error of a cluster that has nothing to compute with."""
    return FewposeError("the Ray cluster has no node with a CPU: add one, or leave out --engine ray")
