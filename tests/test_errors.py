"""The tree of errors: one root, messages that say where, and nothing lost on the way between processes."""

from __future__ import annotations

import pickle

import pytest

from gan3d import errors
from gan3d.errors import ConfigError, DataError, DivergedError, Gan3dError, ResourceError

LEAVES = (ConfigError, DataError, ResourceError, DivergedError)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert raised == {"Gan3dError", *(leaf.__name__ for leaf in LEAVES)}
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in raised)
    assert all(leaf.__bases__ == (Gan3dError,) for leaf in LEAVES)


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_error_is_caught_by_the_root_and_shows_its_message(leaf: type[Gan3dError]) -> None:
    message = "batch = 0 is too small"
    with pytest.raises(Gan3dError, match=r"^batch = 0 is too small$"):
        raise leaf(message)


def test_a_config_error_says_where_and_knows_its_key() -> None:
    error = ConfigError("epochs = 0", where="study.yaml:3", key="training.epochs")
    assert str(error) == "study.yaml:3: epochs = 0"
    assert (error.where, error.key) == ("study.yaml:3", "training.epochs")


@pytest.mark.parametrize(
    ("file", "index", "message"),
    [("a.h5", 7, "a.h5[7]: negative"), ("a.h5", 0, "a.h5[0]: negative"), ("a.h5", None, "a.h5: negative"), ("", None, "negative")],
)
def test_a_data_error_says_which_file_and_shower(file: str, index: int | None, message: str) -> None:
    error = DataError("negative", file=file, index=index)
    assert str(error) == message
    assert (error.file, error.index) == (file, index)


@pytest.mark.parametrize(
    "error",
    [ConfigError("a", where="b:1", key="c.d"), DataError("a", file="b.h5", index=0), ResourceError("a"), DivergedError("a")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_process_keeps_message_and_place(error: Gan3dError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
