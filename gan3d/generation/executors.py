"""Pieces of work done side by side, by processes of this machine or by tasks of a Ray cluster; results come as they are done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from gan3d.errors import ConfigError, DataError

Work = Callable[[int], int]
Executor = Callable[[Work, Sequence[int]], Iterator[int]]

#: How often a Ray task is tried anew whose node or process has died.
RETRIES = 3
#: How often a process looks whether the one that started it is there [s].
LOOK_SECONDS = 1.0


def processes(number: int) -> Executor:
    """Of this machine, started afresh; 1 starts none."""

    def done(work: Work, pieces: Sequence[int]) -> Iterator[int]:
        if number == 1 or len(pieces) < 2:
            yield from map(work, pieces)
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(number, len(pieces)), spawn, initializer=_begin, initargs=(os.getpid(),)) as pool:
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


def _begin(parent: int) -> None:
    """Of a process of the pool. Ctrl-C is for the parent alone: pieces that are being made are finished, those that wait are dropped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A pool's processes wait for work for ever when their parent was killed."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def ray_tasks(address: str) -> Executor:
    """Of a cluster that someone else started, a CPU each; all nodes must see the same files.

    Raises:
        ConfigError: no cluster answers there.
    """
    import ray

    from gan3d.search.cluster import why_unreachable

    if why := why_unreachable(address):
        raise _no_cluster(address, why)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        raise _no_cluster(address, str(problem)) from problem

    def done(work: Work, pieces: Sequence[int]) -> Iterator[int]:
        try:
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(_apply)
            waiting = [task.remote(work, piece) for piece in pieces]
            while waiting:
                (ready, *_), waiting = ray.wait(waiting, num_returns=1)
                yield int(ray.get(ready))
        finally:
            ray.shutdown()

    return done


def _no_cluster(address: str, why: str) -> ConfigError:
    message = f"no Ray cluster answers at {address} ({why}). Start one (ray start --head), or generate without --address."
    return ConfigError(message, key="address")


def _apply(work: Work, piece: int) -> int:
    return work(piece)
