"""What a step costs, held by counts and ratios: FLOPs and kernels exactly, times only beside the usual loop's in the same process."""

import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import __main__ as page
from benchmarks import speed
from benchmarks.cases import Case
from benchmarks.counting import BOUNDS, KERNELS, count

# MFLOP per image that were counted on other code with the same tables: alternating 4(E + G) + 12 D, one forward 5(E + G) + 10 D.
USUAL = {"svhn": (1433, 1459), "cifar10": (2215, 2111)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mflop(case):
    return count(case.step(2)).flops / 2e6


def test_flops_are_those_of_the_formulas():
    conv, up, x = nn.Conv2d(3, 5, 4, bias=False), nn.ConvTranspose2d(5, 2, 3, bias=False), torch.randn(2, 3, 9, 9, requires_grad=True)
    forward = 2 * 2 * (5 * 3 * 16 * 6 * 6 + 5 * 2 * 9 * 6 * 6)  # rows, multiply and add, and each weight at each pixel

    assert count(lambda: up(conv(x))).flops == forward
    assert count(lambda: up(conv(x)).sum().backward()).flops == 3 * forward
    assert count(lambda: up(conv(x)).sum().backward(inputs=[up.weight])).flops == forward + 2 * 2 * 5 * 2 * 9 * 6 * 6
    assert count(lambda: F.linear(torch.randn(7, 3), torch.randn(4, 3))).flops == 2 * 7 * 3 * 4


def test_views_are_no_kernels():
    x = torch.randn(4, 6)
    assert count(lambda: x.t().reshape(2, 12)[:, 1:].unflatten(1, (1, 11)).detach()).kernels == 1  # reshape copies what is transposed
    assert count(lambda: x.relu() + 1).kernels == 2


def test_the_least_time_is_that_of_computing_or_of_moving():
    machine = {"float32": 1e9, "bfloat16": 2e9, "bytes": 1e6}
    a, b = torch.randn(10, 20), torch.randn(20, 30)
    assert count(lambda: a.relu(), machine).seconds == pytest.approx(2 * 4 * 200 / 1e6)
    assert count(lambda: a @ b, machine | {"float32": 1e3}).seconds == pytest.approx(2 * 10 * 20 * 30 / 1e3)


@pytest.mark.parametrize("network", USUAL)
def test_stand_ins_do_the_work_of_the_usual_loops(network):
    found = [mflop(Case(network, loop)) for loop in ("alternating", "one_forward")]
    assert found == pytest.approx(USUAL[network], rel=1e-3)


@pytest.mark.parametrize("network", ["svhn", "mixture", "digits"])
@pytest.mark.parametrize("loop", ["alternating", "one_forward"])
def test_stand_ins_learn_from_both_losses(network, loop):
    losses = Case(network, loop).step(4)()
    assert losses == pytest.approx((1.386, 1.386), abs=0.5)  # 2 log 2 where D knows nothing


@pytest.mark.parametrize(("network", "pairs"), [pytest.param(*key, id="-".join(key)) for key in BOUNDS])
def test_ours_takes_no_more_flops(network, pairs):
    assert mflop(Case(network, pairs=pairs)) <= BOUNDS[network, pairs]


def test_ours_launches_few_kernels():
    ours, usual = (count(Case("svhn", loop).step(2)).kernels for loop in ("ours", "alternating"))
    assert ours <= KERNELS["svhn"]
    assert ours < usual / 2


def test_ours_is_faster_than_the_usual_loop():
    steps = {loop: Case("svhn", loop).step(16) for loop in ("ours", "alternating")}
    speed.interleaved(steps, 2, 1, time.process_time)
    times = speed.interleaved(steps, 5, 1, time.process_time)
    assert speed.over(times["ours"], times["alternating"]) > 1.2


def test_a_ratio_is_the_median_of_the_rounds():
    assert speed.over([1.0, 10.0, 2.0], [2.0, 15.0, 8.0]) == 2.0


def test_memory_is_that_of_the_work_alone():
    mine = torch.ones(2**26)  # 256 MB that a child, whose counters begin with its parent's, must not count
    code = "from benchmarks.memory import peak; print(peak(lambda: bytearray(b'1') * 10**8, 'cpu'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=page.PAGE.parent.parent)
    assert float(done.stdout) == pytest.approx(1e8 / 2**20, abs=2)
    assert mine.nbytes > 2e8


def test_the_table_has_a_row_for_each_loop_and_the_page_keeps_one_section_for_each_device(tmp_path, monkeypatch):
    measured = speed.rows("mixture", {"float32": 1e11, "bfloat16": 2e11, "bytes": 4e10}, batch=8, rounds=1)
    table = speed.lines(measured, {"float32": 1e11})
    assert {line.count("|") for line in [*speed.HEAD, *table]} == {12}
    assert [line.split(" | ")[1] for line in table[-2:]] == ["alternating", "one forward"]

    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    page.PAGE.write_text("# About\n")
    for section, text in (("cpu", "first"), ("cuda", "second"), ("cpu", "third")):
        page.write(section, [text])
    assert (
        page.PAGE.read_text().split()
        == "# About <!-- begin cpu --> third <!-- end cpu --> <!-- begin cuda --> second <!-- end cuda -->".split()
    )


def test_captured_steps_are_cases_of_a_gpu_alone():
    captured = [case for case in speed.cases("svhn", graphs=True) if case.graph]
    assert {case.precision for case in captured} == {"float32", "bfloat16"}
    assert not any(case.graph for case in speed.cases("svhn"))
    for case in captured:  # each beside the same step without a graph, and counted as that one
        assert case._replace(graph=False) in speed.cases("svhn")
        assert "graph" in case.words
