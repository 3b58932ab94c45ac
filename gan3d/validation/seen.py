"""Which shower files a trial has seen: those that it learnt from are no reference, and those that chose its epoch are a lenient one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from gan3d.data.paths import files_here
from gan3d.errors import ConfigError
from gan3d.generation.generator import place_of
from gan3d.generation.trained import load_trained

Use = Literal["train", "pretrain", "validation"]
Seen = Mapping[Path, Use]


def seen_by(model: Path) -> Seen:
    """Resolved paths of a trial's shower files, as far as they are here, and what each is to it.

    Args:
        model: a trial's folder or a state of it.

    Raises:
        ConfigError: it is none.
        DataError: it cannot be read.
    """
    data = load_trained(*place_of(model)).settings.data
    named: dict[Use, Sequence[str]] = {"validation": data.validation, "pretrain": data.pretrain or (), "train": data.train}
    return {path.resolve(): use for use, patterns in named.items() for path in files_here(patterns)}


def refuse_learnt(reference: Sequence[Path], seen: Seen, training: Sequence[Path] = ()) -> None:
    """See that no file of the reference is one that a generator was trained on.

    Args:
        reference: Monte Carlo that its showers are to be held against.
        seen: of its trial.
        training: files that the user says it was trained on.

    Raises:
        ConfigError: one is.
    """
    told = {path.resolve() for path in training}
    for path in reference:
        use = seen.get(path.resolve())
        whose = f"a file of data.{use} of this trial" if use in ("train", "pretrain") else "named with --training as well"
        if use in ("train", "pretrain") or path.resolve() in told:
            message = f"{path} is {whose}: whoever knows it by heart would pass. Name files that were not trained on."
            raise ConfigError(message, key="reference")


def warnings_of(reference: Sequence[Path], seen: Seen) -> tuple[str, ...]:
    """What is to be known of a reference that is not refused."""
    return tuple(
        f"{path} is a file of data.validation of this trial: its showers chose the epoch, so what is found is better than it is on others."
        for path in reference
        if seen.get(path.resolve()) == "validation"
    )
