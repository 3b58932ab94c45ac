"""The verdict as a page: plots by Plotly, which lies in the page, and a table that filters. Reads the JSON document and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from verdict_words import FILTERS, setting

from gan3d.terminal.words import short_paths
from gan3d.verdict.recipes import TOLD

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#9A9A9A"
COLOURS, DASHES = (BLUE, ORANGE, GREEN, RED, GREY), ("solid", "dash", "dot", "dashdot")


def page(document: dict[str, Any]) -> str:
    """The whole page, self-contained."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["html"]))
    environment.filters |= FILTERS | {"differing": differing}
    figures = {"scaling": scaling_figure(document), "generation": generation_figure(document)}
    return environment.get_template("verdict_page.html").render(
        document=document,
        told=told(document["recommended"]),
        generators=generators(document),
        mixed_teams=len({one["workers"] for one in document["recipes"]}) > 1,
        varying=varying(document["recipes"]),
        recipes=sorted(document["recipes"], key=lambda one: one["distance"]["value"]),
        plotly=Markup(get_plotlyjs()),  # noqa: S704, RUF100 - Plotly's own code
        figures={name: embedded(figure) for name, figure in figures.items() if figure is not None},
        data=embedded_json(points(document)),
    )


def points(document: dict[str, Any]) -> dict[str, Any]:
    """What the page's own script draws and filters; recipes go by their names, which no two of an answer share."""
    front, keys = set(document["front"]), varying(document["recipes"])
    rows = [
        {
            "name": one["name"],
            "study": one["study"],
            "distance": one["distance"]["value"],
            "low": one["distance"]["low"],
            "high": one["distance"]["high"],
            "core_hours": one["core_hours"]["value"],
            "hours_to_target": one["hours_to_target"]["value"],
            "passes": one["passes_the_gate"],
            "front": one["name"] in front,
            "knee": one["name"] == document["knee"],
            "recommended": one["name"] == document["recommended"]["name"],
            "told": differing(one, keys),
        }
        for one in document["recipes"]
    ]
    return {"rows": rows, "floor": document["recommended"]["floor"], "target": document["target"]["distance"]}


def varying(recipes: list[dict[str, Any]]) -> list[str]:
    """Keys of settings and samples that not all recipes have the same value of; an element of a list, as filters.1, goes with its list."""
    known: dict[str, set[str]] = {}
    for one in recipes:
        for key, value in everything(one).items():
            known.setdefault(key, set()).add(json.dumps(value))
    return [key for key, values in known.items() if len(values) > 1 and key.rpartition(".")[0] not in TOLD]


def told(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """What a recipe is, by label."""
    found = {key: value for key, value in everything(recipe).items() if value is not None and key.rpartition(".")[0] not in TOLD}
    return [(short(key), setting(value)) for key, value in found.items()]


def everything(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of one recipe."""
    found: dict[str, Any] = recipe["settings"] | recipe["sample"]
    return found


def differing(recipe: dict[str, Any], keys: list[str]) -> str:
    """Its values of these keys."""
    found = everything(recipe)
    return ", ".join(f"{short(key)} {setting(found[key])}" for key in keys if found.get(key) is not None)


def short(key: str) -> str:
    """A dotted key as a reader calls it."""
    return key.removeprefix("training.").removeprefix("data.").replace("_", " ").replace(".", ": ")


def scaling_figure(document: dict[str, Any]) -> go.Figure | None:
    """Speed-up by workers of every curve, beside the ideal."""
    if not document["scaling"]:
        return None
    figure, largest = go.Figure(), 1
    for curve, colour in zip(document["scaling"], (BLUE, ORANGE, GREEN, RED) * 3, strict=False):
        sizes = curve["sizes"]
        largest = max(largest, *(one["workers"] / sizes[0]["workers"] for one in sizes))
        up, down = ([abs((one[end] or one["speed_up"]) - one["speed_up"]) for one in sizes] for end in ("speed_up_high", "speed_up_low"))
        figure.add_scatter(
            x=[one["workers"] for one in sizes],
            y=[one["speed_up"] for one in sizes],
            error_y={"type": "data", "symmetric": False, "array": up, "arrayminus": down},
            mode="lines+markers",
            name=f"{curve['study']}, {curve['kind']}" + (f", predicted on {curve['predicted_on']}" if curve["predicted_on"] else ""),
            line={"color": colour, "dash": "dash" if curve["predicted_on"] else "solid"},
            text=[f"efficiency {one['efficiency']:.0%}" for one in sizes],
            hovertemplate="%{x} workers: %{y:.2f} times, %{text}<extra></extra>",
        )
    base = document["scaling"][0]["sizes"][0]["workers"]
    figure.add_scatter(x=[base, base * largest], y=[1, largest], mode="lines", name="ideal", line={"color": GREY, "dash": "dot"})
    figure = arranged(figure, "workers", "speed-up of training")
    if any(one["predicted_on"] for one in document["scaling"]):  # many times larger than what was measured
        ticks = sorted({one["workers"] for curve in document["scaling"] for one in curve["sizes"]})
        figure.update_xaxes(type="log", tickvals=ticks)
        figure.update_yaxes(type="log", tickvals=ticks)
    return figure


def generators(document: dict[str, Any]) -> dict[str, str]:
    """What timed generators are called, by their paths: trials of two studies may have one number."""
    return short_paths(row["model"] for timing in document["generation"] for row in timing["rows"])


def generation_figure(document: dict[str, Any]) -> go.Figure | None:
    """Milliseconds per shower by batch, a line for each generator with each number of threads on each machine."""
    if not document["generation"]:
        return None
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for place, timing in enumerate(document["generation"]):
        for row in timing["rows"]:
            kind = (place, timing["machine"]["processor"], row["model"], row["format"], row["precision"], row["threads"])
            lines.setdefault(kind, []).append(row)
    figure, names = go.Figure(), generators(document)
    for number, ((_, processor, model, name, precision, threads), rows) in enumerate(lines.items()):
        figure.add_scatter(
            x=[row["batch"] for row in rows],
            y=[row["mean_ms"] for row in rows],
            error_y={"type": "data", "array": [row["spread_ms"] for row in rows]},
            mode="lines+markers",
            name=f"{name}, {precision}, {threads} thread{'s' if threads > 1 else ''} ({names[model]})<br>{processor}",
            line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
        )
    figure = arranged(figure, "showers to a call", "ms per shower")
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return figure


def arranged(figure: go.Figure, x: str, y: str) -> go.Figure:
    """Axes, margins and the legend below, for narrow screens too."""
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 15, "t": 20, "b": 50},
        legend={"orientation": "h", "y": -0.25},
        showlegend=True,
        xaxis_title=x,
        yaxis_title=y,
        height=420,
        autosize=True,
    )
    return figure


def embedded(figure: go.Figure) -> Markup:
    """A figure as JSON for the page's script."""
    return embedded_json(json.loads(figure.to_json()))


def embedded_json(content: Any) -> Markup:
    """JSON that no text in it can end a script with, nor begin another one or a comment in it."""
    return Markup(json.dumps(content).replace("<", "\\u003c"))  # noqa: S704, RUF100 - escaped here
