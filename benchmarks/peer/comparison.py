"""gan3d, Keras and the naive port in turn, each in a process of its own with one thread, all on the same core; real showers.

First it is shown that gan3d and Keras are the same function and do the same work; only then are they timed. Wall seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Row, rates
from benchmarks.peer.equality import MOST, differences, expected_passes, seed_settings, showers_given
from benchmarks.peer.processes import PeerProcess, peers
from benchmarks.training_step import batch_of, showers_of, spread_out

NAME = "peer"
#: Showers per step: measured rounds of gan3d and Keras, and of the naive port, which needs minutes for a large step.
ROUNDS = {8: (5, 5), 32: (3, 2), 128: (2, 1)}
QUICK_ROUNDS = {8: (2, 2)}
#: Showers per call of the generator: measured rounds.
GENERATOR_ROUNDS = {128: 5, 1: 20}
#: Occupied share of the core below which a figure is more the neighbours' than its own.
LEAST_OCCUPIED = 0.95
PER_PLANE, PER_CHANNEL = "batch_per_plane", "batch"

Call = tuple[PeerProcess, str, dict[str, Any]]


def rows(quick: bool) -> Iterator[Row]:
    """Equality, then training steps by batch with peak memory, then generation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounds = QUICK_ROUNDS if quick else ROUNDS
        with peers(written_showers(folder, max(rounds)), folder) as processes:
            yield from equality(processes["Keras"], folder)
            for batch, (many, naive) in rounds.items():
                yield from training_steps(processes, batch, many, naive)
            yield from normalisations(processes["Keras"], rounds=rounds[8][0])
            for batch, number in GENERATOR_ROUNDS.items():
                yield from generation(processes, batch, number)


def written_showers(folder: Path, number: int) -> Path:
    """The first training showers of the samples, in a file that Keras' process reads."""
    settings = spread_out(seed_settings(), number)
    given = showers_given(batch_of(showers_of(settings), settings, 0))
    path = folder / "showers.npz"
    np.savez(path, **{name.removeprefix("showers."): value for name, value in given.items()})
    return path


def equality(keras: PeerProcess, folder: Path) -> Iterator[Row]:
    """Rows of what was compared.

    Raises:
        RuntimeError: the two are not the same function, or do not do the same work.
    """
    found, expected = keras("work"), expected_passes(seed_settings())
    if found != expected:
        message = f"Keras' step passes convolutions otherwise than gan3d's: {found}, expected {expected}"
        raise RuntimeError(message)
    for passes, work in found.items():
        case = f"same work: convolutions of a step, {passes}"
        yield Row.of((NAME, case, "both"), [work["count"]], "number")
        yield Row.of((NAME, case, "both"), [1e-9 * work["multiply_adds"]], "GMAC/shower")
    for kind, difference in differences(keras, folder).items():
        if not difference < MOST[kind]:
            message = f"Keras and gan3d differ in {kind} by {difference:.1e} of their norm"
            raise RuntimeError(message)
        yield Row.of((NAME, f"same function: {kind}, equal weights", "Keras against gan3d"), [difference], "relative difference")


def training_steps(processes: Mapping[str, PeerProcess], batch: int, rounds: int, naive_rounds: int) -> Iterator[Row]:
    """Showers per second, ratios within a round, and peak memory."""
    for process in processes.values():
        process("forget_peak_memory")
    calls: dict[str, Call] = {name: (process, "step", {"batch": batch}) for name, process in processes.items()}
    # A step that is measured once is long enough to hide what comes first; the others are called once before.
    unmeasured = {name for name in calls if name != "naive" or naive_rounds > 1}
    seconds = in_turn(calls, rounds, {"naive": naive_rounds}, unmeasured)
    case = f"training step, batch {batch}"
    for name, taken in seconds.items():
        yield Row.of((NAME, case, name), rates(batch, taken), "showers/s")
    yield from ratios(case, seconds)
    for name, process in processes.items():
        yield Row.of((NAME, case, name), [process("peak_memory")], "MiB at the peak")


def normalisations(keras: PeerProcess, rounds: int) -> Iterator[Row]:
    """Keras' step with the seed's normalisation per depth plane, and per channel."""
    calls: dict[str, Call] = {f"Keras, {kind}": (keras, "step", {"batch": 8, "normalisation": kind}) for kind in (PER_PLANE, PER_CHANNEL)}
    for name, taken in in_turn(calls, rounds).items():
        yield Row.of((NAME, "normalisation of the step, batch 8", name), rates(8, taken), "showers/s")


def generation(processes: Mapping[str, PeerProcess], batch: int, rounds: int) -> Iterator[Row]:
    """Milliseconds per shower, and ratios."""
    calls: dict[str, Call] = {name: (process, "generate", {"batch": batch}) for name, process in processes.items()}
    calls["Keras, predict_on_batch"] = (processes["Keras"], "predict", {"batch": batch})
    seconds = in_turn(calls, rounds)
    case = f"generation, batch {batch}"
    for name, taken in seconds.items():
        yield Row.of((NAME, case, name), [1000 * each / batch for each in taken], "ms/shower")
    yield from ratios(case, seconds)


def in_turn(
    calls: Mapping[str, Call], rounds: int, fewer: Mapping[str, int] | None = None, unmeasured: set[str] | None = None
) -> dict[str, list[float]]:
    """Wall seconds of each call, round after round; those in ``unmeasured`` (by default all) are called once before."""
    for name, (process, what, arguments) in calls.items():
        if unmeasured is None or name in unmeasured:
            process(what, **arguments)
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for number in range(rounds):
        for name, (process, what, arguments) in calls.items():
            if number < (fewer or {}).get(name, rounds):
                answers[name].append(process(what, **arguments))
    warn_of_neighbours(answers)
    return {name: [answer["wall"] for answer in given] for name, given in answers.items()}


def warn_of_neighbours(answers: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Say where other programs had the core."""
    for name, given in answers.items():
        occupied = sum(answer["cpu"] for answer in given) / sum(answer["wall"] for answer in given)
        if occupied < LEAST_OCCUPIED:
            print(f"{name} had its core for {occupied:.0%} of the time only: others ran on it")


def ratios(case: str, seconds: Mapping[str, Sequence[float]]) -> Iterator[Row]:
    """How many times faster gan3d was than each peer, within each round."""
    for name, taken in seconds.items():
        if name != "gan3d":
            each = [peer / own for own, peer in zip(seconds["gan3d"], taken, strict=False)]
            yield Row.of((NAME, case, name), each, "times gan3d's time")
