"""The layers that PyTorch lacks, against loops and closed forms."""

import math

import pytest
import torch
from torch import nn

from ali import layers
from ali.layers import Fourier, Maxout, NormedLinear, UntiedBias


@pytest.mark.parametrize("shape", [(3, 12), (3, 12, 5), (2, 6, 4, 3)])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_maxout_is_the_maximum_over_consecutive_channels(shape, pieces):
    torch.manual_seed(0)
    a = torch.randn(shape)
    h = Maxout(pieces)(a)
    assert h.shape == (shape[0], shape[1] // pieces, *shape[2:])
    for i in range(h.shape[1]):
        wanted = a[:, pieces * i]
        for j in range(1, pieces):
            wanted = torch.maximum(wanted, a[:, pieces * i + j])
        assert torch.equal(h[:, i], wanted)


def test_maxout_sends_the_gradient_to_the_largest_piece():
    a = torch.tensor([[1.0, 4.0, 2.0, 9.0, 8.0, 7.0]], requires_grad=True)
    (Maxout(3)(a) * torch.tensor([[10.0, 20.0]])).sum().backward()
    assert a.grad.tolist() == [[0, 10, 0, 20, 0, 0]]


@pytest.mark.parametrize(("pieces", "slopes"), [(2, [[1, 0, 0, 1]]), (4, [[1 / 3, 0, 1 / 3, 1 / 3]])])
def test_maxout_s_gradient_sums_to_one_over_equal_pieces(pieces, slopes):
    a = torch.tensor([[2.0, 1.0, 2.0, 2.0]] if pieces == 4 else [[2.0, 2.0, 1.0, 3.0]], requires_grad=True)
    Maxout(pieces)(a).sum().backward()
    torch.testing.assert_close(a.grad, torch.tensor(slopes, dtype=torch.float32))


def test_maxout_refuses_channels_that_do_not_make_groups():
    with pytest.raises(RuntimeError):
        Maxout(2)(torch.zeros(1, 5))


def test_an_untied_bias_adds_its_own_number_to_each_pixel_of_each_map():
    layer = UntiedBias((2, 3, 4))
    assert layer.bias.count_nonzero() == 0
    torch.manual_seed(0)
    a, values = torch.randn(5, 2, 3, 4), torch.randn(2, 3, 4)
    with torch.no_grad():
        layer.bias.copy_(values)
    for row in range(5):
        assert torch.equal(layer(a)[row], a[row] + values)
    layer(a).sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((2, 3, 4), 5.0)), "one gradient per row"


@pytest.mark.parametrize("frequencies", [(2.0,), (3.0, 6.0, 12.5), ()])
def test_fourier_puts_sines_and_cosines_beside_the_input(frequencies):
    torch.manual_seed(0)
    u = torch.randn(7, 2)
    features = Fourier(frequencies)(u)
    assert features.shape == (7, 2 * (1 + 2 * len(frequencies)))
    assert torch.equal(features[:, :2], u)
    found = {tuple(round(v, 4) for v in column.tolist()) for column in features[:, 2:].T}
    wanted = {tuple(round(w(f * v), 4) for v in u[:, i].tolist()) for f in frequencies for i in range(2) for w in (math.sin, math.cos)}
    assert found == wanted


def test_fourier_keeps_the_order_that_stored_weights_count_on():
    (a, b), (f1, f2) = (0.3, -0.7), (2.0, 5.0)
    angles = [f1 * a, f1 * b, f2 * a, f2 * b]
    wanted = [a, b, *map(math.sin, angles), *map(math.cos, angles)]
    assert Fourier((f1, f2))(torch.tensor([[a, b]]))[0].tolist() == pytest.approx(wanted)


def test_fourier_has_nothing_to_learn_or_to_store():
    layer = Fourier((1.0, 2.0))
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
    assert layer.double()(torch.zeros(1, 1, dtype=torch.float64)).dtype == torch.float64


FAST = [
    (layers.Conv2d(6, 5, 1, bias=True), nn.Conv2d(6, 5, 1, bias=True), (6, 1, 1)),
    (layers.Conv2d(6, 5, 4, bias=False), nn.Conv2d(6, 5, 4, bias=False), (6, 4, 4)),
    (layers.Conv2d(6, 5, 3, 2, 1), nn.Conv2d(6, 5, 3, 2, 1), (6, 3, 3)),
    (layers.ConvTranspose2d(6, 5, 4, bias=True), nn.ConvTranspose2d(6, 5, 4, bias=True), (6, 1, 1)),
    (layers.ConvTranspose2d(6, 5, 4, 2, 1), nn.ConvTranspose2d(6, 5, 4, 2, 1), (6, 1, 1)),
    (layers.Conv2d(6, 5, 3, padding=2, dilation=2), nn.Conv2d(6, 5, 3, padding=2, dilation=2), (6, 3, 3)),
    (layers.ConvTranspose2d(6, 5, 3, dilation=2), nn.ConvTranspose2d(6, 5, 3, dilation=2), (6, 1, 1)),
    (layers.Maxout(2), None, (6, 3, 3)),
    (layers.Maxout(2), None, (6,)),
    (layers.Maxout(3), None, (6, 3, 3)),
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("fast", "plain", "shape"), FAST)
def test_faster_layers_are_pytorch_s(fast, plain, shape, channels_last):
    """Values, gradients, and gradients of gradients (penalties need them), in double precision."""
    fast = fast.double()
    if plain is not None:
        plain = plain.double()
        plain.load_state_dict(fast.state_dict())
    expected = plain or (lambda a: a.unflatten(1, (-1, fast.pieces)).amax(2))
    a = torch.randn(3, *shape, dtype=torch.float64)
    if channels_last and a.dim() == 4:
        a, fast = a.to(memory_format=torch.channels_last), fast.to(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(a), expected(a), rtol=1e-13, atol=1e-13)

    def slopes(layer):
        given, weights = a.clone().requires_grad_(), list(getattr(layer, "parameters", list)())
        out = layer(given)
        first = torch.autograd.grad(out.square().sum(), [given, *weights], create_graph=True)
        return [*first, *torch.autograd.grad(first[0].square().sum(), [given, *weights], allow_unused=True)]

    for found, wanted in zip(slopes(fast), slopes(expected if plain is None else plain), strict=True):
        assert (found is None) == (wanted is None)
        if found is not None:
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    under_functorch = torch.func.grad(lambda given: fast(given).square().sum())(a)
    torch.testing.assert_close(under_functorch, slopes(fast)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_is_dropout(p, layout):
    dropout, a = layers.Dropout(p), (1 + torch.rand(50, 40, 10, 10)).to(memory_format=layout).requires_grad_()
    torch.manual_seed(0)
    out = dropout(a)
    kept = out != 0
    n = a.numel()
    assert abs((~kept).sum().item() - n * p) < 5 * (n * p * (1 - p)) ** 0.5
    torch.testing.assert_close(out[kept], a[kept] / (1 - p), rtol=1e-4, atol=0)
    assert out.is_contiguous(memory_format=layout)
    # Rows, maps and pixels are dropped independently of one another, as far as correlations between neighbours tell.
    for axis in range(4):
        first, second = kept.float().narrow(axis, 0, kept.shape[axis] - 1), kept.float().narrow(axis, 1, kept.shape[axis] - 1)
        assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 5 / n**0.5
    (slope,) = torch.autograd.grad(out.sum(), a)
    torch.testing.assert_close(slope, out.detach() / a.detach())
    assert not torch.equal(dropout(a), out)
    torch.manual_seed(0)
    assert torch.equal(dropout(a), out)
    assert torch.equal(dropout.eval()(a), a)
    assert not layers.Dropout(1.0)(a).any()
    strided = torch.rand(100, 80, 10)[:, ::2]
    assert abs((dropout.train()(strided) == 0).float().mean() - p) < 0.02


def test_normed_linear_has_its_length_and_knows_no_size_of_its_weights():
    torch.manual_seed(0)
    layer, u = NormedLinear(5, 3, length=0.8, pace=4.0), torch.randn(7, 5)
    with torch.no_grad():
        layer.bias.copy_(torch.randn(3))
    directions = layer.weight / layer.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(u), 0.8 * u @ directions.T + 4 * layer.bias)
    before = layer(u).detach()
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[0.01], [1.0], [30.0]]))
    torch.testing.assert_close(layer(u), before)


def test_normed_linear_moves_at_its_own_pace_whatever_the_learning_rate():
    torch.manual_seed(0)
    u, wanted, ends = torch.randn(64, 4), torch.randn(64, 2), []
    for lr in (1e-4, 1e-2):
        torch.manual_seed(1)
        layer = NormedLinear(4, 2, pace=4e-3 / lr)
        layer.weight.requires_grad_(False)
        adam = torch.optim.Adam([layer.gain, layer.bias], lr=lr)
        for _ in range(20):
            adam.zero_grad()
            (layer(u) - wanted).square().mean().backward()
            adam.step()
        ends.append(layer(u).detach())
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


def test_the_slope_of_normed_layers_has_the_gradient_that_autograd_finds_for_the_formula():
    torch.manual_seed(0)
    layer, u = NormedLinear(3, 2, pace=2.0).double(), torch.randn(4, 3, dtype=torch.float64, requires_grad=True)

    def by_formula(u: torch.Tensor) -> torch.Tensor:
        return u @ (2 * layer.gain * layer.weight / layer.weight.norm(dim=1, keepdim=True)).T + 2 * layer.bias

    found = []
    for f in (layer, by_formula):  # what a gradient penalty asks for: derived by u, then by the weights
        (slope,) = torch.autograd.grad(f(u).sin().sum(), u, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), [layer.weight, layer.gain, layer.bias]))
    torch.testing.assert_close(*found)
