"""`python -m gan3d.cli` is `gan3d`."""

from __future__ import annotations

from gan3d.cli.app import main

if __name__ == "__main__":
    main()
