"""Ray's token: what `ray start` asks of clients from Ray 2.59 on, where one is there."""

from __future__ import annotations

import os
from pathlib import Path

#: Where `ray get-auth-token --generate` and a first local Ray put it.
TOKEN_FILE = Path(".ray") / "auth_token"


def show_token() -> None:
    """Make this process show the user's token to a cluster, if there is one and RAY_AUTH_MODE says nothing else.

    `ray start` switches authentication on wherever it finds a token; `ray.init(address=...)` of the same Ray does not show it by
    itself, and cannot connect. Call before Ray is imported: it reads the variable then.
    """
    has_token = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or (Path.home() / TOKEN_FILE).is_file()
    if has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
