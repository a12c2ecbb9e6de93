"""Statistics against scipy's, and what is refused."""

import math

import pytest
from scipy import stats

from edgekd.report import FEWEST, Latency, Timing, _order_interval


def latency(*processes: list[float], cpu: float = 0.0) -> Latency:
    return Latency(tuple(map(tuple, processes)), cpu)


@pytest.mark.parametrize("count", [5, 24, 64, 700, 2000])
@pytest.mark.parametrize("rank", [0.5, 0.9, 0.99])
def test_intervals_hold_their_confidence(count: int, rank: float) -> None:
    low, high = _order_interval(count, rank)
    assert 0 <= low <= high <= count - 1
    below = stats.binom(count, rank)
    # The quantile is under the low order statistic only if at most `low` samples are below it.
    if low > 0:
        assert below.cdf(low) <= 0.025
    if high < count - 1:
        assert below.cdf(high) >= 0.975


def test_percentiles_are_nearest_rank() -> None:
    found = latency([float(number) for number in range(1, 1001)])
    assert found.percentile(50).value == 500 and found.percentile(90).value == 900  # type: ignore[union-attr]
    assert found.percentile(99).value == 990  # type: ignore[union-attr]
    middle = found.percentile(50)
    assert middle is not None and middle.low < 500 < middle.high and middle.high - middle.low < 70


@pytest.mark.parametrize(("rank", "fewest"), FEWEST.items())
def test_a_percentile_of_too_few_samples_is_not_stated(rank: int, fewest: int) -> None:
    assert latency([1.0] * (fewest - 1)).percentile(rank) is None
    assert latency([1.0] * fewest).percentile(rank) is not None
    assert any(f"p{rank} is not stated" in doubt for doubt in latency([1.0] * (fewest - 1)).doubts)


def test_fresh_processes_that_differ_widen_the_interval() -> None:
    alike = latency(*[[1.0, 1.1, 1.2] * 50] * 5).percentile(50)
    assert alike is not None and (alike.value, alike.low, alike.high) == (1.1, 1.1, 1.1)
    apart = latency(*[[middle] * 100 for middle in (1.0, 1.02, 1.04, 1.06, 1.08)]).percentile(50)
    # Student's t of 4 degrees of freedom over the logarithms: 2.776 * 0.0304 / sqrt(5).
    assert apart is not None and apart.value == 1.04
    assert (apart.low, apart.high) == pytest.approx((1.04 * math.exp(-0.03776), 1.04 * math.exp(0.03776)), rel=1e-3)
    alone = latency([1.0] * 400 + [2.0] * 300).percentile(50)
    assert alone is not None and (alone.low, alone.high) == (1.0, 1.0)


def test_doubts() -> None:
    steady = latency([1.0] * 700, cpu=699.0)
    assert steady.doubts == ()
    assert any("others were running" in doubt for doubt in latency([1.0] * 700, cpu=300.0).doubts)
    drifting = latency([1.0] * 350 + [2.0] * 350)
    assert any("drifted" in doubt for doubt in drifting.doubts)
    assert any("fresh processes differ by 50%" in doubt for doubt in latency([1.0] * 400, [1.5] * 400).doubts)


def timed(*states: dict[str, object], emulated: bool = False) -> Timing:
    usual = {"celsius": None, "mhz": None, "throttled": None, "throttled_before": None, "load": None, "samples": 0}
    found = Latency(((1.0,) * 700,), 699.0, emulated)
    told = tuple({**usual, **state} for state in states)
    return Timing("pi", "onnxruntime", 1, {}, (), (), found, Latency(()), None, None, "", "fp32", told)


def test_what_the_machine_told_while_it_was_timed() -> None:
    assert timed({"celsius": 50.0, "throttled": [], "throttled_before": []}, {"celsius": 59.0}).doubts == ()
    assert timed({"celsius": 50.0}, {"celsius": 61.0}).doubts == ("the processor warmed from 50 to 61 degrees Celsius",)
    now = timed({"throttled": ["under-voltage"], "throttled_before": ["under-voltage"]}).doubts
    assert now == ("the board held itself back while it was timed: under-voltage",)
    assert "since its start: throttled" in timed({"throttled": [], "throttled_before": ["throttled"]}).doubts[0]


def test_a_crowded_machine_is_told() -> None:
    start = {"at": 0.0, "own": 0.0, "busy": 100.0, "stolen": 0.0}
    end = {"at": 10.0, "own": 9.0, "busy": 110.0, "stolen": 0.2, "samples": 700}
    assert timed(start, end).doubts == ()  # a tenth of a core is what a system's own services take
    assert timed(start, {**end, "busy": 119.0}).doubts == ("other processes kept 1.0 cores busy meanwhile",)
    assert "took 10% of a core" in timed(start, {**end, "stolen": 1.0}).doubts[0]
    assert timed(start, {**end, "busy": None}).doubts == ()
    assert timed(start, {**end, "busy": 119.0, "at": 0.1}).doubts == ()  # too short to tell
    assert timed({"at": 0.0}, end).doubts == ()


def test_energy_is_what_was_used_while_samples_were_taken() -> None:
    first = {"joules": 10.0, "samples": 0}, {"joules": 14.0, "samples": 350}
    second = {"joules": 90.0, "samples": 0}, {"joules": 93.0, "samples": 350}
    assert timed(*first, *second).energy == 7.0 / 700
    assert timed(*first, {"samples": 0}, {"samples": 350}).energy is None
    assert timed({"joules": 90.0, "samples": 0}, {"joules": 1.0, "samples": 350}).energy is None  # it began anew
    assert timed(*first, emulated=True).energy is None


def test_an_emulated_device_states_no_percentile() -> None:
    found = timed(emulated=True)
    assert all(found.latency.percentile(rank) is None for rank in FEWEST)
    assert found.doubts == ("emulated hardware: no latency is stated",)
