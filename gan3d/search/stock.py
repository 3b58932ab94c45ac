"""How many showers a study has: counted in its files where they are here, else as the study's file expects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gan3d.config.training import Data
from gan3d.data.advice import storage_advice
from gan3d.data.dataset import ShowerSet
from gan3d.data.paths import find_files
from gan3d.errors import DataError


@dataclass(frozen=True, slots=True)
class Stock:
    """Showers of a study; bad ones, which a trial drops, are counted."""

    train: int | None
    """None: the files are not here, and data.num_train_showers does not say."""
    validation: int | None
    missing: str
    """Which files are not here, and why; empty if all are."""
    advice: tuple[str, ...] = ()
    """How the training files would be read faster."""
    node_cache_bytes: int | None = None
    """Decoded showers on each node's disk; None without data.node_cache."""


def take_stock(data: Data, base: Path) -> Stock:
    """Count, without looking at cells.

    Raises:
        DataError: files are here, but are not shower files of the study's grid.
    """
    missing = missing_files(data, base)
    if missing:
        return Stock(data.num_train_showers, None, missing)
    train = ShowerSet.open(data.train, base=base, grid=data.grid, crop=data.crop)
    validation = ShowerSet.open(data.validation, base=base, max_showers=data.max_validation_showers, grid=data.grid, crop=data.crop)
    decoded = min(train.num_in_files, data.max_train_showers or train.num_in_files) + validation.num_in_files
    node_cache_bytes = None if data.node_cache is None else decoded * train.shower_bytes
    return Stock(train.num_in_files, validation.num_in_files, "", storage_advice(train, data), node_cache_bytes)


def missing_files(data: Data, base: Path) -> str:
    """What is wrong with the first pattern that matches no file here; empty if every pattern matches some."""
    try:
        find_files((*data.train, *data.validation, *(data.pretrain or ())), base)
    except DataError as error:
        return str(error)
    return ""
