"""The links of a test bed as the cost model knows them: measured by all-reduces between hosts, or as they were made.

The cost model (`gan3d.scaling.prediction`) adds a wire to what the library takes where there is none to speak of: here the bare link. So
a link's wire is what its all-reduces take beyond those of the bare one; or it is what `tc` was told, without any measurement.
"""

from __future__ import annotations

from benchmarks.hosts.ranks import RanksOnHosts
from benchmarks.hosts.testbed import BARE, Link, TestBed
from gan3d.scaling.draws import Array, Estimate, drawn_logs, interval
from gan3d.scaling.fabrics import Fabric, fit_fabric
from gan3d.training.fabric import all_reduce_points

#: Sizes of all-reduces [bytes]: from what is all latency to what is all bandwidth; gradients of the seed's networks are in between.
SIZES = tuple(4**exponent for exponent in range(5, 13))
#: Measured rounds of all-reduces, and of a quick run's.
ROUNDS, QUICK_ROUNDS = 9, 3
#: Payload of a full segment of TCP over its bytes as `tc` counts them, Ethernet's header included, for frames of 1500 bytes.
PAYLOAD = 1448 / 1514
#: Below these a wire is none [s], [s/byte]; logarithms are taken of both.
LEAST_LATENCY, LEAST_SECONDS_PER_BYTE = 1e-9, 1e-15
_SEED = 301


def measured_fabrics(bed: TestBed, ranks: RanksOnHosts, links: tuple[Link, ...], rounds: int) -> dict[str, Fabric]:
    """Latency and bandwidth of each link as all-reduces between the ranks see them, by its name; the link is bare afterwards.

    Ranks rest before each all-reduce, as they do while they compute, so that windows of TCP open anew.
    """
    found = {}
    for link in links:
        bed.shape(link)
        points = ranks.call(all_reduce_points, SIZES, rounds)[0]
        found[str(link)] = fit_fabric(points, ranks.world_size, str(link))
    bed.shape(BARE)
    return found


def wire_beyond(bare: Fabric, measured: Fabric) -> Fabric:
    """What all-reduces take on a link beyond the bare one; opening windows are in the measurement already."""
    latency = _drawn(measured.latency_seconds, 0) - _drawn(bare.latency_seconds, 1)
    per_byte = 1 / _drawn(measured.bytes_per_second, 2) - 1 / _drawn(bare.bytes_per_second, 3)
    rate = 1 / per_byte.clip(min=LEAST_SECONDS_PER_BYTE)
    return Fabric(
        measured.name,
        interval(latency.clip(min=LEAST_LATENCY)),
        interval(rate),
        "measured",
        f"{measured.source}, beyond the bare link's",
    )


def wire_as_made(link: Link) -> Fabric:
    """What `tc` was told: one delay per message, and the rate's share of payload."""
    rate = 1 / LEAST_SECONDS_PER_BYTE if link.bits_per_second is None else link.bits_per_second / 8 * PAYLOAD
    latency = max(link.delay_seconds, LEAST_LATENCY)
    return Fabric(str(link), Estimate(*[latency] * 3), Estimate(*[rate] * 3), "declared", "the test bed's own settings", over_tcp=True)


def _drawn(estimate: Estimate, place: int) -> Array:
    return drawn_logs(estimate, _SEED + place)
