"""Everything gan3d raises on purpose.

    Gan3dError
    ├── ConfigError      the user's YAML or --set: nothing was started           exit code 2
    ├── DataError        a shower file: which file, which shower, what is wrong  exit code 2
    ├── ResourceError    the cluster can never run this study                    exit code 2
    └── DivergedError    one trial's training broke down; the study goes on

Covered: the user's mistakes and a trial's end. Not covered: what cannot happen, which is an ``assert``.
"""

from __future__ import annotations

import errno

#: What systems say of a disk without room, or without room for this user.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Gan3dError(Exception):
    """Root of the tree; its message is shown to the user without a traceback."""


class ConfigError(Gan3dError):
    """A study, a search space or an override that cannot be used.

    The message always holds: where (file:line), dotted key, value, rule, way out.
    """

    def __init__(self, message: str, *, where: str = "", key: str = "") -> None:
        """Join ``where`` (``file:line``) and ``message``; ``key`` is the dotted key at fault."""
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.key = key


class DataError(Gan3dError):
    """A shower file that cannot be read; names the file and, where there is one, the shower's index."""

    def __init__(self, message: str, *, file: str = "", index: int | None = None) -> None:
        """Prefix ``message`` with ``file[index]``."""
        place = file if index is None else f"{file}[{index}]"
        super().__init__(f"{place}: {message}" if place else message)
        self.file = file
        self.index = index


class ResourceError(Gan3dError):
    """The cluster can never hold one whole trial of the study, so starting it would hang."""


class DivergedError(Gan3dError):
    """Training broke down (not finite, or empty showers); all ranks of the trial raise it together."""


def no_room_in(error: BaseException | None) -> OSError | None:
    """The full disk behind an error, however libraries have wrapped it; None if it was something else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None
