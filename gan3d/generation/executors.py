"""Pieces of work done side by side, by processes of this machine or by tasks of a Ray cluster; results come as they are done."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from gan3d.errors import DataError

Work = Callable[[int], int]
Executor = Callable[[Work, Sequence[int]], Iterator[int]]

#: How often a Ray task is tried anew whose node or process has died.
RETRIES = 3


def processes(number: int) -> Executor:
    """Of this machine, started afresh; 1 starts none."""

    def done(work: Work, pieces: Sequence[int]) -> Iterator[int]:
        if number == 1 or len(pieces) < 2:
            yield from map(work, pieces)
            return
        # Ctrl-C is for the parent alone: the pieces that are being made are finished, and those that wait are dropped.
        spawn, ignored = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
        with ProcessPoolExecutor(min(number, len(pieces)), spawn, initializer=signal.signal, initargs=ignored) as pool:
            waiting = [pool.submit(work, piece) for piece in pieces]
            try:
                for future in as_completed(waiting):
                    yield future.result()
            except BrokenProcessPool as problem:
                message = "a process was killed, perhaps for want of memory. What was done is kept: the same command goes on from there."
                raise DataError(message) from problem
            finally:
                for future in waiting:
                    future.cancel()

    return done


def ray_tasks(address: str) -> Executor:
    """Of a cluster that someone else started, a CPU each; all nodes must see the same files."""

    def done(work: Work, pieces: Sequence[int]) -> Iterator[int]:
        import ray

        ray.init(address=address, log_to_driver=False)
        try:
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(_apply)
            waiting = [task.remote(work, piece) for piece in pieces]
            while waiting:
                (ready, *_), waiting = ray.wait(waiting, num_returns=1)
                yield int(ray.get(ready))
        finally:
            ray.shutdown()

    return done


def _apply(work: Work, piece: int) -> int:
    return work(piece)
