"""Which documents of the gate tell of a recipe: those of the states whose distances the recipe has, and of no others.

A trial keeps more states than its best one, and all have the digest of its settings: that another epoch's showers pass says nothing of the
showers whose distance stands beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gan3d.verdict.evidence import Gated


@dataclass(frozen=True, slots=True)
class Held:
    """What was found of a recipe's trials."""

    own: tuple[Gated, ...]
    """Of the trials' best epochs."""
    exported: tuple[Gated, ...]
    """Of files that were exported from these."""
    other_states: tuple[Gated, ...]
    """Of other epochs of the trials, or of files exported from them: nothing of the recipe."""
    not_held: tuple[int, ...]
    """Trials that count and of whose best epoch nothing was found."""


def held_of(digests: Mapping[int, str], best_epochs: Mapping[int, int], counting: Collection[int], gates: Sequence[Gated]) -> Held:
    """Sort them.

    Args:
        digests: of the settings of each of the recipe's trials, wherever their shower files lie.
        best_epochs: of each, the one whose state is its `best.pt`.
        counting: trials whose distance counts.
        gates: of trials of any study. One that does not say which epoch it judged is taken for the best one's.
    """
    known = [one for one in gates if one.settings in digests.values()]
    judged = {id(one): set(_judged(one, digests, best_epochs)) for one in known}
    fitting = [one for one in known if judged[id(one)]]
    own, exported = (tuple(one for one in fitting if one.is_of_trial == is_own) for is_own in (True, False))
    held = set().union(*(judged[id(one)] for one in own))
    others = tuple(one for one in known if not judged[id(one)])
    return Held(own, exported, others, tuple(trial for trial in digests if trial in counting and trial not in held))


def _judged(gate: Gated, digests: Mapping[int, str], best_epochs: Mapping[int, int]) -> Iterator[int]:
    """The trials of whose best epoch it tells."""
    for trial, digest in digests.items():
        if digest == gate.settings and gate.epoch in {None, best_epochs[trial]}:
            yield trial
