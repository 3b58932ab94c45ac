"""What an unquoted YAML scalar means here: the part of YAML 1.1 and 1.2 that agree, and `1e-3` as a number."""

from __future__ import annotations

import re

#: A plain value of one key.
Scalar = int | float | str | bool | None

NULL = re.compile(r"(~|null|Null|NULL|)$")
BOOLEAN = re.compile(r"(true|True|TRUE|false|False|FALSE)$")
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})$")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
LEADING_ZERO = re.compile(r"[-+]?0[0-9]+$")


def plain(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar."""
    if NULL.match(text):
        return None
    if BOOLEAN.match(text):
        return text.lower() == "true"
    if INTEGER.match(text):
        return int(text)
    if NUMBER.match(text):
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    return text
