from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Page faults of ten tensors of 64 MB, one after the other, once the heap has grown to its size.
SCRIPT = """
import resource, sys, torch
from gan3d.training.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(30):
    torch.zeros(1 << 24).add_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(1 << 24).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    assert page_faults("keep") < 1000 < page_faults("default")
