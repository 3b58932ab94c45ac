"""The network interface that gradients go over: gloo's and NCCL's variables, set before a process group is made.

Left alone, gloo listens where the host's own name leads. On many machines that is loopback (Debian's 127.0.1.1), where no other node
reaches it, or the slow network for administration. So by default the interface is taken that has the address under which Ray's nodes
know each other.
"""

from __future__ import annotations

import os
import socket

import psutil

GLOO, NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
#: What is set to a name, and what stands before it there. NCCL takes it for a beginning of names unless it is `=` (its documentation,
#: NCCL_SOCKET_IFNAME), and `eth1` would be `eth10` too.
VARIABLES = {GLOO: "", NCCL: "="}


def use_interface(name: str | None, address: str) -> str:
    """Choose the interface of this process's groups to come; returns its name, or nothing where it is left to gloo.

    Args:
        name: of an interface, or of several with commas between; None: that which has ``address``. What the variables already say counts
            more than the default, and less than a name.
        address: of this node in its cluster.

    Raises:
        OSError: there is no such interface on this node.
    """
    if name is None:
        found = interface_of(address)
        for variable, before in VARIABLES.items() if found is not None else ():
            os.environ.setdefault(variable, f"{before}{found}")
        return os.environ.get(GLOO, "")
    if missing := [one for one in name.split(",") if one not in psutil.net_if_addrs()]:
        message = (
            f"there is no network interface {', '.join(missing)} on {socket.gethostname()}: it has {', '.join(psutil.net_if_addrs())}. "
            "Set workers.interface to one that every node has, or leave it out."
        )
        raise OSError(message)
    os.environ.update({variable: before + name for variable, before in VARIABLES.items()})
    return name


def interface_of(address: str) -> str | None:
    """That which has an address."""
    return next((name for name, addresses in psutil.net_if_addrs().items() if any(one.address == address for one in addresses)), None)
