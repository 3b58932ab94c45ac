"""The processes that are compared: started once, asked in turn, so that nothing but the one that is asked runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
KERAS_PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"
#: One thread, wherever a library reads it when it loads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
#: What a process wrote to standard error is shown to so many characters when it dies.
SHOWN = 3000


class PeerProcess:
    """One process, asked by ``peer("step", batch=8)``."""

    def __init__(self, *command: str, log: Path) -> None:
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
        self.log = log
        with log.open("w", encoding="utf-8") as errors:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, cwd=ROOT, env=environment)

    def __call__(self, what: str, **arguments: Any) -> Any:
        """Ask, wait, and return the answer.

        Raises:
            RuntimeError: the process died; with the end of what it wrote.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.process.wait()
            message = f"{self.process.args!r} died at {what} {arguments}:\n{self.log.read_text(encoding='utf-8')[-SHOWN:]}"
            raise RuntimeError(message)
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def peers(showers: Path, folder: Path) -> Iterator[dict[str, PeerProcess]]:
    """gan3d, Keras and the naive port, on the same core.

    Args:
        showers: File of the showers that Keras trains on (.npz); the variants in torch open the samples themselves.
        folder: Where what they write to standard error goes.

    Raises:
        FileNotFoundError: Keras' environment is not there.
    """
    if not KERAS_PYTHON.exists():
        message = "the Keras peer has no environment yet: make bench-peer makes it"
        raise FileNotFoundError(message)
    core = str(last_core())
    torch = (sys.executable, "-m", "benchmarks.peer.torch_worker")
    keras = (str(KERAS_PYTHON), "-m", "benchmarks.peer.keras_worker")
    with ExitStack() as stack:
        yield {
            "gan3d": stack.enter_context(PeerProcess(*torch, "gan3d", core, log=folder / "gan3d.log")),
            "Keras": stack.enter_context(PeerProcess(*keras, str(showers), core, log=folder / "keras.log")),
            "naive": stack.enter_context(PeerProcess(*torch, "naive", core, log=folder / "naive.log")),
        }


def last_core() -> int:
    """The last core this process may use: interrupts and other programs are more often on the first."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
