"""gan3d: which 3D GAN, batch and learning rate, on how many nodes, at what cost and with which physics fidelity."""

from __future__ import annotations

__version__ = "0.1.0"
