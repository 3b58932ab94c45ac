"""Every command line in the documentation is one: of gan3d, of the scripts, of make, with options and files that there are."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from gan3d.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted(ROOT.glob("*/*/README.md")),
]
PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
TOOLS = re.compile(
    r"(?:^|.* )(?:\.venv/bin/)?(gan3d|python -m gan3d\.cli|(?:python )?analysis/\w+\.py|python -m benchmarks\.\w+|make)((?: .*)?)$"
)
#: Of files that come with the repository; others are the reader's.
OURS = re.compile(r"^(?:deploy|studies|search_spaces|benchmarks|samples/geant4)/[\w./-]+$")


@dataclass(frozen=True)
class Line:
    """One command."""

    page: str
    text: str
    is_whole: bool
    """In a block, as it would be typed, not in a sentence."""

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def lines_of(page: Path) -> Iterator[Line]:
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    for language, block in FENCED.findall(text):
        if language in {"console", "bash"}:
            yield from (Line(name, line, is_whole=True) for line in block.replace("\\\n", " ").splitlines())
    for span in INLINE.findall(FENCED.sub("", text)):
        yield Line(name, " ".join(span.split()), is_whole=False)


def commands() -> list[tuple[Line, str, list[str]]]:
    """Of gan3d, scripts and make: the line, the tool, and its words."""
    found = []
    for page in PAGES:
        for line in lines_of(page):
            match = TOOLS.match(re.sub(r"\s#\s.*|\s+> \S+", "", line.text))  # without remarks, and where output goes
            if match and (line.is_whole or match[0].removeprefix(".venv/bin/").startswith(match[1])):
                found.append((line, match[1], shlex.split(match[2], comments=True)))
    return found


FOUND = commands()


def options(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.match(r"^--\w", word)}


def test_there_are_commands_of_every_kind() -> None:
    tools = [tool for _, tool, _ in FOUND]
    assert tools.count("gan3d") > 60
    assert sum("analysis/" in tool for tool in tools) > 15
    assert sum(tool.startswith("python -m benchmarks") for tool in tools) > 5
    assert tools.count("make") > 15
    assert tools.count("python -m gan3d.cli") >= 1


@pytest.mark.parametrize(("line", "words"), [(line, words) for line, tool, words in FOUND if tool in {"gan3d", "python -m gan3d.cli"}])
def test_commands_of_gan3d_are_known_with_their_options(line: Line, words: list[str]) -> None:
    command, rest, context = get_command(app), list(words), None
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{line.page}: {line.text}"
        command = command.commands[rest.pop(0)]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "--version"}
    assert options(rest) <= known, f"{line.page}: {line.text}"
    if line.is_whole:
        context = command.make_context(words[0], rest)
        assert context.params is not None


def options_of_script(path: Path, seen: frozenset[Path] = frozenset()) -> set[str]:
    """That it adds, or one of the scripts beside it that it imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for beside in (path.with_name(f"{name.rpartition('.')[2]}.py") for name in names):
            if beside.exists() and beside not in seen:
                found |= options_of_script(beside, seen | {path, beside})
    return found


@pytest.mark.parametrize(("line", "tool", "words"), [one for one in FOUND if re.search("analysis/|benchmarks", one[1])])
def test_scripts_are_there_and_take_these_options(line: Line, tool: str, words: list[str]) -> None:
    name = tool.rsplit(maxsplit=1)[-1].removesuffix(".py").replace(".", "/")
    paths = [path for path in (ROOT / f"{name}.py", ROOT / name / "__main__.py") if path.exists()]
    assert paths, f"{line.page}: {line.text}"
    assert options(words) <= options_of_script(paths[0]), f"{line.page}: {line.text}"


@pytest.mark.parametrize(("line", "words"), [(line, words) for line, tool, words in FOUND if tool == "make"])
def test_targets_of_make_are_there(line: Line, words: list[str]) -> None:
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = [word for word in words if "=" not in word]
    assert set(named) <= set(targets), f"{line.page}: {line.text}"


def test_files_that_commands_name_come_with_the_repository() -> None:
    whole = [line for page in PAGES for line in lines_of(page) if line.is_whole]
    named = {(line.page, word) for line in whole for word in line.words if OURS.match(word)}
    assert len(named) > 7
    assert [one for one in sorted(named) if not (ROOT / one[1]).exists()] == []


def test_extras_that_are_to_be_installed_are_there() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
    named = {extra for page in PAGES for extra in re.findall(r"pip install '(?:\.|gan3d)\[(\w+)\]'", page.read_text(encoding="utf-8"))}
    assert {"export", "cluster"} <= named <= known


@pytest.mark.parametrize(
    "text",
    ["gan3d run a.yaml --no-such", "gan3d rum a.yaml", "python analysis/verdict.py a --no-such b", "make nothing"],
)
def test_wrong_lines_are_found(text: str) -> None:
    """What looks for them sees them: none of these is one."""
    match = TOOLS.match(text)
    assert match is not None
    line, rest = Line("here", text, is_whole=True), shlex.split(match[2])
    check = {
        "gan3d": lambda: test_commands_of_gan3d_are_known_with_their_options(line, rest),
        "make": lambda: test_targets_of_make_are_there(line, rest),
    }.get(match[1], lambda: test_scripts_are_there_and_take_these_options(line, match[1], rest))
    with pytest.raises(AssertionError, match="here"):
        check()
