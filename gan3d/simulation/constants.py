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
    """Factor on the published shower-to-shower spread of ln T, at 50 GeV."""
    peak_spread_growth: float = 0.0
    """Growth of that factor with ln E."""
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
    peak_offset_x0=0.3677,
    peak_growth=0.08519,
    alpha_offset=-0.1382,
    alpha_growth=0.2808,
    start_depth_x0=0.7109,
    peak_spread=0.8424,
    peak_spread_growth=0.0257,
    alpha_spread=0.8835,
    last_layer_response=0.9704,
    sampling_resolution=0.1774,
    core_offset=-0.03151,
    core_growth=-0.00415,
    core_slope=0.02817,
    tail_scale=1.024,
    early_tail=0.1214,
    core_fraction_scale=0.8463,
    core_fraction_slope=-0.1159,
    spot_energy_gev=0.0003059,
    spot_shape=1.147,
)

# Fitted to half of 120 showers: too few for more than these. The growths, spreads and spots are those of the other stack.
_UNIFORM = replace(
    _CLIC,
    peak_offset_x0=1.727,
    peak_growth=-0.07957,
    last_layer_response=0.6824,
    tail_scale=1.068,
    core_offset=-0.03827,
)


def fitted_constants(calorimeter: Calorimeter) -> ShowerConstants:
    """The constants fitted for this stack; for one that none was fitted for, those of `clic`."""
    return {"uniform": _UNIFORM}.get(calorimeter.name, _CLIC)
