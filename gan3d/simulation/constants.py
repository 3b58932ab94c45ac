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
    stray: float = 0.0
    """What photons leave in a layer, wherever it is, far from where they were made: visible over incident energy, times 1e6."""
    shape_spread: float = 0.0
    """Relative spread of the energy at a depth about the gamma profile, the sum kept, at 50 GeV: subshowers."""
    shape_spread_growth: float = 0.0
    """Growth of that spread with ln E."""
    shape_length_x0: float = 2.0
    """Distance at which two depths' deviations from the profile are correlated by 1/e."""
    sampling_resolution: float = 0.17
    """c: stochastic term of the sampling fluctuation [sqrt(GeV)]."""
    axis_tilt: float = 0.0
    """By how much the axis turns behind the shower maximum: spread in x and in y, of a shower of 50 GeV, as 1/sqrt(E) [rad]."""
    core_offset: float = 0.0
    """Added to the core's radius [Moliere radii]."""
    core_growth: float = 0.0
    """Added to the growth of the core's radius with ln E [Moliere radii]."""
    core_slope: float = 0.0
    """Added to the growth of the core's radius with relative depth [Moliere radii]."""
    early_core: float = 0.0
    """Times exp(-tau), taken off the core's radius [Moliere radii]."""
    tail_scale: float = 1.0
    """Factor on the tail's radius."""
    early_tail: float = 0.0
    """Times exp(-tau), taken off the tail's radius [Moliere radii]."""
    core_fraction_scale: float = 1.0
    """Factor on the share of energy in the core, at the shower's mean depth."""
    core_fraction_slope: float = 0.0
    """Growth of that factor with relative depth."""
    halo_share: float = 0.0
    """Of the energy, in a third component beyond core and tail; what is stray comes on top."""
    halo_radius: float = 3.0
    """Of that component [Moliere radii]."""
    spot_energy_gev: float = 2e-4
    """Mean energy of a spot in silicon."""
    spot_shape: float = 1.0
    """Shape of the gamma distribution of a spot's energy; its relative spread is 1/sqrt(shape)."""
    crossing_share: float = 0.0
    """Of spots, that are one particle's crossing of the silicon, near the minimum ionising loss."""
    crossing_energy: float = 1.0
    """Mean energy of these over that of the others."""


_CLIC = ShowerConstants(
    peak_offset_x0=0.7845,
    peak_growth=0.07921,
    alpha_offset=0.1428,
    alpha_growth=0.3091,
    start_depth_x0=1.0,
    peak_spread=0.6838,
    peak_spread_growth=0.05451,
    alpha_spread=0.07858,
    last_layer_response=0.9508,
    stray=7.579,
    shape_spread=0.3879,
    shape_spread_growth=-0.07177,
    shape_length_x0=24.94,
    sampling_resolution=0.1759,
    axis_tilt=0.01336,
    core_offset=0.1296,
    core_growth=-0.005282,
    core_slope=-0.07696,
    early_core=0.1792,
    tail_scale=0.8781,
    early_tail=0.1548,
    core_fraction_scale=0.7392,
    core_fraction_slope=-0.2943,
    halo_share=0.006396,
    halo_radius=3.019,
    spot_energy_gev=0.0003169,
    spot_shape=0.8753,
    crossing_share=0.2351,
    crossing_energy=0.6793,
)

# Fitted to half of 120 showers: too few for more than these. The growths, spreads and spots are those of the other stack.
_UNIFORM = replace(
    _CLIC,
    peak_offset_x0=1.588,
    peak_growth=-0.03289,
    last_layer_response=0.5926,
    tail_scale=0.9384,
    core_offset=0.1186,
)


def fitted_constants(calorimeter: Calorimeter) -> ShowerConstants:
    """The constants fitted for this stack; for one that none was fitted for, those of `clic`."""
    return {"uniform": _UNIFORM}.get(calorimeter.name, _CLIC)
