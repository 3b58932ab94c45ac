"""A switch that holds every frame for a fixed time: the delay of a link where the kernel has no netem.

python delay_line.py SECONDS PORT=MAC PORT=MAC ...      in the network namespace of the ports

Frames come and go by packet sockets, as large as the hosts' segmentation leaves them, checksums not yet computed (as on any veth
pair): a gradient bucket is some hundred frames, not thousands. Standard library only, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import sys
import time
from collections import deque

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h; Python has no names for them.
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
#: What may wait in a socket [bytes]; frames wait here for the line's process, in the line for their time.
BUFFER = 1 << 25
#: virtio's header (offloads that are still to do) before the frame, which is at most a 64 KiB packet.
HEADER, MOST = 10, 10 + 14 + 65536
#: Frames taken from one port before others, and those that are due, have their turn.
AT_ONCE = 64


def port_socket(name: str) -> socket.socket:
    """Everything that arrives at the port, and a way to send from it."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        port.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    port.bind((name, ETH_P_ALL))
    port.setblocking(False)
    return port


def relay(delay_seconds: float, ports: dict[bytes, socket.socket]) -> None:
    """For ever: every frame to the port of its address, or to all others, ``delay_seconds`` after it came."""
    line: deque[tuple[float, bytes, socket.socket]] = deque()
    sockets = list(ports.values())
    while True:
        wait = max(0.0, line[0][0] - time.monotonic()) if line else None
        for came_by in select.select(sockets, [], [], wait)[0]:
            for _ in range(AT_ONCE):
                try:
                    frame = came_by.recv(MOST)
                except OSError:  # nothing there, or the port is down
                    break
                receiver = ports.get(frame[HEADER : HEADER + 6])
                due = time.monotonic() + delay_seconds
                line.extend((due, frame, port) for port in ([receiver] if receiver else sockets) if port is not came_by)
        while line and line[0][0] <= time.monotonic():
            _, frame, port = line.popleft()
            with contextlib.suppress(OSError):  # a port that is down loses frames, as a cable does that is pulled out
                port.send(frame)


def main() -> None:
    """Open the ports, say so, and relay."""
    gc.disable()  # nothing here is circular, and a collection would be jitter
    with contextlib.suppress(PermissionError):  # else it waits for a core behind the training whose frames it holds
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    named = dict(argument.split("=") for argument in sys.argv[2:])
    ports = {bytes.fromhex(mac.replace(":", "")): port_socket(name) for name, mac in named.items()}
    print("ready", flush=True)
    relay(float(sys.argv[1]), ports)


if __name__ == "__main__":
    main()
