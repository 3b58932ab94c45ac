"""Which version of the definitions (``gan3d.physics.distance``) a trial's physics distances are of: only those of one are compared.

A version belongs to what is measured, not to the code: what a change leaves as it was keeps its version, and its old studies.

    1   square cells, without the polar angle as a condition
    2   polar cells, whose moments are of places (in version 1: of the angle's index); trials that are conditioned on the polar angle, whose
        distances are taken in bins of it, too (in version 1: in bins of the incident energy alone)

Told from settings, as records have no files. Not covered: polar cells that a study reads with ``data.cells: square`` count as square here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan3d.config.training import TrialSettings

#: Newest version of the definitions, as it is in a study's provenance; raised with any change that moves a number.
VERSION = 2
#: Of square cells, and of all that was measured by records that do not say a version.
FIRST_VERSION = 1


def distance_version(settings: TrialSettings, newest: int = VERSION) -> int:
    """Version of this trial's distances.

    Args:
        settings: What was measured.
        newest: The newest version that the code which measured it knew. Of one that is not known here anything may have changed.
    """
    if newest > VERSION:
        return newest
    return version_of(is_polar=settings.is_ring, by_angle=settings.training.polar_angle, newest=newest)


def version_of(*, is_polar: bool, by_angle: bool, newest: int = VERSION) -> int:
    """Version of distances of polar cells or of square ones, in bins of the polar angle, too, or not."""
    return newest if is_polar or by_angle else FIRST_VERSION
