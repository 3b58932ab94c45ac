"""What an exported program of torch (``.pt2``) may hold: what torch's save of this package's programs writes, and nothing else.

Such a file can hold code in many places. torch unpickles sample inputs, custom constants and every part of its older format, evaluates
expressions of sizes and guards, writes names into Python source, and calls what a node names. So nothing is handed to torch as it lies in
the file: a copy is made of the parts that are known, each held against what it may say, without sample inputs, guards and notes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

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
#: The number of showers, as torch calls it; it counts up to the number in such a name.
SYMBOL = r"[su]\d{1,4}"
#: A size: sums and products of whole numbers and of the number of showers. No text fits in two ways: that would take for ever to refuse.
EXPRESSION = re.compile(
    r"(?:(?:Symbol|Integer|Mul|Add|Max|Min|FloorDiv|Mod)\("
    rf"|'{SYMBOL}'|(?:positive|integer|nonnegative)=True|-?\d{{1,18}}(?!\d)|[), ])*"
)
#: How arguments are nested, as JSON within JSON.
NESTING = re.compile(r'(?:[\[\]{},: 0-9]|null|"(?:type|context|children_spec|null|\[\]|builtins\.(?:tuple|list|dict))")*')
ARITHMETIC = {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod")}
#: What this package's programs call of torch's: all of these look at their bounds. Others read and write beside a tensor's memory.
NAMES = """
    __and__.Tensor _assert_tensor_metadata.default add.Tensor arange.start batch_norm.default cat.default clamp.default
    clamp_min.default contiguous.default conv3d.default div.Tensor exp.default expm1.default flatten.using_ints floor.default
    gather.default ge.Scalar group_norm.default gt.Scalar index.Tensor leaky_relu.default lerp.Tensor linear.default log.default
    lt.Scalar matmul.default maximum.default mul.Tensor neg.default numpy_T.default ones_like.default pad.default permute.default
    pow.Tensor_Scalar relu.default remainder.Scalar reshape.default rsub.Scalar select.int slice.Tensor square.default
    squeeze.dim stack.default sub.Tensor sum.dim_IntList sym_size.int to.dtype unbind.int unflatten.int unsqueeze.default
    view.default where.ScalarOther where.ScalarSelf zeros_like.default
"""
OPERATORS = {f"torch.ops.aten.{name}" for name in NAMES.split()}
#: Bytes of a number, by torch's mark of its type in such files: whole numbers, single precision, bf16.
ITEM_BYTES = {5: 8, 7: 4, 13: 2}
RANGED = re.compile(SYMBOL)
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
    # torch would unpickle it, and needs it for nothing.
    parts[SAMPLE] = b""
    for name in (PROGRAM, *CONFIGS.values()):
        parts[name] = json.dumps(_checked(parts[name], name, path)).encode()
    for folder, config in CONFIGS.items():
        _see_that_tensors_fill(parts, folder, config, path)
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
            kind = {"config": WORDS, "range_constraints": RANGED}.get(key, VALUE if name.startswith("as_") else NAME)
            if not kind.fullmatch(name):
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
            return text in ARITHMETIC or text in OPERATORS
        case "expr_str":
            return EXPRESSION.fullmatch(text) is not None
        case "in_spec" | "out_spec":
            return NESTING.fullmatch(text) is not None
        case "name" | "as_name" | "forward_arg_names":
            return NAME.fullmatch(text) is not None
        case "path_name":
            return PART.fullmatch(f"data/weights/{text}") is not None or PART.fullmatch(f"data/constants/{text}") is not None
    return WORDS.fullmatch(text) is not None


def _see_that_tensors_fill(parts: dict[str, bytes], folder: str, config: str, path: Path) -> None:
    """Each its own part, neither more nor less: of a part of no bytes torch makes as many zeros as it says.

    Raises:
        DataError: one does not.
    """
    for name, told in json.loads(parts[config])["config"].items():
        try:
            meta = told["tensor_meta"]
            sizes, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
            found = len(parts[folder + told["path_name"]])
            # None of its numbers lies beyond the part, in whatever order they lie.
            last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
            fills = prod(sizes) * ITEM_BYTES[meta["dtype"]] == found > 0 and last == prod(sizes) - 1 and min(strides, default=0) >= 0
        except (KeyError, TypeError, ValueError):
            fills = False
        if not fills or meta["storage_offset"] != {"as_int": 0}:
            raise _refused(path, f"its tensor {name!r} is not of the size of its part.")


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"{why} It is refused: gan3d export writes no such files.", file=str(path))
