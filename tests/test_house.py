"""The house stands as it is drawn: layers, light imports, sizes, names, the README's tree, and nothing of anybody's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gan3d"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_TEST, MOST_LINES_OF_A_FUNCTION = 300, 500, 60
#: Files that collect what has no name.
NAMELESS = {"utils", "util", "helpers", "common", "misc", "base", "tools", "shared"}
#: Written so that this file does not hold what it looks for.
OF_A_MACHINE = [re.compile(pattern) for pattern in (r"/[w]ork/", r"/[h]ome/\w", r"/[U]sers/\w", r"/[r]oot/", r"(extra-)?index-[u]rl")]
BINARY = {".gz", ".h5", ".png"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it; relative imports would not say which package they are of."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} has a relative import"
            assert node.module is not None
            yield from [node.module] if node.module != "gan3d" else [f"gan3d.{alias.name}" for alias in node.names]


def top_part(path: Path) -> str:
    """The package or module right below ``gan3d`` that a file belongs to; empty for ``gan3d/__init__.py``."""
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if part == "__init__" else part


def layers() -> dict[str, int]:
    """Part of the package to its layer, lowest first, as CONTRIBUTING.md has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^`errors, records, writing` < .*$", text, flags=re.MULTILINE)
    found = [re.findall(r"\w+", layer) for layer in line.split("<")]
    return {name: height for height, layer in enumerate(found) for name in layer}


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {top_part(path) for path in SOURCES} - {""}
    assert set(layers()) == parts


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_downward_and_never_sideways(path: Path) -> None:
    height, own = layers(), top_part(path)
    for module in imported(path):
        package, _, rest = module.partition(".")
        other = rest.split(".")[0]
        if package != "gan3d" or other in {own, "", "__version__"}:
            continue
        assert own, f"gan3d/__init__.py imports {module}"
        assert height[other] < height[own], f"{name_of(path)} imports {module}, which is not below it"


def test_worker_is_the_only_file_of_training_that_knows_ray() -> None:
    knowing = {path.name for path in (PACKAGE / "training").glob("*.py") if any(name.split(".")[0] == "ray" for name in imported(path))}
    assert knowing == {"worker.py"}


HEAVY = ("torch", "ray", "mlflow", "optuna", "h5py", "pandas")


@pytest.mark.parametrize("module", ["gan3d", "gan3d.config.load", "gan3d.config.study", "gan3d.records"])
def test_importing_what_asks_and_what_is_learned_is_light(module: str) -> None:
    code = f"import sys, {module}; sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    loaded = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)
    assert loaded.returncode == 0, f"{module} loads {loaded.stderr}"


def test_scaling_needs_numpy_pandas_and_scipy_only() -> None:
    third_party = {name.split(".")[0] for path in (PACKAGE / "scaling").glob("*.py") for name in imported(path)}
    assert third_party - set(sys.stdlib_module_names) <= {"gan3d", "numpy", "pandas", "scipy"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_hold_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= MOST_LINES_OF_A_FUNCTION, f"{name_of(path)}: {node.name}"


def test_tests_are_not_too_long() -> None:
    too_long = [path.name for path in (ROOT / "tests").glob("*.py") if len(path.read_text("utf-8").splitlines()) > MOST_LINES_OF_A_TEST]
    assert too_long == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_file_says_what_it_is(path: Path) -> None:
    documentation = ast.get_docstring(parsed(path))
    assert documentation
    assert path.stem not in NAMELESS


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_package_does_not_print_and_leaves_nothing_to_do(path: Path) -> None:
    calls = [node.func.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert "print" not in calls
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|@@\w", path.read_text(encoding="utf-8"))


def drawn_tree() -> list[Path]:
    """Paths of the README's tree: the fenced block that begins with ``gan3d/``, two blanks to a level."""
    blocks = re.findall(r"^```\w*\n(gan3d/.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, "the README has one tree, which begins with gan3d/"
    above: list[str] = []
    found = []
    for line in blocks[0].splitlines():
        match = re.match(r"((?:  )*)(\S+)", line)
        assert match is not None, line
        level = len(match[1]) // 2
        assert level <= len(above), f"the README's tree jumps at {line!r}"
        above = [*above[:level], match[2].rstrip("/")]
        assert (ROOT.joinpath(*above)).is_dir() == match[2].endswith("/"), f"in the README's tree: {line!r}"
        found.append(Path(*above))
    return found


def test_the_readmes_tree_is_true() -> None:
    drawn = drawn_tree()
    missing = [path.as_posix() for path in drawn if not (ROOT / path).exists()]
    assert missing == []
    assert len(drawn) == len(set(drawn))


def test_the_readmes_tree_is_complete() -> None:
    """Folders of the repository that hold tracked files; and of a folder that is drawn open, every folder and file."""
    drawn = set(drawn_tree())
    tracked = tracked_files()
    folders = {Path(path.parts[0]) for path in tracked if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    assert {path for path in drawn if len(path.parts) == 1} == folders
    for opened in {path.parent for path in drawn if len(path.parts) > 1}:
        below = {opened / path.parts[len(opened.parts)] for path in tracked if path.is_relative_to(opened) and path != opened}
        of_interest = {path for path in below if path.name not in {"__init__.py", "py.typed"}}
        assert {path for path in drawn if path.parent == opened} == of_interest


def tracked_files() -> list[Path]:
    """What the repository holds, or would hold once all is added."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository, so nobody knows which files belong to it")
    return [path for path in map(Path, filter(None, listed.split("\0"))) if (ROOT / path).is_file()]


def test_nothing_names_a_path_or_a_host_of_a_machine() -> None:
    found = []
    for path in tracked_files():
        if path.suffix in BINARY:
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        found += [f"{path}: {match[0]}" for pattern in OF_A_MACHINE if (match := pattern.search(text))]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.name)
def test_every_search_space_is_asked_by_a_study(path: Path) -> None:
    asked = [yaml.safe_load(study.read_text(encoding="utf-8"))["search_space"] for study in (ROOT / "studies").glob("*.yaml")]
    assert f"../search_spaces/{path.name}" in asked
