"""Networks between workers: what an all-reduce takes on them, some that are declared, and one that was measured.

A ring all-reduce of V bytes over N ranks (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69 (2009) 117) sends 2 (N - 1) messages one
after the other, and 2 (N - 1) / N V bytes through each rank's link:

    ring:  2 (N - 1) latency + 2 (N - 1) / N V / bandwidth           torch's gloo, and NCCL's rings
    tree:  2 ceil(log2 N) latency + 2 (N - 1) / N V / bandwidth      recursive halving and doubling (Thakur, Rabenseifner and Gropp,
                                                                     Int. J. High Perform. Comput. Appl. 19 (2005) 49)

On a ring the slowest link sets the pace of bytes, and latencies of all links add up. Over TCP a connection that rested starts with a
small window, which grows by what is acknowledged (RFC 5681): a message longer than the window waits for acknowledgements, a round trip
for each window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, stats

from gan3d.errors import ConfigError
from gan3d.scaling.draws import CONFIDENCE, Array, Estimate, drawn_logs

Algorithm = Literal["ring", "tree"]

#: Ten segments of an Ethernet frame: the first window of a TCP connection (RFC 6928) [bytes].
FIRST_WINDOW = 10 * 1448
#: A part that is nowhere more than this of an all-reduce's time cannot be told.
_LEAST_SHARE = 0.02
#: Share of an Ethernet's bits that are TCP's payload: 1448 of 1538 bytes on the wire, for frames of 1500.
PAYLOAD = 1448 / 1538


@dataclass(frozen=True, slots=True)
class Fabric:
    """Latency of one message [s] and bytes per second of a link in one direction, as a program sees them."""

    name: str
    latency_seconds: Estimate
    bytes_per_second: Estimate
    origin: Literal["declared", "measured"]
    source: str
    over_tcp: bool = False
    """Whether windows of TCP have to open on it."""


def _ethernet(gigabits: int) -> Fabric:
    """Kernel TCP: 20 us end to end measured on 10 GbE (Hurwitz and Feng, Hot Interconnects 11, 2003); 8 to 50 us is what is met with."""
    rate = gigabits * 1e9 / 8 * PAYLOAD
    source = "latency: Hurwitz and Feng, Hot Interconnects 11 (2003), kernel TCP; bandwidth: nominal, less headers of 1500-byte frames"
    estimate = Estimate(rate, 0.7 * rate, rate)
    return Fabric(f"{gigabits}GbE", Estimate(20e-6, 8e-6, 50e-6), estimate, "declared", source, over_tcp=True)


#: Fabrics a user can name: declared, not measured. The intervals are what one meets with in practice, not an error of measurement.
DECLARED = {
    fabric.name: fabric
    for fabric in (
        _ethernet(10),
        _ethernet(25),
        Fabric(
            "omni-path",
            Estimate(1.1e-6, 0.9e-6, 2e-6),
            Estimate(12.3e9, 10e9, 12.4e9),
            "declared",
            "100 Gb/s; bandwidth: osu_mbw_mr, gist.github.com/hppritcha/8da4436a216c9d96bf10ad9d403da03f; latency: MPI, typical",
        ),
        Fabric(
            "hdr-infiniband",
            Estimate(1.0e-6, 0.6e-6, 2e-6),
            Estimate(24e9, 18e9, 24.6e9),
            "declared",
            "200 Gb/s and below 0.6 us for the adapter, lenovopress.lenovo.com/lp1195; an MPI on top: about 1 us",
        ),
    )
}


def declared(name: str) -> Fabric:
    """The fabric of that name.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if name not in DECLARED:
        message = f"no such fabric: {name}. Declared are {', '.join(DECLARED)}; `measured` is what an all-reduce took here."
        raise ConfigError(message, key="--fabric")
    return DECLARED[name]


@dataclass(frozen=True, slots=True)
class Route:
    """What messages go through: arrays of draws (`gan3d.scaling.draws`)."""

    latency: Array
    seconds_per_byte: Array
    round_trip: Array
    """Of the wire alone [s], during which a TCP window stands still; 0 where windows do not matter."""


def route_of(software: Fabric | None, wire: Fabric | None, seed: int) -> Route:
    """Through a library's software (as measured where there is no wire) and over a wire; latencies add up, and so do seconds per byte."""
    parts = [fabric for fabric in (software, wire) if fabric is not None]
    latencies = [drawn_logs(fabric.latency_seconds, seed + place) for place, fabric in enumerate(parts)]
    rates = [drawn_logs(fabric.bytes_per_second, seed + 10 + place) for place, fabric in enumerate(parts)]
    waits = [2 * latency for latency, fabric in zip(latencies, parts, strict=True) if fabric.over_tcp]
    nothing = np.zeros_like(latencies[0])
    return Route(sum(latencies, nothing), sum((1 / rate for rate in rates), nothing), sum(waits, nothing))


def mixed(across: Route, local: Route, share: float) -> Route:
    """Of a ring through nodes: bytes at the pace of the links ``across`` them, which are this share of all links."""
    return Route(share * across.latency + (1 - share) * local.latency, across.seconds_per_byte, across.round_trip)


def all_reduce_seconds(num_bytes: float, world_size: int, route: Route, algorithm: Algorithm = "ring") -> Array:
    """Seconds of one all-reduce of ``num_bytes`` over ``world_size`` ranks, each draw; 0 for one rank."""
    if world_size == 1:
        return np.zeros_like(route.latency)
    messages = 2 * (world_size - 1) if algorithm == "ring" else 2 * int(np.ceil(np.log2(world_size)))
    through_a_link = 2 * (world_size - 1) / world_size * num_bytes
    waiting = slow_start_seconds(messages, through_a_link / messages, route)
    return messages * route.latency + through_a_link * route.seconds_per_byte + waiting


def slow_start_seconds(messages: int, message_bytes: float, route: Route) -> Array:
    """What waiting for acknowledgements adds to messages, of that many bytes each, over a connection that rested before the first.

    A full window takes a round trip, or its bytes' time where that is longer; the last part of a message waits for nothing.
    """
    waited, window = np.zeros_like(route.latency), float(FIRST_WINDOW)
    for _ in range(messages):
        left = message_bytes
        while left > window:
            waited += np.maximum(0.0, route.round_trip - window * route.seconds_per_byte)
            left -= window
            window *= 2
        if window >= message_bytes:
            break
        window += left
    return waited


def fit_fabric(points: Sequence[tuple[int, float]], world_size: int, name: str = "measured", confidence: float = CONFIDENCE) -> Fabric:
    """Latency and bandwidth of a ring, from all-reduces of several sizes.

    The median of each size counts: what the machine does beside makes single all-reduces ten times as long. Their logarithms are
    fitted, for errors are a share of the time; intervals are Student's t on the logarithms of both parameters.

    Args:
        points: (bytes, seconds) of each all-reduce, as `gan3d.training.fabric` prints them; at least three sizes.
        world_size: Ranks of the all-reduces; two or more.
        name: Of the fabric.
        confidence: Of the intervals.

    Raises:
        ConfigError: fewer than two ranks or three sizes, or sizes so alike that they do not tell latency from bandwidth.
    """
    if world_size < 2:
        message = f"latency and bandwidth take all-reduces over at least 2 ranks; there was {world_size}"
        raise ConfigError(message, key="world_size")
    sizes = np.unique([size for size, _ in points]).astype(float)
    if len(sizes) < 3:
        message = f"latency and bandwidth take all-reduces of at least 3 sizes; there are {len(sizes)}. Measure more with --sizes."
        raise ConfigError(message, key="points")
    medians = np.array([np.median([seconds for size, seconds in points if size == one]) for one in sizes])
    messages, passes = 2 * (world_size - 1), 2 * (world_size - 1) / world_size
    start = np.log([medians.min() / messages, passes * sizes[-1] / medians[-1]])

    def residuals(logs: Array) -> Array:
        latency, rate = np.exp(logs)
        return np.asarray(np.log(messages * latency + passes * sizes / rate) - np.log(medians))

    found = optimize.least_squares(residuals, start, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    shares = np.sqrt((found.jac**2).max(0))
    if shares.min() < _LEAST_SHARE:
        missing, which = ("latency", "smaller") if shares[0] < shares[1] else ("bandwidth", "larger")
        message = f"all-reduces of {sizes[0]:,.0f} to {sizes[-1]:,.0f} bytes do not tell {missing}. Measure {which} ones with --sizes."
        raise ConfigError(message, key="points")
    freedom = len(sizes) - 2
    covariance = np.linalg.inv(found.jac.T @ found.jac) * (2 * found.cost / freedom)
    half = stats.t.ppf(0.5 + confidence / 2, freedom) * np.sqrt(np.diag(covariance))
    latency, rate = (Estimate(*np.exp([log, log - width, log + width]).tolist()) for log, width in zip(found.x, half, strict=True))
    return Fabric(name, latency, rate, "measured", f"{len(points)} all-reduces over {world_size} ranks")
