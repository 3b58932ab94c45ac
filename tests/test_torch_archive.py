"""Programs of torch from elsewhere: whatever a file asks torch to run is not run, wherever it stands in the file."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_shower_graph import KINDS, trial_of

from gan3d.errors import DataError
from gan3d.generation.card import Card
from gan3d.generation.formats.catalog import FORMATS
from gan3d.generation.formats.made import Calibration
from gan3d.generation.formats.torch_archive import opened
from gan3d.generation.generator import Generator
from gan3d.models.shower_graph import ShowerGraph
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState, transform_of

NOTHING = Calibration(np.zeros((0, 8), np.float32), np.zeros(0, np.float32), None)
PROGRAM = "models/model.json"


def written(path: Path, kind: dict[str, Any], compute: torch.dtype = torch.float32) -> ShowerGraph:
    trial = trial_of(kind)
    card = Card(
        format="torch-export",
        precision="fp32",
        grid=trial.data.grid,
        cells=trial.data.cells,
        crop=False,
        polar_angle=trial.training.polar_angle,
        num_noise=trial.num_noise,
        threshold_gev=1e-6,
        study_settings="x",
        epoch=1,
        parent_sha256="x",
        gan3d="x",
    )
    graph = ShowerGraph(TrainState(trial, Ranks()).generator, transform_of(trial), compute)
    FORMATS["torch-export"].export(graph, card, NOTHING)(path, card)
    return graph


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "good.pt2"
    written(path, {})
    return path


def parts_of(path: Path) -> dict[str, bytes]:
    with opened(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return path


def as_it_was(parts: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(f"good/{name}", content) for name, content in parts.items()]


@pytest.mark.filterwarnings("ignore:No complete tensor")  # of torch, about weights that are parts of larger tensors
@pytest.mark.parametrize(("name", "compute"), [*((name, torch.float32) for name in KINDS), ("residual, layers fitted", torch.bfloat16)])
def test_every_kind_of_generator_is_loaded_as_it_was_saved(tmp_path: Path, name: str, compute: torch.dtype) -> None:
    graph = written(tmp_path / "generator.pt2", KINDS[name], compute)
    generator = Generator.load(tmp_path / "generator.pt2")
    energy = np.linspace(10, 100, 3).astype(np.float32)
    angle = np.full(3, 1.4, np.float32) if generator.has_polar_angle else None
    noise = np.random.default_rng(1).normal(size=(3, generator.card.num_noise)).astype(np.float32)
    given = (torch.from_numpy(one) for one in (noise, energy, angle) if one is not None)
    with torch.no_grad():
        expected = graph(*given).numpy()
    np.testing.assert_allclose(generator.make(noise, energy, angle), expected, rtol=1e-4, atol=1e-6 * expected.max())


class Evil:
    """What a pickle can do: here it only leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def pickled(trace: Path) -> bytes:
    content = io.BytesIO()
    torch.save({"x": Evil(trace)}, content)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore")  # torch's, of its older format
def test_torchs_older_format_is_refused(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It unpickles weights whatever they are."""
    monkeypatch.setattr(logging.getLogger("torch._export.serde.serialize"), "disabled", True)
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    class Sum(torch.nn.Module):
        def forward(self, noise: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
            return noise + energy[:, None]

    artifact = serialize(torch.export.export(Sum(), (torch.zeros(2, 3), torch.ones(2))))
    trace, card = tmp_path / "trace", parts_of(good)["extra/card.json"]
    parts = [("version", ".".join(map(str, SCHEMA_VERSION)).encode()), ("serialized_exported_program.json", artifact.exported_program)]
    parts += [("serialized_state_dict.pt", pickled(trace)), ("serialized_constants.pt", artifact.constants)]
    parts += [("serialized_example_inputs.pt", artifact.example_inputs), ("a/extra/card.json", card)]
    # Beside a whole program of the new format, which torch might fail to load.
    for name, whole in (("old.pt2", parts), ("both.pt2", [*as_it_was(parts_of(good)), *parts])):
        with pytest.raises(DataError, match=r"its part '.*' may hold code"):
            Generator.load(packed(tmp_path / name, whole))
    assert not trace.exists()
    torch.export.load(tmp_path / "old.pt2")
    assert trace.exists(), "torch itself runs it"


def call(program: dict[str, Any], trace: Path) -> None:
    node = program["graph_module"]["graph"]["nodes"][0]
    node |= {"target": "torch.serialization.os.mkdir", "inputs": [{"name": "", "arg": {"as_string": str(trace)}, "kind": 1}]}


def strings(program: dict[str, Any], trace: Path) -> None:
    """To an operator of torch's own, of which some write files."""
    program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_string": trace.name}


def expression(program: dict[str, Any], trace: Path) -> None:
    for value in program["graph_module"]["graph"]["tensor_values"].values():
        for size in value["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = f"__import__('pathlib').Path('{trace}').touch()"


def name(program: dict[str, Any], trace: Path) -> None:
    made = program["graph_module"]["graph"]["outputs"][0]["as_tensor"]["name"]
    other = json.dumps(f"{made} = __import__('pathlib').Path('{trace}').touch(); {made}")
    text = json.dumps(program).replace(f'"{made}"', other)
    program.clear()
    program |= json.loads(text)


def nesting(program: dict[str, Any], trace: Path) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = f'[1, {{"type": "{trace.name}"}}]'


@pytest.mark.parametrize("change", [call, strings, expression, name, nesting])
def test_code_in_the_programs_own_text_is_refused(good: Path, tmp_path: Path, change: Callable[[dict[str, Any], Path], None]) -> None:
    parts, trace = parts_of(good), tmp_path / "trace"
    program = json.loads(parts[PROGRAM])
    change(program, trace)
    with pytest.raises(DataError, match=r"models/model\.json would run code when it is loaded, or may"):
        Generator.load(packed(tmp_path / "bad.pt2", as_it_was(parts | {PROGRAM: json.dumps(program).encode()})))
    assert not trace.exists()


def beside_its_memory(program: dict[str, Any], _trace: Path) -> None:
    """An operator of torch's that looks at no bounds."""
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten._reshape_alias.default"


def endless_symbol(program: dict[str, Any], _trace: Path) -> None:
    """torch counts up to the number in it."""
    program["range_constraints"] = {"u999999999999": {"min_val": 0, "max_val": None}}


def endless_expression(program: dict[str, Any], _trace: Path) -> None:
    """With two ways to read each digit, as many as 2 to the power of their number would be tried."""
    expression = "1" * 60 + "!"
    for value in program["graph_module"]["graph"]["tensor_values"].values():
        for size in value["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = expression


@pytest.mark.timeout(60)
@pytest.mark.parametrize("change", [beside_its_memory, endless_symbol, endless_expression])
def test_what_would_read_other_memory_or_never_end_is_refused(good: Path, tmp_path: Path, change: Callable[..., None]) -> None:
    parts = parts_of(good)
    program = json.loads(parts[PROGRAM])
    change(program, tmp_path)
    with pytest.raises(DataError, match=r"models/model\.json would run code when it is loaded, or may"):
        Generator.load(packed(tmp_path / "bad.pt2", as_it_was(parts | {PROGRAM: json.dumps(program).encode()})))


@pytest.mark.parametrize("changed", ["part", "sizes", "strides"])
def test_tensors_that_are_not_of_the_size_of_their_part_are_refused(good: Path, tmp_path: Path, changed: str) -> None:
    """Of a part of no bytes torch makes as many zeros as it says."""
    parts, config = parts_of(good), "data/weights/model_weights_config.json"
    said = json.loads(parts[config])
    meta = said["config"]["network.dense.weight"]["tensor_meta"]
    if changed == "part":
        parts["data/weights/weight_0"] = b""
    else:
        meta[changed][0]["as_int"] *= 1000
    with pytest.raises(DataError, match=r"its tensor 'network\.dense\.weight' is not of the size of its part"):
        Generator.load(packed(tmp_path / "bad.pt2", as_it_was(parts | {config: json.dumps(said).encode()})))


def test_the_sample_is_not_unpickled(good: Path, tmp_path: Path) -> None:
    trace, sample = tmp_path / "trace", "data/sample_inputs/model.pt"
    odd = packed(tmp_path / "odd.pt2", as_it_was(parts_of(good) | {sample: pickled(trace)}))
    assert np.array_equal(Generator.load(odd).sample([20.0]), Generator.load(good).sample([20.0]))
    assert not trace.exists()


def test_guards_are_not_run(good: Path, tmp_path: Path) -> None:
    """torch compiles them into a function that every call runs. They are of no use here: the generator checks its conditions."""
    parts, trace = parts_of(good), tmp_path / "trace"
    program = json.loads(parts[PROGRAM])
    program["guards_code"] = [f"__import__('pathlib').Path('{trace}').touch() is None"]
    bad = packed(tmp_path / "bad.pt2", as_it_was(parts | {PROGRAM: json.dumps(program).encode()}))
    assert np.array_equal(Generator.load(bad).sample([20.0]), Generator.load(good).sample([20.0]))
    assert not trace.exists()
    torch.export.load(bad).module()(torch.zeros(2, 8), torch.ones(2))
    assert trace.exists(), "torch itself runs it"


@pytest.mark.parametrize(
    "added",
    [
        "good/data/weights/model.pt",
        "good/data/constants/model.pt",
        "good/data/constants/custom_obj_0",
        "good/data/aotinductor/model/model.so",
        "good/models/other.json",
        "good/models/model.json",
        "good/Models/model.json",
        "other/models/model.json",
        "/models/model.json",
        "good/../good/extra/other.py",
        "good/data/",
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_parts_that_export_does_not_write_are_refused(good: Path, tmp_path: Path, added: str) -> None:
    bad = packed(tmp_path / "bad.pt2", [*as_it_was(parts_of(good)), (added, b"{}")])
    with pytest.raises(DataError, match="may hold code"):
        Generator.load(bad)
    kind = FORMATS["torch-export"]
    with pytest.raises(DataError, match="may hold code"):
        kind.read_card(bad)


def test_objects_among_the_constants_are_refused(good: Path, tmp_path: Path) -> None:
    """torch unpickles what is called `opaque_obj_0` or `custom_obj_0`, whatever `use_pickle` says."""
    parts, trace, config = parts_of(good), tmp_path / "trace", "data/constants/model_constants_config.json"
    for called in ("opaque_obj_0", "custom_obj_0", "../../data/constants/opaque_obj_0"):
        said = {"config": {"x": {"path_name": called, "is_param": False, "use_pickle": False, "tensor_meta": None}}}
        with pytest.raises(DataError, match=r"model_constants_config\.json would run code"):
            Generator.load(packed(tmp_path / "bad.pt2", as_it_was(parts | {config: json.dumps(said).encode()})))
    assert not trace.exists()


def test_a_part_that_is_missing_packed_or_no_format_is_refused(good: Path, tmp_path: Path) -> None:
    parts = parts_of(good)
    with pytest.raises(DataError, match="it has no archive_format"):
        Generator.load(packed(tmp_path / "a.pt2", as_it_was({name: one for name, one in parts.items() if name != "archive_format"})))
    with pytest.raises(DataError, match="its archive_format is b'old', not pt2"):
        Generator.load(packed(tmp_path / "b.pt2", as_it_was(parts | {"archive_format": b"old"})))
    with pytest.raises(DataError, match="may hold code"):
        Generator.load(packed(tmp_path / "c.pt2", as_it_was(parts), zipfile.ZIP_DEFLATED))


def test_a_damaged_file_is_told_as_one(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    for number in range(0, len(content), len(content) // 40):
        bad = tmp_path / "bad.pt2"
        bad.write_bytes(content[:number])
        with pytest.raises(DataError):
            Generator.load(bad)
    place = content.index(b'{"format"')
    (tmp_path / "card.pt2").write_bytes(content[:place] + b"[" + content[place + 1 :])
    with pytest.raises(DataError, match=r"card\.json' is damaged"):
        Generator.load(tmp_path / "card.pt2")
    deep = as_it_was(parts_of(good) | {PROGRAM: b"[" * 100_000})
    with pytest.raises(DataError, match="is no JSON"):
        Generator.load(packed(tmp_path / "deep.pt2", deep))


def test_a_program_that_does_not_fit_together_is_told_in_a_line(good: Path, tmp_path: Path) -> None:
    parts = parts_of(good)
    program = json.loads(parts[PROGRAM])
    program["graph_module"]["graph"]["nodes"][0]["inputs"] = []
    with pytest.raises(DataError, match="torch cannot load it"):
        Generator.load(packed(tmp_path / "bad.pt2", as_it_was(parts | {PROGRAM: json.dumps(program).encode()})))
