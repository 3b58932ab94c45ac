"""Pages that are made from the code when the site is built: study files, metrics, commands, Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mkdocs_gen_files
from typer.main import get_command

from gan3d.cli.app import app
from gan3d.config.study import Study
from gan3d.records import METRICS

#: What users of the package import.
MODULES = {
    "Generators": "gan3d.generation.generator",
    "Cards of generators": "gan3d.generation.card",
    "Records of studies": "gan3d.tracking.frames",
    "Shower files": "gan3d.data.shower_file",
    "The gate": "gan3d.validation.gate",
    "Scaling": "gan3d.scaling.speedup",
    "The verdict": "gan3d.verdict.answer",
}


def settings() -> Iterator[str]:
    """Every key of a study file, by section."""
    yield "# Study files\n\nEvery key, from the schema that files are checked with (`gan3d schema` prints it for editors). "
    yield "Defaults of the recipe are the seed's.\n"
    schema = Study.model_json_schema()
    yield from section(schema, schema, "", 2)


def section(part: dict[str, Any], schema: dict[str, Any], prefix: str, level: int) -> Iterator[str]:
    """A table of the keys that hold values, then the sections below."""
    below: list[tuple[str, dict[str, Any]]] = []
    yield "\n| key | what | default |\n|---|---|---|\n"
    for key, told in part.get("properties", {}).items():
        kind = resolved(told, schema)
        text = (told.get("description") or kind.get("description") or "").replace("\n", " ").replace("|", "\\|")
        if "properties" in kind:
            below.append((f"{prefix}{key}", kind))
        default = f"`{told['default']}`".replace("|", "\\|") if "default" in told and not isinstance(told["default"], dict) else ""
        yield f"| `{prefix}{key}` | {text} {allowed(told, schema)} | {default} |\n"
    for name, kind in below:
        yield f"\n{'#' * level} {name}\n"
        yield from section(kind, schema, f"{name}.", min(level + 1, 4))


def resolved(told: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference points to."""
    reference = told.get("$ref") or next((one["$ref"] for one in told.get("allOf", []) if "$ref" in one), None)
    return schema["$defs"][reference.rpartition("/")[2]] if reference else told


def allowed(told: dict[str, Any], schema: dict[str, Any]) -> str:
    """Values and limits, where the schema has any."""
    kinds = [resolved(one, schema) for one in told.get("anyOf", [told])]
    values = [f"`{value}`" for kind in kinds for value in kind.get("enum", ())]
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {kind[name]:g}" for kind in kinds for name, sign in limits.items() if name in kind]
    return f"({', '.join([*values, *bounds])})" if values or bounds else ""


def metrics() -> Iterator[str]:
    """Every metric of an epoch."""
    yield "# Metrics\n\nWhat every epoch records, by the name that it has in MLflow, in the frames and in `objective.metric`.\n"
    yield "\n| metric | unit | better | what |\n|---|---|---|---|\n"
    for name, metric in METRICS.items():
        yield f"| `{name}` | {metric.unit} | {metric.better} | {metric.meaning} |\n"


def commands() -> Iterator[str]:
    """Every command with its options."""
    yield "# Commands\n\nExit codes: 0 done, 1 a study or a gate failed, 2 the request was wrong, 130 interrupted.\n"
    yield from command(get_command(app), "gan3d")


def command(found: Any, name: str) -> Iterator[str]:
    """One of them, and those below it."""
    children = getattr(found, "commands", {})
    if not children:
        yield f"\n## {name}\n\n{found.help or ''}\n\n| option | what | default |\n|---|---|---|\n"
        for parameter in found.params:
            options = [*parameter.opts, *parameter.secondary_opts]
            names = options if parameter.param_type_name == "option" else [str(parameter.metavar or parameter.name)]
            default = (
                parameter.default if isinstance(parameter.default, int | float | str | tuple) and parameter.default is not False else ""
            )
            cells = (" ".join(f"`{one}`" for one in names), getattr(parameter, "help", "") or "", str(default))
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
        if found.epilog:
            yield f"\n{found.epilog}\n"
    for child, inner in children.items():
        yield from command(inner, f"{name} {child}")


def python() -> Iterator[str]:
    """Docstrings of what users import."""
    yield "# Python\n"
    for title, module in MODULES.items():
        yield f"\n## {title}\n\n::: {module}\n"


for page, lines in {"settings": settings(), "metrics": metrics(), "commands": commands(), "python": python()}.items():
    with mkdocs_gen_files.open(f"reference/{page}.md", "w") as file:
        file.write("".join(lines))
