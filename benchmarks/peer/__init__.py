"""The training step beside its peers: a Keras port of the seed's code (TensorFlow, oneDNN) and the naive torch port.

Light on purpose: the Keras process imports this package in an environment without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.harness import Row


def rows(quick: bool) -> Iterator[Row]:
    """See ``comparison``."""
    from benchmarks.peer.comparison import rows as compared

    return compared(quick)
