"""Fifty trials, and whoever is at hand is killed again and again: all fifty are there, once each, as if nobody had been."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from killed_study import Results, Session, assert_same, assert_whole, kill_driver, kill_trial_actor, kill_worker, wait_for
from small_study import SAMPLES, write_study

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers

pytestmark = [
    pytest.mark.timeout(1800),  # all of its sessions at once, on a machine that may be busy
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's and MLflow's own
]

SEED = 7
TRIALS, EPOCHS = 50, 2
#: How many of each are killed. A trial that loses its actor twice in one session has failed, so kills are some trials apart.
KILLS = {"worker": 3, "trial actor": 3, "driver": 3}
APART = 2 * EPOCHS + 1
BLOWS: dict[str, Callable[[Session], None]] = {"worker": kill_worker, "trial actor": kill_trial_actor, "driver": kill_driver}
#: Longest time between an epoch's end and the blow: most epochs, and what is between trials, are shorter [s].
LONGEST_WAIT = 0.6


def write_tiny_study(folder: Path) -> Path:
    """The smallest grid there is, a few showers, networks of one filter, one worker; each trial another seed, drawn at random."""
    study = write_study(
        folder,
        {"training.seed": {"min": 1, "max": 100_000}, "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}},
        sampler={"name": "random", "seed": SEED},
        trials={"number": TRIALS},
        workers={"per_trial": 1, "convolutions": "plain"},
        training={
            "epochs": EPOCHS,
            "global_batch": 8,
            "generator": {"filters": [1, 1, 1], "kernel": 3, "normalisation": "group", "noise_dim": 1},
            "discriminator": {"blocks": 1, "filters": [1, 1, 1, 1], "kernel": 3, "normalisation": "group"},
        },
        data={"train": ["train.h5"], "validation": ["validation.h5"], "grid": [8, 8, 8], "cell_scale": 30.0},
    )
    for name, number in (("train", 16), ("validation", 16)):
        showers = open_shower_file(SAMPLES / f"clic_10_100_{name}.h5").read(0, number)
        cells = showers.cells[:, 9:17, 9:17, 4:12].copy()
        write_clic_file(folder / f"{name}.h5", Showers(cells, showers.incident_energy, None, showers.identity))
    return study


def moments(dice: random.Random) -> list[tuple[int, str, float]]:
    """(finished epochs of the study, victim, seconds to wait then), by a random choice that follows from the seed."""
    victims = [name for name, number in KILLS.items() for _ in range(number)]
    dice.shuffle(victims)
    free = TRIALS * EPOCHS - APART * len(victims)
    places = sorted(dice.sample(range(1, free), len(victims)))
    placed = enumerate(zip(places, victims, strict=True))
    return [(place + APART * turn, name, dice.uniform(0, LONGEST_WAIT)) for turn, (place, name) in placed]


@contextmanager
def told(kills: list[str]) -> Iterator[None]:
    """What a failure has to say beside its own words."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {SEED}; killed until then: {'; '.join(kills) or 'nobody'}")
        raise


def run_to_its_end(folder: Path, *words: str) -> Session:
    session = Session(folder, *words)
    try:
        assert session.ended() == 0, session.output
    finally:
        session.clear()
    return session


def soak(folder: Path, results: Results, kills: list[str], *start: str) -> Session:
    """Run the study, kill at every moment, resume it where it was the driver; returns the last session."""
    session = Session(folder, *start)
    begin = time.monotonic()
    try:
        for epochs, victim, seconds in moments(random.Random(SEED)):
            wait_for(lambda epochs=epochs: results.num_finished() >= epochs, session, f"{epochs} epochs")
            time.sleep(seconds)
            finished, after = results.num_finished(), time.monotonic() - begin
            kills.append(f"{victim} after {finished} epochs, {after:.1f} s")
            BLOWS[victim](session)
            if victim == "driver":
                session.ended()
                assert session.left_behind() == []
                session = Session(folder, "resume", results.folder.name)
        assert session.ended() == 0, session.output
    finally:
        session.clear()
    return session


def test_fifty_trials_survive_random_kills(tmp_path: Path) -> None:
    start = ["run", str(write_tiny_study(tmp_path)), "--results"]
    killed, uninterrupted = (Results(tmp_path / name, "small") for name in ("killed", "uninterrupted"))
    kills: list[str] = []
    with told(kills):
        run_to_its_end(tmp_path, *start, "uninterrupted")
        soak(tmp_path, killed, kills, *start, "killed")
        assert len(kills) == sum(KILLS.values())
        assert_whole(uninterrupted, TRIALS, EPOCHS)
        assert_whole(killed, TRIALS, EPOCHS)
        assert_same(killed, uninterrupted)
