"""Exported generators: the trial's showers from another library, refused where they are not, and no code in a file is ever run."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained_states import settings, write
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.cli.exporting import save_whole
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.shower_writer import ShowerWriter
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError, DataError
from gan3d.generation.card import Card, FormatName, Precision
from gan3d.generation.conditions import Drawn
from gan3d.generation.executors import processes
from gan3d.generation.formats.catalog import FORMATS, format_of
from gan3d.generation.generator import CHUNK, Generator
from gan3d.generation.production import Production, produce
from gan3d.generation.trained import trial_folder
from gan3d.validation.collection import read_all
from gan3d.validation.detector import Detector
from gan3d.validation.exporting import NUM_CALIBRATION, Export, calibration

pytest.importorskip("onnx")

ENERGY = np.linspace(10, 100, CHUNK + 5).astype(np.float32)
#: Of the deposited energy of a shower with the same noise, at most.
DIFFERENCES = {"fp32": 1e-5, "bf16": 0.05, "int8": 0.1}
KINDS = [(name, precision) for name, kind in FORMATS.items() for precision in DIFFERENCES if precision not in kind.lacks]
CARD = Card(
    format="onnx",
    precision="fp32",
    grid=(2, 2, 1),
    cells="square",
    crop=False,
    polar_angle=False,
    num_noise=4,
    threshold_gev=0.0,
    study_settings="x",
    epoch=1,
    parent_sha256="x",
    gan3d="x",
)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trial_folder(tmp_path_factory.mktemp("exported"), 1)
    folder.path.mkdir(parents=True)
    showers = folder.path.with_name("train.h5")
    with ShowerWriter(showers, (12, 12, 12), is_polar=False, has_polar_angle=False) as writer:
        energy = np.array([15.0, 40.0, 90.0], np.float32)
        writer.append(np.full((3, 12, 12, 12), 1e-3, np.float32), energy, np.full(3, np.pi / 2, np.float32))
    trained = settings()
    write(folder.best, trained.model_copy(update={"data": trained.data.model_copy(update={"train": (str(showers),)})}))
    return folder.path


@pytest.fixture(scope="module")
def reference(trial: Path) -> Path:
    """Showers that the trial's own generator passes for: its own."""
    path = trial / "reference.h5"
    produce(Production(trial, Drawn(400, (10.0, 100.0), None, "uniform", 11), 11), path)
    return path


def exported(trial: Path, reference: Path, name: FormatName, precision: Precision) -> Path:
    path = trial / f"{name}_{precision}{FORMATS[name].suffix}"
    if not path.exists():
        card, save = Export(trial, name, precision, read_all([reference]), Detector(np.ones(12))).converted()
        save(path, card)
    return path


@pytest.mark.parametrize(("name", "precision"), KINDS)
def test_showers_are_the_trials_up_to_the_precision(trial: Path, reference: Path, name: FormatName, precision: Precision) -> None:
    found = Generator.load(exported(trial, reference, name, precision), threads=1)
    expected = Generator.load(trial).sample(ENERGY, seed=2)
    cells = found.sample(ENERGY, seed=2)
    assert (cells.shape, cells.dtype) == (expected.shape, np.float32)
    sums = cells.sum(axis=(1, 2, 3)), expected.sum(axis=(1, 2, 3))
    assert np.sqrt(np.mean((sums[0] / sums[1] - 1) ** 2)) < DIFFERENCES[precision]
    if precision == "fp32":
        np.testing.assert_allclose(cells, expected, rtol=1e-3, atol=1e-5 * expected.max())
    elif torch.backends.cpu.get_cpu_capability() == "AVX512" or precision == "int8":
        assert not np.allclose(cells, expected, rtol=1e-6), "digits are gone"
    one = found.sample(ENERGY[:1], seed=2)
    np.testing.assert_allclose(one, cells[:1], rtol=1e-3, atol=1e-3 * expected.max())


@pytest.mark.parametrize(("name", "precision"), KINDS)
def test_a_file_says_what_it_is(trial: Path, reference: Path, name: FormatName, precision: Precision) -> None:
    card = Generator.load(exported(trial, reference, name, precision)).card
    assert (card.format, card.precision, card.grid, card.num_noise, card.epoch) == (name, precision, (12, 12, 12), 8, 5)
    parent = Generator.load(trial).card
    assert (card.parent_sha256, card.study_settings) == (parent.parent_sha256, parent.study_settings)
    assert card.incident_energy_gev == (15.0, 90.0), "of the training showers, not of the reference"


def test_a_smaller_precision_makes_a_smaller_file_where_weights_are_kept_in_it(trial: Path, reference: Path) -> None:
    sizes = [exported(trial, reference, "onnx", precision).stat().st_size for precision in ("fp32", "int8")]
    assert sizes[1] < sizes[0]


def test_files_are_made_alike_by_any_number_of_processes(trial: Path, reference: Path, tmp_path: Path) -> None:
    asked = Production(exported(trial, reference, "onnx", "int8"), Drawn(600, (10.0, 100.0), None, "uniform", 1), 3)
    produce(asked, tmp_path / "one.h5")
    produce(asked, tmp_path / "two.h5", executor=processes(2))
    one, two = (open_shower_file(tmp_path / f"{name}.h5").read(0, 600).cells for name in ("one", "two"))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("name", [*FORMATS, "trial"])
def test_a_device_is_asked_for_by_its_name_and_another_is_refused_with_those_there(trial: Path, reference: Path, name: Any) -> None:
    model = trial if name == "trial" else exported(trial, reference, name, "fp32")
    named, default = (Generator.load(model, **device).sample(ENERGY[:3]) for device in ({"device": "CPU"}, {}))
    assert np.array_equal(named, default)
    with pytest.raises(ConfigError, match=r"has no device 'tpu:7' here; it has .*cpu"):
        Generator.load(model, device="tpu:7")


@pytest.mark.parametrize(("name", "precision"), [("onnx", "bf16"), ("torch-export", "int8")])
def test_what_a_format_has_not_is_refused_with_what_there_is(trial: Path, reference: Path, name: FormatName, precision: Precision) -> None:
    with pytest.raises(ConfigError, match=r"is not to be had: .* There are onnx \(fp32, int8\), openvino \(fp32, bf16, int8\)"):
        exported(trial, reference, name, precision)


def test_weights_that_ask_to_be_unpickled_are_refused(trial: Path, reference: Path, tmp_path: Path) -> None:
    good, bad = exported(trial, reference, "torch-export", "fp32"), tmp_path / "bad.pt2"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if "weights_config" in entry:
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            target.writestr(entry, content)
    with pytest.raises(DataError, match=r"weights_config\.json would run code"):
        Generator.load(bad)


@pytest.mark.parametrize("suffix", [kind.suffix for kind in FORMATS.values()])
def test_what_is_no_generator_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    with pytest.raises(ConfigError, match="there is no such file"):
        Generator.load(path)
    for file in FORMATS[next(name for name, kind in FORMATS.items() if kind is format_of(path))].files(path):
        file.write_text("nothing of the kind")
    with pytest.raises(DataError, match="other"):
        Generator.load(path)


def test_a_graph_from_elsewhere_has_no_card(tmp_path: Path) -> None:
    import onnx

    empty = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [empty],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), tmp_path / "other.onnx")
    with pytest.raises(DataError, match="holds no generator's card"):
        Generator.load(tmp_path / "other.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("place", ["near.bin", "../far.bin", "link.bin", "{folder}/far.bin"])
def test_a_graph_that_names_other_files_is_refused(tmp_path: Path, suffix: str, place: str) -> None:
    """OpenVINO reads ONNX graphs too, whatever they are called, with files that lie beside them; no card of ours is in these."""
    import onnx

    folder = tmp_path / "in"
    folder.mkdir()
    for file in (tmp_path / "far.bin", folder / "near.bin"):
        np.arange(4, dtype=np.float32).tofile(file)
    (folder / "link.bin").symlink_to(tmp_path / "far.bin")
    outside = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", place.format(folder=tmp_path)), ("offset", "0"), ("length", "16")):
        outside.external_data.add(key=key, value=value)
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in ("x", "cells")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["cells"])], "g", ends[:1], ends[1:], [outside])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.helper.set_model_props(model, {"gan3d_card": CARD.as_json()})
    path = folder / f"generator{suffix}"
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".bin").write_bytes(b"")
    is_read = suffix == ".xml" and place == "near.bin"
    with pytest.raises(DataError, match="holds no generator's card" if is_read else r"cannot (load|read) it"):
        Generator.load(path)


def test_a_missing_package_is_named_with_the_way_to_it(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (trial / "empty.onnx").write_text("")
    with pytest.raises(ConfigError, match=r"In the checkout of gan3d: pip install '\.\[export\]'"):
        Generator.load(trial / "empty.onnx")


def export(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_what_passes_is_written_with_its_verdicts_and_generates(trial: Path, reference: Path, tmp_path: Path) -> None:
    output = tmp_path / "generator.onnx"
    told = export(trial, output, "--reference", reference, "--precision", "int8", "--most", 200, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["passes"]
    assert found["difference"] < DIFFERENCES["int8"]
    card = Generator.load(output).card
    assert card == Card.model_validate(found["card"])
    assert [(one.against, one.num_showers, one.passes) for one in card.verdicts] == [("monte_carlo", 200, True), ("parent", 200, True)]
    assert CliRunner().invoke(app, ["generate", str(output), str(tmp_path / "x.h5"), "--showers", "5", "--processes", "1"]).exit_code == 0
    again = export(trial, output, "--reference", reference)
    assert again.exit_code == 2
    assert "--replace" in again.output


@pytest.mark.parametrize("seed", [1, 2])
def test_a_reference_that_is_sorted_by_energy_is_one_like_others(trial: Path, reference: Path, tmp_path: Path, seed: int) -> None:
    whole = read_all([reference])
    ordered = tmp_path / "sorted.h5"
    write_clic_file(ordered, whole.take(np.argsort(whole.incident_energy)))
    validated = CliRunner().invoke(app, ["validate", str(trial), "--reference", str(ordered), "--quick", "--seed", str(seed)])
    assert validated.exit_code == 0, validated.output
    told = export(trial, tmp_path / "sorted.pt2", "--reference", ordered, "--most", 200, "--seed", seed, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["parent"]["num_flagged"] == 0
    assert found["difference"] < DIFFERENCES["fp32"], "with the same noise, energies have to be the same too"


def test_int8_is_calibrated_on_all_energies_of_a_sorted_reference(trial: Path, reference: Path) -> None:
    whole = read_all([reference])
    ordered = whole.take(np.argsort(whole.incident_energy))
    energy = calibration(Generator.load(trial).card, ordered).incident_energy
    assert len(energy) == NUM_CALIBRATION < len(whole)
    assert (energy.min(), energy.max()) == (whole.incident_energy.min(), whole.incident_energy.max())


def test_what_falls_through_the_gate_is_not_written_unless_it_is_forced(trial: Path, reference: Path, tmp_path: Path) -> None:
    whole = read_all([reference])
    hotter = tmp_path / "hotter.h5"
    write_clic_file(hotter, Showers(whole.cells * np.float32(1.1), whole.incident_energy, None, whole.identity))
    output = tmp_path / "generator"
    asked = (trial, output, "--format", "torch-export", "--reference", hotter, "--most", 200)
    told = export(*asked)
    assert told.exit_code == 1
    assert "Nothing was written" in told.output
    assert not list(tmp_path.glob("generator*"))
    forced = export(*asked, "--force")
    assert forced.exit_code == 0, forced.output
    verdicts = {one.against: one.passes for one in Generator.load(output.with_suffix(".pt2")).card.verdicts}
    assert verdicts == {"monte_carlo": False, "parent": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("TRIAL", "generator"), "does not say which format"),
        (("TRIAL", "generator.onnx", "--format", "openvino"), "which end on .xml"),
        (("TRIAL", "generator.onnx"), "Give Monte Carlo showers with --reference"),
        (("TRIAL", "generator.onnx", "--reference", "FEW"), "80 showers in few.h5: the gate needs 200 at least. Give more"),
        (("nothing", "generator.onnx"), "no study was run in results/nothing"),
        (("generator.pt2", "other.onnx"), "is an exported generator already"),
    ],
    ids=["format", "suffix", "reference", "few", "model", "exported"],
)
def test_requests_that_cannot_be_met(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    produce(Production(trial, Drawn(80, (10.0, 100.0), None, "uniform", 1), 1), Path("few.h5"))
    told = export(*({"TRIAL": trial, "FEW": "few.h5"}.get(argument, argument) for argument in arguments))
    assert told.exit_code == 2, told.output
    assert message in told.output.replace("\n", " ")


def test_a_file_that_belongs_to_an_export_is_not_replaced_unasked(trial: Path, reference: Path, tmp_path: Path) -> None:
    """OpenVINO's weights lie beside the graph."""
    (tmp_path / "generator.bin").write_text("precious")
    told = export(trial, tmp_path / "generator.xml", "--reference", reference)
    assert told.exit_code == 2
    assert "generator.bin: the file exists already" in told.output.replace("\n", "")
    assert (tmp_path / "generator.bin").read_text() == "precious"


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_converted(trial: Path, reference: Path, tmp_path: Path) -> None:
    (tmp_path / "generator.onnx").mkdir()
    told = export(trial, tmp_path / "generator.onnx", "--reference", reference, "--replace")
    assert told.exit_code == 2
    assert "there is a folder of that name" in told.output
    assert "converting" not in told.output
    (tmp_path / "file").write_text("no folder")
    told = export(trial, tmp_path / "file" / "generator.onnx", "--reference", reference)
    assert told.exit_code == 2
    assert "its folder cannot be made" in told.output


def test_a_save_that_is_cut_off_leaves_the_old_files(tmp_path: Path) -> None:
    kind, output = FORMATS["openvino"], tmp_path / "generator.xml"
    for file in kind.files(output):
        file.write_text("old")

    def cut_off(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_whole(cut_off, output, kind)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["generator.bin", "generator.xml"]
    assert {file.read_text() for file in kind.files(output)} == {"old"}
    save_whole(lambda path: [file.write_text("new") for file in kind.files(path)] and None, output, kind)
    assert {file.read_text() for file in kind.files(output)} == {"new"}
