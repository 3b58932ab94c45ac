"""The numbers of the embedded Monte Carlo that were fitted to Geant4, each with its meaning; everything else is published.

How each was fitted, on which files, and the command to fit it again: docs/simulation.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gan3d.physics.calorimeter import Calorimeter


@dataclass(frozen=True, slots=True)
class ShowerConstants:
    """Corrections to the published parametrisation; by default there are none."""

    peak_offset_x0: float = 0.0
    """Added to the depth of the shower maximum."""
    peak_growth: float = 0.0
    """Added to the growth of the maximum's depth with ln E [X0], which is published as 1."""
    alpha_offset: float = 0.0
    """Added to the longitudinal shape alpha."""
    alpha_growth: float = 0.0
    """Relative change of alpha's growth with ln E."""
    start_depth_x0: float = 0.0
    """The gamma profile starts so much before the front face: a shower grows exponentially at first, the profile as a power."""
    peak_spread: float = 1.0
    """Factor on the published shower-to-shower spread of ln T."""
    alpha_spread: float = 1.0
    """Factor on the published shower-to-shower spread of ln alpha."""
    last_layer_response: float = 1.0
    """Response of the last layer, behind which nothing scatters particles back, over that of the others."""
    sampling_resolution: float = 0.17
    """c: stochastic term of the sampling fluctuation [sqrt(GeV)]."""
    core_offset: float = 0.0
    """Added to the core's radius [Moliere radii]."""
    core_growth: float = 0.0
    """Added to the growth of the core's radius with ln E [Moliere radii]."""
    core_slope: float = 0.0
    """Added to the growth of the core's radius with relative depth [Moliere radii]."""
    tail_scale: float = 1.0
    """Factor on the tail's radius."""
    early_tail: float = 0.0
    """Times exp(-tau), taken off the tail's radius [Moliere radii]."""
    core_fraction_scale: float = 1.0
    """Factor on the share of energy in the core, at the shower's mean depth."""
    core_fraction_slope: float = 0.0
    """Growth of that factor with relative depth."""
    spot_energy_gev: float = 2e-4
    """Mean energy of a spot in silicon."""
    spot_shape: float = 1.0
    """Shape of the gamma distribution of a spot's energy; its relative spread is 1/sqrt(shape)."""


_CLIC = ShowerConstants(
    peak_offset_x0=0.3449,
    peak_growth=0.08281,
    alpha_offset=-0.02453,
    alpha_growth=0.2404,
    start_depth_x0=0.6672,
    peak_spread=0.7917,
    alpha_spread=0.9345,
    last_layer_response=0.9638,
    sampling_resolution=0.1933,
    core_offset=-0.03059,
    core_growth=-0.004199,
    core_slope=0.02742,
    tail_scale=1.019,
    early_tail=0.1141,
    core_fraction_scale=0.8463,
    core_fraction_slope=-0.1161,
    spot_energy_gev=0.000306,
    spot_shape=1.291,
)

# Everything across the shower and all fluctuations are those of the other stack.
_UNIFORM = replace(
    _CLIC,
    last_layer_response=0.5,
)


def fitted_constants(calorimeter: Calorimeter) -> ShowerConstants:
    """The constants fitted for this stack; for one that none was fitted for, those of `clic`."""
    return {"uniform": _UNIFORM}.get(calorimeter.name, _CLIC)
