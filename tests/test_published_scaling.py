"""Published curves: steps as they were made, a fit that sees small teams only, and figures that are the same anywhere."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.published_scaling import (
    BEGIN,
    CLOUD_EPOCHS,
    CLOUD_SHOWERS,
    DISCRIMINATOR_WEIGHTS,
    GENERATOR_WEIGHTS,
    PAGE,
    SERIES,
    UPDATES,
    calibrated,
    cloud_step_seconds,
    lines_of,
    main,
    markdown,
    replaced,
    steps_of_epoch,
)
from gan3d.scaling.draws import interval

CLOUD, ONE_NODE = SERIES


def test_an_epoch_makes_whole_steps_and_drops_the_rest():
    """At 128 GPUs a sixtieth of the showers; seconds per shower of the data set would blame that on the GPUs."""
    assert [steps_of_epoch(96 * size) for size in CLOUD_EPOCHS] == [650, 325, 162, 81, 40, 20, 10]
    assert CLOUD_SHOWERS - 10 * 96 * 128 == 2107
    assert cloud_step_seconds(128, 34.9) == pytest.approx(3.49)
    assert cloud_step_seconds(2, 1784.42) == pytest.approx(1784.42 / 650)


def test_efficiencies_are_those_of_showers_really_trained_on():
    by_size = {line.world_size: line for line in lines_of(CLOUD) if line.model == "cost model"}
    published = {2: 100.0, 4: 99.1, 8: 97.4, 16: 96.8, 32: 95.5, 64: 92.5, 128: 78.7}
    assert {size: round(100 * line.measured_efficiency, 1) for size, line in by_size.items()} == published


def convolution(channels, filters, *kernel):
    size = 1
    for edge in kernel:
        size *= edge
    return channels * filters * size + filters


def test_weights_are_counted_layer_by_layer():
    """As `kubeflow/ganV2_preprocess.py` has them; a normalisation trains two numbers per channel."""
    generator = 256 * 5184 + 5184 + convolution(8, 8, 6, 6, 8) + 16 + convolution(8, 6, 4, 4, 6) + 12
    generator += (
        2 * (convolution(6, 6, 4, 4, 6) + 12) + convolution(6, 6, 3, 3, 5) + 12 + convolution(6, 6, 3, 3, 3) + convolution(6, 1, 2, 2, 2)
    )
    assert generator == GENERATOR_WEIGHTS
    features = 8 * (39 // 2) * (36 // 2) * (14 // 2)
    discriminator = convolution(1, 16, 5, 6, 6) + convolution(16, 8, 5, 6, 6) + 2 * convolution(8, 8, 5, 6, 6) + 3 * 16 + 2 * (features + 1)
    assert discriminator == DISCRIMINATOR_WEIGHTS
    assert list(UPDATES) == [(4 * discriminator,)] * 2 + [(4 * generator,)] * 2


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_nothing_that_is_predicted_was_fitted(series):
    """Other times of the large teams change no prediction of any model."""
    assert series.fitted["world_size"].max() == series.largest_fitted < min(size for size, _ in series.held_back)
    otherwise = tuple((size, seconds * (3.0 if size > series.largest_fitted else 1.0)) for size, seconds in series.step_seconds)
    for line, other in zip(lines_of(series), lines_of(replace(series, step_seconds=otherwise)), strict=True):
        assert line.predicted_seconds == pytest.approx(other.predicted_seconds, nan_ok=True)
        assert line.is_fitted == (line.world_size <= series.largest_fitted)


def test_the_cost_model_holds_up_to_64_gpus_and_misses_128():
    """The figures that the page explains; they depend on no machine."""
    errors = {line.world_size: line.error_percent for line in lines_of(CLOUD) if line.model == "cost model"}
    assert errors[32] == pytest.approx((-0.3, -1.7, 1.4), abs=0.1)
    assert errors[64] == pytest.approx((-2.3, -3.9, 0.2), abs=0.1)
    assert errors[128] == pytest.approx((-15.6, -17.3, -12.3), abs=0.1)
    assert interval(calibrated(CLOUD).spread).value == pytest.approx(0.026, abs=0.001)
    (eighth,) = (line for line in lines_of(ONE_NODE) if line.model == "cost model" and line.world_size == 8)
    assert eighth.error_percent.low < 0 < eighth.error_percent.high


def test_laws_are_fitted_beside():
    errors = {(line.model, line.world_size): line.error_percent.value for line in lines_of(CLOUD)}
    assert errors["amdahl", 64] == pytest.approx(6.0, abs=0.1)
    assert errors["amdahl", 128] == pytest.approx(1.6, abs=0.1)
    assert errors["universal", 128] == pytest.approx(errors["amdahl", 128], abs=0.1)
    assert errors["gustafson", 128] < -15
    assert not any(line.model == "universal" for line in lines_of(ONE_NODE)), "three points leave it undetermined"


def test_the_page_holds_what_the_program_says(capsys):
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, markdown()) == page, f"python -m benchmarks.published_scaling --write, then look at {PAGE.name}"
    assert main([]) == 0
    assert capsys.readouterr().out == markdown()
    with pytest.raises(AssertionError, match="markers"):
        replaced(page.partition(BEGIN)[0], "")


def test_json_holds_every_line(capsys):
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["cloud", "one node"]
    (line,) = (line for line in found["cloud"]["lines"] if line["model"] == "cost model" and line["world_size"] == 128)
    assert line["is_fitted"] is False
    assert line["error_percent"][0] == pytest.approx(-15.6, abs=0.1)
    assert all(line["error_percent"][1] is None for line in found["cloud"]["lines"] if line["model"] != "cost model")
