"""What becomes of a trial whose worker met an error: another group is worth its minutes only where it may fare better."""

from __future__ import annotations

import errno

import pytest
import torch

from gan3d.errors import DataError
from gan3d.training.worker import fate_of


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (RuntimeError("Connection closed by peer"), "again"),
        (OSError(errno.EIO, "Input/output error"), "again"),
        (OSError(errno.ENOSPC, "No space left on device"), "stops"),
        (DataError("no showers", file="a.h5"), "fails"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), "fails"),
    ],
)
def test_only_what_another_group_may_not_meet_is_tried_again(error: Exception, fate: str) -> None:
    assert fate_of(error) == fate
