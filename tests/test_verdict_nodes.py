"""On how many nodes: what records tell of hosts, which recipe is first on at most so many, and what is said where nothing tells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_verdict_teams import mixed, search, teams
from verdict_pages import page_of

from gan3d.tracking.store import RUN_FILE, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder
from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.places import nodes_of_trials


def placed(records: Records, *nodes: int) -> Records:
    """The same, each trial on so many of them."""
    return replace(records, nodes=dict(enumerate(nodes)))


def seats(results: Path, trial: int, *hosts: str) -> None:
    folder = TrialFolder(results / "trials" / f"{trial:04d}")
    folder.path.mkdir(parents=True)
    folder.write_workers([{"rank": rank, "host": host, "pid": 1} for rank, host in enumerate(hosts)])


def test_hosts_of_ranks_are_counted_in_the_results_of_the_same_run(tmp_path: Path) -> None:
    study = teams(1, 2, 4)
    uri = default_tracking_uri(tmp_path)
    seats(tmp_path, 1, "a", "b")
    seats(tmp_path, 2, "a", "a", "b", "b")
    seats(tmp_path, 4, "a")  # of a team that has grown since
    (tmp_path / "trials" / "0005").mkdir()
    (tmp_path / "trials" / "0005" / "workers.json").write_text("[{")
    asked = (study.study, study.trials)
    lone = {0: 1, 3: 1}
    assert nodes_of_trials(uri, "run", *asked) == lone
    (tmp_path / RUN_FILE).write_text("run\n")
    assert nodes_of_trials(uri, "run", *asked) == lone | {1: 2, 2: 2}
    assert nodes_of_trials(uri, "another launch", *asked) == lone
    assert nodes_of_trials(str(tmp_path), "run", *asked) == lone
    settings = study.study.model_copy(update={"workers": study.study.workers.model_copy(update={"one_node": True})})
    assert nodes_of_trials(str(tmp_path), "run", settings, study.trials) == dict.fromkeys(range(6), 1)


def on_nodes(*nodes: int) -> Answer:
    """B takes an hour and a half on one worker; teams of 1, 2 and 4 workers, twice each, on these."""
    return answer_of([placed(search("b", 1, 1.5), 1), placed(teams(1, 2, 4), *nodes)], asked=Asked(target=0.2))


def test_the_fastest_on_so_many_nodes_uses_all_workers_of_them() -> None:
    answer = on_nodes(1, 1, 2, 1, 1, 2)
    rows = answer.as_document()["fastest_on_at_most_nodes"]
    assert [(row["at_most"], row["workers"], row["nodes"]) for row in rows] == [(1, 2, 1), (2, 4, 2)]
    assert [row["hours_to_target"] for row in rows] == pytest.approx([1.5 / 1.9, 1.5 / 3.6])
    assert [row["nodes"] for row in answer.fastest()] == [1, 1, 2]
    assert not any("is not recorded" in text for text in answer.not_measured())
    page = page_of(answer)
    assert "<td>2 nodes</td><td>4 workers on 2 nodes</td>" in page
    assert "scaled by teams, strong scaling" in page


def test_a_team_of_which_one_trial_is_not_placed_is_told_by_its_workers() -> None:
    answer = on_nodes(1, 1, 2, 1, 1)
    assert [(row["at_most"], row["workers"]) for row in answer.as_document()["fastest_on_at_most_nodes"]] == [(1, 2)]
    assert [row["nodes"] for row in answer.fastest()] == [1, 1, None]
    assert any(text.startswith("On how many nodes the workers of teams were is not recorded") for text in answer.not_measured())


def test_many_workers_on_one_node_had_no_network_between_nodes() -> None:
    crowded = on_nodes(1, 1, 1, 1, 1, 1)
    assert any(text.startswith("No team was larger than one machine") for text in crowded.not_measured())
    assert not any(text.startswith("No team was larger") for text in on_nodes(1, 2, 4, 1, 2, 4).not_measured())


def test_without_a_scaling_study_the_searched_team_answers() -> None:
    answer = answer_of([placed(search("a", 4, 1.0), 2), placed(search("b", 1, 1.5), 1)], asked=Asked(target=0.2))
    rows = list(answer.fastest())
    assert [(row["at_most"], row["workers"], row["recipe"], row["known"]) for row in rows] == [
        (1, 1, "b 0", "measured"),
        (4, 4, "a 0", "measured"),
    ]
    assert [row["hours_to_target"] for row in rows] == pytest.approx([1.5, 1.0])
    nodes = answer.as_document()["fastest_on_at_most_nodes"]
    assert [(row["at_most"], row["recipe"]) for row in nodes] == [(1, "b 0"), (2, "a 0")]
    page = page_of(answer)
    assert page.count("<td>measured: its own team</td>") == 4
    assert 'id="scaling-plot"' not in page


def test_a_team_on_no_curve_is_not_said_to_be_faster_than_a_smaller_one() -> None:
    rows = list(mixed(1, 2).fastest())
    assert [(row["at_most"], row["workers"], row["recipe"]) for row in rows] == [(1, 1, "b 0"), (2, 2, "b 0"), (4, 2, "b 0")]
    assert [row["known"] for row in rows] == ["measured", "scaled", "scaled"]
    slow = answer_of([search("a", 4, 0.3), search("b", 1, 1.5), teams(1, 2)], asked=Asked(target=0.2))
    assert [(row["recipe"], row["known"]) for row in slow.fastest()] == [("a 0", "ideal"), ("a 0", "ideal"), ("a 0", "measured")]


def test_where_nobody_comes_to_the_target_that_is_said() -> None:
    answer = answer_of([search("b", 1, 1.5), teams(1, 2)], asked=Asked(target=0.01))
    assert list(answer.fastest()) == []
    assert "No recipe comes to a distance of 0.01 in the median over its trials" in page_of(answer)
    json.dumps(answer.as_document(), allow_nan=False)
