"""How fast a run is, and how long it will take."""

import pytest

from ali import log
from ali.log import Pace


def test_pace_is_that_of_late_and_not_of_the_first_step(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(log.time, "perf_counter", lambda: clock[0])

    def step(pace, done, seconds):
        clock[0] += seconds
        pace.mark(done)
        return pace.rate()

    pace = Pace(7)  # a run that went on
    assert step(pace, 8, 50.0) == pytest.approx(1 / 50)  # nothing else is known
    assert step(pace, 10, 1.0) == pytest.approx(2)
    for done in range(12, 30, 2):
        assert step(pace, done, 1.0) == pytest.approx(2)
    for done in range(30, 60):  # another job begins: three seconds a step
        last = step(pace, done, 3.0)
    assert last == pytest.approx(1 / 3)
    pace.mark(59)  # the same step twice, as of a run's last
    assert pace.rate() == last
