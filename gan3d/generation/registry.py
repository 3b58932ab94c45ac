"""Exported generators as registered models of MLflow: with signature, example, and what the gate said of them.

A version belongs to the run of the trial that it was made of. ``models:/NAME/VERSION`` names it, ``models:/NAME@passes-gate`` the newest
one that has passed.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gan3d
from gan3d.data.showers import NORMAL_INCIDENCE_RAD
from gan3d.errors import ConfigError
from gan3d.generation.card import ANY_SEED, Card
from gan3d.generation.formats.catalog import FORMATS, format_of
from gan3d.tracking.client import artifacts_of, failures, load_mlflow, open_client
from gan3d.tracking.viewing import artifacts_here

SCHEME = "models:/"
#: Alias of the newest version that has passed the gate.
PASSES = "passes-gate"
#: Run by MLflow, not imported here: it takes seconds.
SERVED = Path(__file__).with_name("served.py")
#: What it imports beside this package, of all formats and of one.
SERVED_WITH = ("h5py", "mlflow", "numpy", "pandas", "pydantic", "pyyaml", "torch")
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
#: Of a registered model: what its URI and MLflow's searches tell apart from what stands beside it.
NAME = re.compile(r"\w[\w .+-]*")
#: In the run of the trial.
FOLDER = "generators"
EXAMPLE_GEV = (20.0, 80.0)


@dataclass(frozen=True, slots=True)
class Version:
    """A registered generator."""

    name: str
    number: int

    @property
    def uri(self) -> str:
        """For MLflow, and for `gan3d generate`."""
        return f"{SCHEME}{self.name}/{self.number}"


def register(file: Path, card: Card, name: str, tracking_uri: str, run_id: str) -> Version:
    """Put an exported file into a trial's run, and register it.

    Args:
        file: of ``gan3d export``.
        card: that it holds.
        name: of the registered model, which is made if there is none.
        tracking_uri: where the trial is recorded.
        run_id: of the trial.

    Raises:
        ConfigError: a name that no URI can hold, the tracking server does not answer, or refuses, or the run's artefacts are not here.
    """
    if not NAME.fullmatch(name):
        message = (
            f"{name!r} cannot be the name of a registered model, which is part of {SCHEME}NAME/VERSION and {SCHEME}NAME@ALIAS: "
            "give one of letters, digits, spaces, and . _ + -, that begins with a letter or digit."
        )
        raise ConfigError(message, key="name")
    client = open_client(tracking_uri)
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "model"
        _save(file, card, model)
        try:
            folder = f"{FOLDER}/{file.stem}_{card.precision}_{card.format}_{digest_of(file)}"
            with artifacts_here(tracking_uri, run_id) as here:
                artifacts_of(here, run_id).log_artifacts(str(model), folder)
            # As the database has it, so that it is found with the others wherever the study's folder goes.
            source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name, description=f"Generators of showers of {card.grid} cells.")
            found = client.create_model_version(name, source, run_id, tags=tags_of(card), description=described(card))
            if card.verdicts and all(one.passes for one in card.verdicts):
                client.set_registered_model_alias(name, PASSES, found.version)
        except failures() as problem:
            message = f"{tracking_uri} does not take the model: {problem}"
            raise ConfigError(message, key="tracking_uri") from problem
    return Version(name, int(found.version))


def digest_of(file: Path) -> str:
    """Of the bytes of an exported file, in short: what a version is made of is not written over by one that is called alike."""
    kind, found = format_of(file), hashlib.sha256()
    assert kind is not None
    for part in kind.files(file):
        found.update(part.read_bytes())
    return found.hexdigest()[:16]


def tags_of(card: Card) -> dict[str, str]:
    """Of a version, by which MLflow's pages and searches find it."""
    passed = {
        f"gate_{one.against}": "pass" if one.passes else f"{one.num_flagged} of {one.num_numbers} fall through" for one in card.verdicts
    }
    passes = "unknown" if not card.verdicts else str(all(one.passes for one in card.verdicts)).lower()
    plain = {"format": card.format, "precision": card.precision, "epoch": str(card.epoch), "parent_sha256": card.parent_sha256}
    return plain | passed | {"passes_gate": passes}


def described(card: Card) -> str:
    """In words."""
    lines = [f"{card.format}, {card.precision}; grid {card.grid}; after epoch {card.epoch} of training."]
    against = {"monte_carlo": "Monte Carlo", "parent": "the trial's own showers"}
    lines += [f"Held against {against[one.against]}: {one.in_words()}." for one in card.verdicts]
    return "\n".join(lines)


def downloaded(uri: str, tracking_uri: str | None) -> Path:
    """The exported file of a registered generator; a copy, where there has to be one, lasts as long as this process.

    Raises:
        ConfigError: as `fetched`, or nothing says where the registry is.
    """
    place = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if place is None:
        message = f"{uri} is a registered model: say where with --tracking-uri, or in MLFLOW_TRACKING_URI."
        raise ConfigError(message, key="tracking_uri")
    folder = Path(tempfile.mkdtemp(prefix="gan3d_model_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return fetched(uri, place, folder)


def fetched(uri: str, tracking_uri: str, folder: Path) -> Path:
    """The exported file of a registered generator: where it lies, if that is on this machine, else a copy in ``folder``.

    Raises:
        ConfigError: there is no such version, or it is no generator.
    """
    named = uri.removeprefix(SCHEME)
    try:
        with artifacts_here(tracking_uri) as here:
            client = open_client(here)
            if "@" in named:
                name, _, alias = named.partition("@")
                found = client.get_model_version_by_alias(name, alias)
            else:
                name, _, number = named.partition("/")
                found = client.get_model_version(name, number)
            source = client.get_model_version_download_uri(found.name, found.version)
            local = Path(load_mlflow().artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=here))
    except failures() as problem:
        message = f"{uri} is not registered at {tracking_uri} ({problem}). Its form is models:/NAME/VERSION or models:/NAME@ALIAS."
        raise ConfigError(message, key="model") from problem
    for path in sorted(local.rglob("*")):
        if format_of(path):
            return path
    message = f"{uri} holds no exported generator ({', '.join(kind.suffix for kind in FORMATS.values())})"
    raise ConfigError(message, key="model")


def _save(file: Path, card: Card, folder: Path) -> None:
    """In MLflow's layout: the file, the code that loads it, the signature and an example."""
    mlflow = load_mlflow()
    kind = format_of(file)
    assert kind is not None
    together = folder.parent / "generator"
    together.mkdir()
    for part in kind.files(file):
        shutil.copyfile(part, together / part.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on type hints and signatures, which the signature here settles
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(SERVED),
            artifacts={"generator": str(together)},
            signature=signature_of(card, mlflow),
            input_example=example_of(card),
            pip_requirements=requirements_of(card),
            metadata={"gan3d": gan3d.__version__},
        )


def requirements_of(card: Card) -> list[str]:
    """What the code that loads it imports, as it is installed here. This package is on no index and is not among them."""
    names = [*SERVED_WITH, *([RUNTIMES[card.format]] if card.format in RUNTIMES else [])]
    # A build's own mark (2.13.0+cpu) is known to its index only.
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def signature_of(card: Card, mlflow: Any) -> Any:
    """Energies, and angles where there are any; cells; the seed."""
    types = mlflow.types
    columns = [types.ColSpec("double", "incident_energy_gev"), *([types.ColSpec("double", "polar_angle")] if card.polar_angle else [])]
    return mlflow.models.ModelSignature(
        inputs=types.Schema(columns),
        outputs=types.Schema([types.TensorSpec(np.dtype(np.float32), (-1, *card.grid), "cells")]),
        params=types.ParamSchema([types.ParamSpec("seed", "long", ANY_SEED)]),
    )


def example_of(card: Card) -> pd.DataFrame:
    """Two showers to ask for."""
    found = pd.DataFrame({"incident_energy_gev": EXAMPLE_GEV})
    return found.assign(polar_angle=NORMAL_INCIDENCE_RAD) if card.polar_angle else found
