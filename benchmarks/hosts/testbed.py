"""Several hosts on one machine: namespaces joined by veth pairs through a switch, with a delay and a rate that can change while they run.

A `TestBed` touches nothing of the machine's own network: interfaces are made inside the namespaces, addresses are of the network
198.18.0.0/15, which belongs to nobody (RFC 2544), and there is no route to anywhere else. Hosts see the machine's files; `/dev/shm` and
`TestBed.local` are each host's own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.hosts.namespaces import CONFIGURATION_SECONDS, Namespaces, stop

#: Network of the hosts, of which the last number is the host's.
NETWORK = "198.18.0"
#: Begin of a locally administered MAC address.
MAC = "02:18:00:00:00"
INTERFACE = "eth0"
#: Largest segment that a host hands to its interface in one piece [bytes]: small enough that the rate's bucket of tokens need hold no
#: more, which would let so much through at no cost.
SEGMENT_BYTES, BUCKET_BYTES = 16_384, 20_480
#: What may wait for its turn on a link of limited rate [bytes]; more than TCP ever has under way, so nothing is lost.
QUEUE_BYTES = 1 << 24
#: The machine's own choice may be one that is not for such links (bbr halves what a bare one carries); reno is in every kernel.
CONGESTION_CONTROL = "reno"
PREFIX = "gan3d-hosts-"
DELAY_LINE = Path(__file__).with_name("delay_line.py")


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between a host and the switch. Two hosts are ``delay_seconds`` apart one way: a message and its answer take twice that."""

    delay_seconds: float = 0.0
    bits_per_second: float | None = None
    """What each host can send at most; None is what the machine can do."""

    def __str__(self) -> str:
        parts = [f"{1e3 * self.delay_seconds:g} ms"] if self.delay_seconds else []
        parts += [f"{1e-6 * self.bits_per_second:g} Mbit/s"] if self.bits_per_second else []
        return ", ".join(parts) or "bare"


#: Nothing but the veth pairs and the bridge.
BARE = Link()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through a host's interface since it was made; headers included, a segment's once."""

    sent_bytes: int
    received_bytes: int
    resent_segments: int
    """By TCP, which thought them lost."""

    def __sub__(self, earlier: Traffic) -> Traffic:
        pairs = zip(astuple(self), astuple(earlier), strict=True)
        return Traffic(*(now - before for now, before in pairs))


class Host:
    """One host: an address, a core, and commands on it."""

    def __init__(self, number: int, folder: Path, core: int) -> None:
        """The namespaces, without a network."""
        self.number, self.core = number, core
        self.name, self.port, self.address = f"host{number}", f"port{number}", f"{NETWORK}.{number + 1}"
        self.mac = f"{MAC}:{number + 1:02x}"
        own = f"mount --bind {folder / 'hosts'} /etc/hosts; mount -t tmpfs shm /dev/shm; mount -t tmpfs local {folder / 'local'}"
        congestion = f"echo {CONGESTION_CONTROL} > /proc/sys/net/ipv4/tcp_congestion_control"
        self.inside = Namespaces(self.name, f"{own}; {congestion}; {own_interfaces(folder)}")

    def start(self, command: Sequence[str], environment: dict[str, str] | None = None, **popen: Any) -> subprocess.Popen[Any]:
        """Start a command on the host's core."""
        return self.inside.start(self._on_core(command), environment, **popen)

    def run(self, command: Sequence[str], *, seconds: float, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the host's core; see `Namespaces.run`."""
        return self.inside.run(self._on_core(command), seconds=seconds, **options)

    def _on_core(self, command: Sequence[str]) -> list[str]:
        return ["taskset", "--cpu-list", str(self.core), *command]

    def traffic(self) -> Traffic:
        """What went through its interface so far; of a host that is dead, nothing can be said.

        Raises:
            OSError: the host is dead.
        """
        tables = Path(f"/proc/{self.inside.first_process}/net")
        (line,) = [line for line in (tables / "dev").read_text(encoding="ascii").splitlines() if line.strip().startswith(f"{INTERFACE}:")]
        numbers = line.partition(":")[2].split()
        names, values = [line.split() for line in (tables / "snmp").read_text(encoding="ascii").splitlines() if line.startswith("Tcp:")]
        resent = int(values[names.index("RetransSegs")])
        return Traffic(sent_bytes=int(numbers[8]), received_bytes=int(numbers[0]), resent_segments=resent)

    def die(self) -> None:
        """As if its power were cut: all its processes and its interface are gone at once."""
        self.inside.close()


class TestBed:
    """Hosts and the switch between them, for as long as a ``with`` block lasts."""

    #: pytest, which takes classes of this name for collections of tests, is told that this is none.
    __test__ = False

    def __init__(self, num_hosts: int, link: Link = BARE) -> None:
        """Make them.

        Raises:
            OSError: this machine does not let us; `namespaces.why_not` says why.
        """
        remove_abandoned()
        self.link = BARE
        self._line: subprocess.Popen[str] | None = None
        self.folder, self._lock = locked_folder()
        self.local = self.folder / "local"
        """The same path on every host, and another folder: what a host's own disk is."""
        self._everything: list[Namespaces] = []
        self.hosts: list[Host] = []
        try:
            self._make(num_hosts)
            self.shape(link)
        except BaseException:
            self.close()
            raise

    def _make(self, num_hosts: int) -> None:
        self.local.mkdir()
        names = "".join(f"{NETWORK}.{number + 1} host{number}\n" for number in range(num_hosts))
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}", encoding="ascii")
        (self.folder / "interfaces").mkdir()
        self.switch = Namespaces("switch", own_interfaces(self.folder), at_end=removal(self.folder))
        self._everything.append(self.switch)
        self.switch.configure("ip link add bridge type bridge", "ip link set bridge up addrgenmode none")
        self.has_netem = self._has_netem()
        cores = sorted(os.sched_getaffinity(0))
        for number in range(num_hosts):
            host = Host(number, self.folder, cores[number % len(cores)])
            self.hosts.append(host)
            self._everything.append(host.inside)
            self._plug_in(host)

    def _plug_in(self, host: Host) -> None:
        self.switch.configure(
            f"ip link add {host.port} type veth peer name {INTERFACE} address {host.mac} netns {host.inside.first_process}",
            f"ip link set {host.port} up master bridge addrgenmode none",
        )
        host.inside.configure(
            "ip link set lo up",
            f"ip link set {INTERFACE} up addrgenmode none gso_max_size {SEGMENT_BYTES}",
            f"ip address add {host.address}/24 dev {INTERFACE}",
        )
        for namespaces, interface in ((self.switch, host.port), (host.inside, INTERFACE)):
            self._keep_order(namespaces, interface, host.core)

    def _keep_order(self, namespaces: Namespaces, interface: str, core: int) -> None:
        """One core takes in what arrives at an interface, as one queue of a network card does.

        Else each frame is taken in by the core it was sent from, overtakes others, and TCP sends hundreds again per reduction.
        """
        cores = self.folder / "interfaces" / "class" / "net" / interface / "queues" / "rx-0" / "rps_cpus"
        namespaces.run(["sh", "-c", f"echo {1 << core:x} > {cores}"], seconds=CONFIGURATION_SECONDS).check_returncode()

    def shape(self, link: Link) -> None:
        """From now on every host's link is like this; connections stay."""
        self._delay(link.delay_seconds)
        self._limit(link.bits_per_second)
        self.link = link

    def _limit(self, bits_per_second: float | None) -> None:
        """The rate of what hosts send, at its source, by tc's token bucket."""
        for host in self.hosts:
            if bits_per_second is not None:
                bucket = f"rate {bits_per_second:.0f}bit burst {BUCKET_BYTES} limit {QUEUE_BYTES}"
                host.inside.configure(f"tc qdisc replace dev {INTERFACE} root tbf {bucket}")
            elif self.link.bits_per_second is not None:
                host.inside.configure(f"tc qdisc delete dev {INTERFACE} root")

    def _delay(self, seconds: float) -> None:
        """By netem where the kernel has it; else ports leave the bridge for a delay line, and come back."""
        if seconds == self.link.delay_seconds:
            return
        for host in self.hosts:
            if self.has_netem:
                self.switch.configure(f"tc qdisc replace dev {host.port} root netem delay {1e6 * seconds:.0f}us limit 100000")
            else:
                self.switch.configure(f"ip link set {host.port} {'nomaster' if seconds else 'master bridge'}")
        if not self.has_netem:
            self._stop_line()
            if seconds:
                self._start_line(seconds)

    def _has_netem(self) -> bool:
        try:
            self.switch.configure("tc qdisc add dev bridge root netem delay 1ms", "tc qdisc delete dev bridge root")
        except OSError:
            return False
        return True

    def _start_line(self, seconds: float) -> None:
        ports = [f"{host.port}={host.mac}" for host in self.hosts]
        command = [sys.executable, "-S", "-E", str(DELAY_LINE), str(seconds), *ports]
        self._line = self.switch.start(command, stdout=subprocess.PIPE, text=True)
        assert self._line.stdout is not None
        if self._line.stdout.readline() != "ready\n":
            message = "the delay line does not start; why, it says above"
            raise OSError(message)

    def _stop_line(self) -> None:
        if self._line is not None:
            stop(self._line)
            assert self._line.stdout is not None
            self._line.stdout.close()
            self._line = None

    def unplug(self, host: Host) -> None:
        """Pull the host's cable out: it runs on, and nobody hears of it."""
        self.switch.configure(f"ip link set {host.port} down")

    def plug(self, host: Host) -> None:
        """Put it back in."""
        self.switch.configure(f"ip link set {host.port} up")

    def close(self) -> None:
        """Kill all hosts and the switch, and forget them. Can be called again."""
        for namespaces in reversed(self._everything):
            namespaces.close()
        self._stop_line()
        self._everything, self.hosts = [], []
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> TestBed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def own_interfaces(folder: Path) -> str:
    """The shell command that shows a namespace's interfaces as files; `/sys` shows the machine's."""
    return f"mount -t sysfs interfaces {folder / 'interfaces'}"


def removal(folder: Path) -> str:
    """The shell command of the switch when its owner is gone, killed perhaps. Once more, for hosts die at the same time, not before."""
    return f"umount {folder / 'interfaces'}; rm -rf {folder} || {{ sleep 1; rm -rf {folder}; }}"


def locked_folder() -> tuple[Path, Any]:
    """A new folder, and the open file that says that its owner lives; short, since Ray's socket paths may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = (folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def remove_abandoned() -> None:
    """Folders whose owners were killed together with the switch, as by a machine that went down; nothing else outlives them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its owner lives, or it is another's
            continue
