"""The schema as JSON Schema, so that editors complete and explain the keys of a study file."""

from __future__ import annotations

from typing import Any

from gan3d.config.effect import FIXED
from gan3d.config.forbidden import FORBIDDEN
from gan3d.config.keys import knobs
from gan3d.config.stairs import STAIRS
from gan3d.config.study import Study
from gan3d.records import METRICS

SCALAR = {"type": ["number", "string", "boolean", "null"]}
ENTRY = {
    "oneOf": [
        {"type": "array", "items": SCALAR, "minItems": 1},
        {
            "type": "object",
            "properties": {"min": {"type": "number"}, "max": {"type": "number"}},
            "minProperties": 1,
            "additionalProperties": False,
        },
    ]
}
#: Sampled key → values of it with which a range is sampled, too.
WHEN = {
    "type": "object",
    "description": "Sampled key and its values at which this range is sampled, too; elsewhere the knob is as written in the study's file.",
    "additionalProperties": {"type": "array", "items": SCALAR, "minItems": 1},
}
RANGE = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"choice": {"type": "array", "items": SCALAR, "minItems": 2, "uniqueItems": True}, "when": WHEN},
            "required": ["choice"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "min": {"type": "number"},
                "max": {"type": "number"},
                "step": {"type": "number", "exclusiveMinimum": 0},
                "log": {"type": "boolean"},
                "when": WHEN,
            },
            "required": ["min", "max"],
            "additionalProperties": False,
        },
    ]
}


def search_space_json_schema() -> dict[str, Any]:
    """JSON Schema of a search space file: every knob that can be sampled, with its sentence."""
    names = [key for key in knobs() if key not in FIXED]
    stair = {"type": "object", "properties": dict.fromkeys(names, SCALAR), "additionalProperties": False}
    stairs = {
        "type": "object",
        "description": "Stairs by name, in their order: what each changes of the one before.",
        "additionalProperties": stair,
        "minProperties": 2,
    }
    forbidden = {
        "type": "array",
        "description": "Combinations of values that are neither proposed nor trained.",
        "items": {
            "type": "object",
            "properties": dict.fromkeys([STAIRS, *names], ENTRY),
            "minProperties": 1,
            "additionalProperties": False,
        },
    }
    properties = {STAIRS: stairs, FORBIDDEN: forbidden} | {key: {"$ref": "#/$defs/Range"} for key in names}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def study_json_schema() -> dict[str, Any]:
    """JSON Schema of a study file, the descriptions being the sentences under the fields."""
    schema = Study.model_json_schema()
    definitions = schema["$defs"]
    for name in ("SearchSpace", "Choice", "Between", "Stairs", "Combination", "Interval"):
        definitions.pop(name, None)
    definitions["Range"] = RANGE
    space = schema["properties"]["search_space"]
    space.pop("$ref", None)
    space["anyOf"] = [{"type": "string"}, search_space_json_schema()]
    for name in ("Objective", "Goal"):
        definitions[name]["properties"]["metric"]["enum"] = [name for name, metric in METRICS.items() if metric.better != "neither"]
    definitions["Constraint"]["properties"]["metric"]["enum"] = list(METRICS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
