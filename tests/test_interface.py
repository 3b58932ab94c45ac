"""The interface of process groups: Ray's address by default, a name by choice, never one that is not there."""

from __future__ import annotations

import os

import pytest

from gan3d.training.interface import GLOO, NCCL, VARIABLES, interface_of, use_interface

LOOPBACK, NOBODYS = "127.0.0.1", "198.51.100.7"


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "before")  # so that it is what it was after the test
        monkeypatch.delenv(name)


def test_by_default_it_is_that_of_the_address() -> None:
    assert interface_of(LOOPBACK) == "lo"
    assert use_interface(None, LOOPBACK) == "lo"
    assert {name: os.environ[name] for name in VARIABLES} == {GLOO: "lo", NCCL: "=lo"}, "for NCCL a bare name is a beginning"


def test_an_address_that_is_nowhere_leaves_it_to_gloo() -> None:
    assert use_interface(None, NOBODYS) == ""
    assert not any(name in os.environ for name in VARIABLES)


def test_what_the_user_exported_counts_more_than_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO, "ib0")
    assert use_interface(None, LOOPBACK) == "ib0"
    assert os.environ[NCCL] == "=lo", "each by itself"
    assert use_interface("lo", NOBODYS) == "lo"
    assert (os.environ[GLOO], os.environ[NCCL]) == ("lo", "=lo")


def test_a_name_that_no_interface_has_is_refused() -> None:
    with pytest.raises(OSError, match=r"no network interface ib0 .* it has .*lo.* workers\.interface"):
        use_interface("lo,ib0", LOOPBACK)
