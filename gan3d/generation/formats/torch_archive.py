"""What an exported program of torch (``.pt2``) may hold: what torch's save of this package's programs writes, and nothing else.

Such a file can hold code in many places. torch unpickles sample inputs, custom constants and every part of its older format, evaluates
expressions of sizes and guards, writes names into Python source, and calls what a node names. So nothing is handed to torch as it lies in
the file: a copy is made of the parts that are known, each held against what it may say, without sample inputs, guards and notes.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gan3d.errors import DataError

CARD = "extra/card.json"
FORMAT, PROGRAM, SAMPLE = "archive_format", "models/model.json", "data/sample_inputs/model.pt"
CONFIGS = {"data/weights/": "data/weights/model_weights_config.json", "data/constants/": "data/constants/model_constants_config.json"}
NEEDED = {FORMAT, "archive_version", "byteorder", ".data/version", PROGRAM, SAMPLE, *CONFIGS.values()}
PART = re.compile(r"data/weights/weight_\d+|data/constants/tensor_\d+")
#: In the folder of all, for torch's reader: one name for it, whatever it was called.
ROOT = "generator"

#: What zipfile raises of what is no archive, or a damaged one.
DAMAGE = (OSError, zipfile.BadZipFile, ValueError, RuntimeError, EOFError)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = re.compile(r"[A-Za-z0-9_.+-]*")
#: Kinds of values: of nodes' arguments, inputs and outputs. Not among them are strings, graphs, operators and objects.
VALUE = re.compile(
    r"as_(none|name|expr|device|layout|memory_format|scalar_type|(sym_)?(ints?|floats?|bools?)|int_lists|(optional_|nested_)?tensors?)"
)
#: A size: sums and products of whole numbers and of the number of showers.
EXPRESSION = re.compile(
    r"(?:(?:Symbol|Integer|Mul|Add|Max|Min|FloorDiv|Mod)\(|'[su]\d+'|(?:positive|integer|nonnegative)=True|-?\d+|[), ])*"
)
#: How arguments are nested, as JSON within JSON.
NESTING = re.compile(r'(?:[\[\]{},: 0-9]|null|"(?:type|context|children_spec|null|\[\]|builtins\.(?:tuple|list|dict))")*')
ARITHMETIC = {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod")}
#: What torch does not need to compute: it is left out of the copy, and may say what it likes.
LEFT_OUT: dict[str, Any] = {"metadata": {}, "guards_code": []}


def text_of_card(path: Path) -> str | None:
    """The card, as JSON; None: it has none.

    Raises:
        DataError: it is no program that `gan3d export` wrote.
    """
    with opened(path) as archive:
        entry = _entries(archive, path).get(CARD)
        return None if entry is None else _content(archive, entry, path).decode(errors="replace")


def without_code(path: Path) -> io.BytesIO:
    """The file for torch to load, of parts that were seen to be data.

    Raises:
        DataError: it holds something else, or is no program that `gan3d export` wrote.
    """
    with opened(path) as archive:
        parts = {name: _content(archive, entry, path) for name, entry in _entries(archive, path).items()}
    if parts[FORMAT] != b"pt2":
        raise _refused(path, f"its {FORMAT} is {parts[FORMAT][:20]!r}, not pt2.")
    if not _is_of_tensors(parts[SAMPLE]):
        raise _refused(path, f"its part {SAMPLE} would run code when it is loaded.")
    parts[SAMPLE] = b""
    for name in (PROGRAM, *CONFIGS.values()):
        parts[name] = json.dumps(_checked(parts[name], name, path)).encode()
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"{ROOT}/{name}", content)
    copy.seek(0)
    return copy


def opened(path: Path) -> zipfile.ZipFile:
    """As the archive that it is.

    Raises:
        DataError: it is none.
    """
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as problem:
        raise _refused(path, f"it is no exported program of torch: {problem}.") from problem


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    try:
        return archive.read(entry)
    except DAMAGE as problem:
        raise _refused(path, f"its part {entry.filename!r} is damaged: {problem}.") from problem


def _entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """By their names within the one folder of all."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        root, _, name = entry.filename.partition("/")
        is_known = name in NEEDED or name in {CARD, ".data/serialization_id"} or PART.fullmatch(name)
        is_alone = not found or (name not in found and archive.infolist()[0].filename.startswith(f"{root}/"))
        if not is_known or not is_alone or entry.compress_type != zipfile.ZIP_STORED:
            raise _refused(path, f"its part {entry.filename!r} may hold code that is run when it is loaded.")
        found[name] = entry
    if missing := NEEDED - found.keys():
        raise _refused(path, f"it has no {', '.join(sorted(missing))}.")
    return found


def _checked(content: bytes, part: str, path: Path) -> Any:
    """What JSON says, without what is left out, when all of it is of kinds that are known."""

    def refuse(what: object) -> DataError:
        return _refused(path, f"its part {part} would run code when it is loaded, or may: {str(what)[:200]!r}.")

    try:
        return _seen(json.loads(content), "", refuse)
    except (ValueError, RecursionError) as problem:
        raise _refused(path, f"its part {part} is no JSON: {problem}.") from problem


def _seen(value: Any, key: str, refuse: Callable[[object], DataError]) -> Any:
    """``value``, which stands under ``key``; lists stand under that of theirs."""
    if isinstance(value, dict):
        for name in value:
            is_known = (
                WORDS.fullmatch(name) if key == "config" else VALUE.fullmatch(name) if name.startswith("as_") else NAME.fullmatch(name)
            )
            if not is_known:
                raise refuse(name)
        return {name: LEFT_OUT[name] if name in LEFT_OUT else _seen(inner, name, refuse) for name, inner in value.items()}
    if isinstance(value, list):
        return [_seen(inner, key, refuse) for inner in value]
    if key == "use_pickle" and value is not False:
        raise refuse(key)
    if isinstance(value, str) and not _is_data(value, key):
        raise refuse(value)
    return value


def _is_data(text: str, key: str) -> bool:
    match key:
        case "target":
            return text in ARITHMETIC or _is_operator(text)
        case "expr_str":
            return EXPRESSION.fullmatch(text) is not None
        case "in_spec" | "out_spec":
            return NESTING.fullmatch(text) is not None
        case "name" | "as_name" | "forward_arg_names":
            return NAME.fullmatch(text) is not None
        case "path_name":
            return PART.fullmatch(f"data/weights/{text}") is not None or PART.fullmatch(f"data/constants/{text}") is not None
    return WORDS.fullmatch(text) is not None


def _is_operator(target: str) -> bool:
    """Whether it is one of torch's own on tensors and numbers; those that take a file's name get none, for no node may give strings."""
    found: Any = torch.ops.aten
    parts = target.split(".")
    if parts[:3] != ["torch", "ops", "aten"] or len(parts) != 5 or not all(NAME.fullmatch(part) for part in parts):
        return False
    for part in parts[3:]:
        found = getattr(found, part, None)
    return isinstance(found, torch._ops.OpOverload)


def _is_of_tensors(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return False
    return True


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"{why} It is refused: gan3d export writes no such files.", file=str(path))
