"""Events of a GPU tell its time; that of the host tells when work was asked for. `tests/test_clock.py` fakes a device that lags behind."""

from __future__ import annotations

import pytest
import torch

from gan3d.training.cuda_moments import CudaMoments


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_seconds_between_events_are_those_of_the_work_between_them() -> None:
    moments = CudaMoments()
    matrix = torch.rand(4096, 4096, device="cuda")
    begin, same = moments.now(), moments.now()
    for _ in range(10):
        matrix = matrix @ matrix
    end = moments.now()
    moments.settle()
    assert 0 <= moments.seconds(begin, same) < moments.seconds(begin, end)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_no_moment() -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        CudaMoments().now()
