"""Waiting between tries."""

from __future__ import annotations

import pytest

from agents.edge.backoff import Backoff, around


@pytest.fixture(autouse=True)
def _quick() -> None:
    """Replaces the shorter times of the other tests: the real ones are what is tested."""


def test_the_bound_doubles_up_to_fifteen_seconds() -> None:
    backoff = Backoff()
    bounds = []
    for _ in range(6):
        bounds.append(backoff.bound())
        assert 0 <= backoff.next() <= bounds[-1]

    assert bounds == [1, 2, 4, 8, 15, 15]


def test_while_nobody_answers_no_wait_is_longer_than_five_seconds() -> None:
    backoff = Backoff()
    waits = [backoff.next(absent=True) for _ in range(400)]

    assert 4.5 < max(waits) <= 5
    # The tries count all the same: a server that answers and is in trouble is spared.
    assert backoff.bound() == 15


def test_a_long_outage_does_not_overflow() -> None:
    backoff = Backoff()
    for _ in range(5000):
        backoff.next()

    assert backoff.bound() == 15


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = []
    for _ in range(400):
        backoff = Backoff()
        backoff.next()
        waits.append(backoff.next())

    assert min(waits) < 0.2
    assert max(waits) > 1.8


@pytest.mark.parametrize(("seconds", "bound"), [(0, 15), (59, 15), (60, 1)])
def test_only_a_stable_stream_ends_the_trouble(seconds: float, bound: float) -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next()
    backoff.held(seconds)

    assert backoff.bound() == bound


def test_around_is_around() -> None:
    assert all(54 <= around(60) <= 66 for _ in range(200))
