"""What MLflow's pages say above a study's numbers: its question, and when it has ended its answer, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from gan3d.config.objective import Objective
from gan3d.records import METRICS, TrialRecord

#: The tag that MLflow shows as a run's description.
NOTE = "mlflow.note.content"
#: Begins the verdict in a description, which ends with it.
_VERDICT = "\n\n**Verdict** (`verdict/verdict.html` among the artefacts): "


def begun(question: str, objective: Objective) -> str:
    """Of a study that runs."""
    meaning = METRICS[objective.metric].meaning if objective.metric in METRICS else ""
    what = f"`{objective.metric}`, which is to be {'as small' if objective.direction == 'minimize' else 'as large'} as possible"
    where = (
        "Its trials are the nested runs: open them beside each other under *Chart*, or sort the table by a metric. "
        "Tags say how each ended (`state`, `reason`) and what it cost; `study.yaml`, `plan.json` and `figures/` are among the artefacts."
    )
    lines = [f"**{question}**", f"Optimised is {what}{f' ({meaning})' if meaning else ''}.", where]
    return "\n\n".join(lines)


def ended(question: str, objective: Objective, best: TrialRecord | None, state: str, cost: Mapping[str, str]) -> str:
    """Of one that has ended."""
    if best is None or best.objective is None:
        answer = "No trial has an objective."
    else:
        sample = ", ".join(f"`{key}` {value}" for key, value in best.sample.items())
        answer = f"Best: trial {best.number:04d} with {objective.metric} **{best.objective:.4g}**" + (f" ({sample})." if sample else ".")
    spent = cost.get("cost.core_hours")
    paid = f" for {cost['cost.money']} {cost.get('cost.currency', '')}".rstrip() if "cost.money" in cost else ""
    took = f"; it took {spent} core-hours{paid}." if spent else "."
    return "\n\n".join([begun(question, objective), f"{answer} The study is {state}{took}"])


def with_verdict(description: str, sentence: str) -> str:
    """A description that ends with the verdict; one given before is replaced."""
    return description.partition(_VERDICT)[0] + _VERDICT + sentence
