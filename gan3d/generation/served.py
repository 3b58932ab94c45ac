"""What MLflow loads where a registered generator is used (``mlflow.pyfunc.load_model``, ``mlflow models serve``): this file, no pickle."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from gan3d.generation.card import ANY_SEED
from gan3d.generation.formats.catalog import format_of
from gan3d.generation.generator import Generator


class ServedGenerator(PythonModel):
    """Showers of a table of incident energies [GeV], and polar angles [rad] where the generator knows them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the file beside the model."""
        folder = Path(context.artifacts["generator"])
        self.generator = Generator.load(next(path for path in sorted(folder.iterdir()) if format_of(path)))

    # Without type hints: MLflow would check inputs against these, not against the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002, RUF100
        """Cells (N, X, Y, L) [GeV]; of the parameter `seed`, by default of another one for each call."""
        angle = model_input["polar_angle"] if self.generator.has_polar_angle else None
        seed = int((params or {}).get("seed", ANY_SEED))
        if seed == ANY_SEED:
            seed = secrets.randbits(63)
        energies = np.asarray(model_input["incident_energy_gev"])
        return self.generator.sample(energies, None if angle is None else np.asarray(angle), seed=seed)


set_model(ServedGenerator())
