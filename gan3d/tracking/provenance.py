"""With what a study was run: commit, versions, hardware, command line. Never the environment, so never a secret of it.

Everything found is optional: outside a git checkout there is no commit, without GPUs no GPU is listed.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import psutil

import gan3d
from gan3d.physics.definitions import VERSION

_GIT_TIMEOUT_SECONDS = 10
#: Options whose value is not to be kept, and the user and password of a URI.
_SECRET_OPTION = re.compile(r"(?i)(token|password|secret|key)")
_URI_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def provenance(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything below as one dictionary: plain strings and numbers on top, ``packages`` and ``gpus`` nested.

    Args:
        command: The command line; by default this process's.
    """
    facts: dict[str, Any] = {
        "gan3d": gan3d.__version__,
        "physics": VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(sys.argv if command is None else command),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    return facts | commit(Path(gan3d.__file__).parent) | hardware() | {"packages": package_versions()}


def commit(folder: Path) -> dict[str, str]:
    """``commit`` and ``dirty`` ("yes", "no") of the checkout that tracks ``folder``; empty outside a checkout."""
    head = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", ".")
    if not head or not tracked:
        return {}
    return {"commit": head, "dirty": "yes" if _git(folder, "status", "--porcelain") else "no"}


def hardware() -> dict[str, Any]:
    """CPU model, physical and logical cores, cores this process may use, memory [GiB] and, where there are any, GPUs."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False) or 0,
        "logical_cores": psutil.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }
    if hasattr(os, "sched_getaffinity"):
        facts["usable_cores"] = len(os.sched_getaffinity(0))
    gpus = _gpus()
    return facts | ({"gpus": gpus} if gpus else {})


def package_versions() -> dict[str, str]:
    """Versions of the packages gan3d requires (extras not counted); empty where gan3d runs uninstalled."""
    try:
        requirements = [text for text in requires("gan3d") or [] if "extra ==" not in text]
        names = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements]
        return {name: version(name) for name in names}
    except PackageNotFoundError:
        return {}


def command_line(arguments: Sequence[str]) -> str:
    """The arguments in one line, without what looks like a secret."""
    kept = []
    hide_next = False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        secret = option.startswith("-") and _SECRET_OPTION.search(option) is not None
        shown = f"{option}=***" if secret and equals else _URI_CREDENTIALS.sub("***@", argument)
        kept.append("***" if hide_next else shown)
        hide_next = secret and not equals
    return " ".join(kept)


def _git(folder: Path, *arguments: str) -> str:
    """Output of a git command; empty if git is missing, slow or unhappy."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu_model() -> str:
    """The processor's name: Linux keeps it in /proc, elsewhere ``platform`` knows it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Names of the GPUs torch sees. Asked of torch only if the process uses it anyway: importing it takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [str(torch.cuda.get_device_name(index)) for index in range(torch.cuda.device_count())]
