"""What an all-reduce takes on the network that is there: `python -m gan3d.training.fabric` measures it, as JSON.

Under `torchrun`, or with `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT` set, this process is one of the ranks, as a trial's
workers on several nodes would be (`GLOO_SOCKET_IFNAME` or `NCCL_SOCKET_IFNAME` name the interface); rank 0 prints. Otherwise it
starts `--processes` ranks on this machine.

A rank that enters late makes the others wait, which is not the network's doing: of each all-reduce the shortest wait over ranks counts,
as in `gan3d.training.clock`. Before each, ranks rest as they do while they compute (`idle_seconds`): TCP forgets the rate of a
connection that was idle for a few round trips (RFC 5681, section 4.1), so all-reduces without a pause would promise too much.
Latency and bandwidth are fitted to this by `gan3d.scaling.fabrics`. Not covered: NCCL is written but was never run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from gan3d.training.ranks import Ranks

#: Sizes that are reduced [bytes]: 1 KiB to 16 MiB.
SIZES = tuple(1 << exponent for exponent in range(10, 25))
ROUNDS = 7
#: Rest before each all-reduce [s]; longer than TCP's shortest retransmission time-out (0.2 s on Linux), after which it begins anew.
IDLE_SECONDS = 0.25
#: A rank that does not come for so long has failed [s].
MOST_SECONDS = 120
FLOAT_BYTES = 4


class Point(NamedTuple):
    """One all-reduce."""

    bytes: int
    seconds: float


def all_reduce_points(ranks: Ranks, sizes: Sequence[int] = SIZES, rounds: int = ROUNDS, idle_seconds: float = IDLE_SECONDS) -> list[Point]:
    """Time sums of float32 over all ranks; collective.

    Args:
        ranks: At least two.
        sizes: Of the tensors [bytes], each a multiple of 4; measured in turn, in each round.
        rounds: How often each size is measured, after one round that is not.
        idle_seconds: Rest of all ranks before each all-reduce [s].

    Returns:
        ``rounds`` points for each size, by round and size; equal on all ranks.
    """
    tensors = [torch.ones(size // FLOAT_BYTES, device=ranks.device) for size in sizes]
    seconds = torch.zeros(rounds + 1, len(sizes), dtype=torch.float64)
    for turn in seconds:
        for place, tensor in enumerate(tensors):
            time.sleep(idle_seconds)
            turn[place] = _seconds_of_sum(ranks, tensor)
            tensor.fill_(1.0)  # sums of sums would overflow
    shortest = -ranks.max(-seconds.to(ranks.device)).cpu()
    return [Point(size, value) for turn in shortest[1:].tolist() for size, value in zip(sizes, turn, strict=True)]


def _seconds_of_sum(ranks: Ranks, tensor: torch.Tensor) -> float:
    """Wall seconds on this rank, until the bytes are there."""
    _synchronise(tensor)
    start = time.perf_counter()
    ranks.sum(tensor)
    _synchronise(tensor)
    return time.perf_counter() - start


def _synchronise(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def report(ranks: Ranks, backend: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The document that rank 0 prints; collective."""
    points = all_reduce_points(ranks, arguments.sizes, arguments.rounds, arguments.idle_seconds)
    return {"world_size": ranks.world_size, "backend": backend, "idle_seconds": arguments.idle_seconds, "points": points}


def as_rank(rank: int, world_size: int, meeting: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Join the group that meets at ``meeting`` (an init method of torch.distributed), measure, leave."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    if arguments.backend == "nccl":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
        torch.cuda.set_device(device)
    dist.init_process_group(
        arguments.backend, init_method=meeting, rank=rank, world_size=world_size, timeout=timedelta(seconds=MOST_SECONDS)
    )
    try:
        return report(Ranks(rank, world_size, device, dist.group.WORLD), arguments.backend, arguments)
    finally:
        dist.destroy_process_group()


def on_this_machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure among ``arguments.processes`` processes that are started here.

    Raises:
        RuntimeError: one of them failed; why, it said on stderr.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        tasks = [(rank, f"file://{folder}/store", arguments, answer) for rank in range(arguments.processes)]
        processes = [context.Process(target=_started, args=task, daemon=True) for task in tasks]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            message = "a rank of the all-reduces failed; why, it says above"
            raise RuntimeError(message)
        return dict(json.loads(answer.read_text(encoding="utf-8")))


def _started(rank: int, meeting: str, arguments: argparse.Namespace, answer: Path) -> None:
    document = as_rank(rank, arguments.processes, meeting, arguments)
    if rank == 0:
        answer.write_text(json.dumps(document), encoding="utf-8")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m gan3d.training.fabric", description="Time all-reduces; prints JSON.")
    parser.add_argument("--backend", choices=("gloo", "nccl"), default="gloo", help="nccl was never run")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="ranks to start here, where no RANK is set")
    parser.add_argument("--sizes", type=_whole_floats, nargs="+", default=SIZES, metavar="BYTES", help="multiples of 4 bytes")
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, metavar="N", help="measurements of each size")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, metavar="SECONDS", help="rest before each")
    asked = parser.parse_args(arguments)
    if asked.processes < 2:
        parser.error(f"--processes {asked.processes}: an all-reduce takes at least 2")
    if "RANK" in os.environ and int(os.environ["WORLD_SIZE"]) < 2:
        parser.error(f"WORLD_SIZE {os.environ['WORLD_SIZE']}: an all-reduce takes at least 2 ranks")
    if not 0 <= asked.idle_seconds < MOST_SECONDS:
        parser.error(f"--idle-seconds {asked.idle_seconds:g} is not between 0 and {MOST_SECONDS}")
    return asked


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")  # noqa: EM102 - argparse shows it
    return number


def _whole_floats(text: str) -> int:
    size = int(text)
    if size < FLOAT_BYTES or size % FLOAT_BYTES:
        raise argparse.ArgumentTypeError(f"{size} bytes are no whole number of floats of {FLOAT_BYTES}")  # noqa: EM102 - argparse shows it
    return size


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = parsed(arguments)
    if "RANK" in os.environ:
        rank = int(os.environ["RANK"])
        document = as_rank(rank, int(os.environ["WORLD_SIZE"]), "env://", asked)
        if rank:
            return
    else:
        document = on_this_machine(asked)
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
