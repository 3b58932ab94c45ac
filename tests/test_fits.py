"""The table of laws: each kind of scaling by its own, a row for each, numbers or why there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gan3d.scaling.fits import LAWS_OF, fits_by_kind, fits_table
from gan3d.scaling.speedup import RATES, by_kind, throughput

NUMBERS = [f"{name}{end}" for name in ("one_worker", "sigma", "kappa", "peak") for end in ("", "_low", "_high")]


def rates_of(efficiency, sizes=(1, 2, 4, 8), blocks=5):
    """Blocks of 20 showers per second and worker, times an efficiency, with a scatter of 1 %."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"world_size": np.tile(sizes, blocks), "block": np.repeat(range(blocks), len(sizes))})
    rate = 20.0 * rows["world_size"] * efficiency(rows["world_size"]) * np.exp(rng.normal(0, 0.01, len(rows)))
    return rows.assign(showers_per_second=rate, showers_per_second_whole_epoch=rate / 2)


def amdahl(n):
    return 1 / (1 + 0.05 * (n - 1))


def gustafson(n):
    return (n - 0.05 * (n - 1)) / n


def test_strong_scaling_is_amdahls_and_weak_scaling_gustafsons():
    rates = {"strong": rates_of(amdahl), "weak": rates_of(gustafson)}
    table = fits_table(rates)
    assert list(zip(table["kind"], table["law"], strict=True)) == [
        ("strong", "amdahl"),
        ("strong", "universal"),
        ("weak", "gustafson"),
        ("weak", "universal"),
    ]
    assert list(table) == ["kind", "law", "trials", "blocks", "world_sizes", *NUMBERS, "scatter", "p_value", "undetermined"]
    assert (table["trials"] == 20).all()
    assert (table["blocks"] == 5).all()
    assert set(table["world_sizes"]) == {"1, 2, 4, 8"}
    own = table[table["law"].isin(["amdahl", "gustafson"])]
    assert ((own["sigma_low"] < 0.05) & (own["sigma_high"] > 0.05)).all()
    assert own[["kappa", "kappa_low", "kappa_high"]].isna().all(axis=None), "which these laws do not have"
    assert np.isinf(own[["peak", "peak_low", "peak_high"]]).all(axis=None), "and never fall"
    assert (table["undetermined"] == "").all()


def test_the_table_holds_the_fits():
    rates = {"strong": rates_of(amdahl)}
    fits = fits_by_kind(rates, confidence=0.8)
    table = fits_table(rates, confidence=0.8).set_index(["kind", "law"])
    assert list(fits) == list(table.index)
    for place, fit in fits.items():
        assert table.loc[place, ["sigma", "sigma_low", "sigma_high"]].tolist() == list(fit.parameters["sigma"])
        assert table.loc[place, ["peak", "peak_low", "peak_high"]].tolist() == list(fit.peak)
        assert table.loc[place, ["one_worker", "one_worker_low", "one_worker_high"]].tolist() == list(fit.one_worker)
        assert table.loc[place, ["scatter", "p_value"]].tolist() == [fit.scatter, fit.p_value]


def test_two_cores_leave_laws_undetermined():
    table = fits_table({"weak": rates_of(gustafson, sizes=(1, 2))})
    assert table["law"].tolist() == list(LAWS_OF["weak"])
    assert (
        table["undetermined"]
        .str.match(r"undetermined: \w+ has [23] parameters, so [34] world sizes can test it; there are 2 \(1, 2\)$")
        .all()
    )
    assert table[[*NUMBERS, "scatter", "p_value"]].isna().all(axis=None)


def test_any_throughput_can_be_fitted():
    rates = {"strong": rates_of(amdahl)}
    training, whole = (fits_table(rates, column=column).set_index("law") for column in RATES.values())
    assert whole["one_worker"].to_numpy() == pytest.approx(training["one_worker"].to_numpy() / 2)
    assert whole["sigma"].to_numpy() == pytest.approx(training["sigma"].to_numpy(), rel=1e-6)


def test_a_study_goes_from_its_epochs_to_its_table():
    rates = rates_of(amdahl)
    epochs = pd.DataFrame(
        {
            "trial": range(len(rates)),
            "state": "complete",
            "world_size": rates["world_size"],
            "global_batch": 64,
            "batch_per_worker": 64 // rates["world_size"],
            "training.seed": rates["block"],
            "epoch": 2,
            "timing.num_showers": 640.0,
            "timing.showers_per_second": rates["showers_per_second"],
            "timing.epoch_seconds": 640.0 / rates["showers_per_second"] + 1,
        }
    )
    table = fits_table({kind: throughput(of_kind) for kind, of_kind in by_kind(epochs).items()})
    pd.testing.assert_frame_equal(table, fits_table({"strong": rates}))
