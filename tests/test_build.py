"""What `build` makes of rows: initial weights, biases, normalisation, dropout, nonlinearities and shapes."""

import math

import pytest
import torch
from torch import nn

from ali.table import build, conv, fourier, linear, tconv


def numel(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


HE = {  # row, input shape, how many input numbers an output number sees
    "linear": (linear(400, False, 0.0, "linear"), (300,), 300),
    "convolution": (conv(3, 1, 64, False, 0.0, "linear"), (32, 12, 12), 9 * 32),
    "transposed, from one pixel": (tconv(4, 1, 64, False, 0.0, "linear"), (256, 1, 1), 256),
    "transposed, kernel 4": (tconv(4, 2, 64, False, 0.0, "linear", padding=1), (48, 20, 20), 4 * 48),
    "transposed, kernel 5": (tconv(5, 2, 64, False, 0.0, "linear", padding=1), (48, 20, 20), 6.25 * 48),
}


@pytest.mark.parametrize("gain", [1.0, 0.6])
@pytest.mark.parametrize("row", HE)
def test_he_initialisation_keeps_the_size_of_activations(row, gain):
    row, shape, fan_in = HE[row]
    torch.manual_seed(0)
    network = build((row,), shape, sigma=None, gain=gain)
    weight = network[0].weight
    assert weight.std().item() == pytest.approx(gain * math.sqrt(2 / fan_in), rel=0.02)
    with torch.no_grad():
        a = network(torch.randn(64, *shape))
        a = a if a.ndim == 2 or shape[1] == 1 else a[..., 4:-4, 4:-4]  # away from the border
    # E a^2 = fan_in * var(w) * E u^2, and a ReLU halves it: the size of its input is kept where the gain is 1.
    assert a.square().mean().item() == pytest.approx(2 * gain**2, rel=0.05)
    assert a.relu().square().mean().item() == pytest.approx(gain**2, rel=0.05)


def test_given_sigma_and_zero_bias():
    torch.manual_seed(0)
    network = build((conv(3, 1, 64, False, 0.0, "linear"),), (64, 8, 8), sigma=0.05)
    assert network[0].weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert network[0].bias.count_nonzero() == 0


def test_an_untied_bias_has_a_number_per_pixel_in_the_last_row_only():
    rows = (conv(3, 1, 5, False, 0.0, "lrelu"), conv(3, 1, 4, False, 0.0, "linear"))
    tied, untied = (build(rows, (2, 10, 10), untied=untied) for untied in (False, True))
    assert numel(tied) == (9 * 2 * 5 + 5) + (9 * 5 * 4 + 4)
    assert numel(untied) == (9 * 2 * 5 + 5) + (9 * 5 * 4 + 4 * 6 * 6)
    bias = untied[-1].bias
    with torch.no_grad():
        before = untied(torch.zeros(1, 2, 10, 10))
        bias[3, 2, 1] += 7.0
        after = untied(torch.zeros(1, 2, 10, 10))
    assert (after - before).nonzero().tolist() == [[0, 3, 2, 1]]


def test_logits_leave_out_the_last_sigmoid_and_no_other():
    rows = (linear(3, False, 0.0, "sigmoid"), linear(1, False, 0.0, "sigmoid"))
    torch.manual_seed(0)
    with_sigmoid = build(rows, (2,), sigma=1.0)
    torch.manual_seed(0)
    without = build(rows, (2,), sigma=1.0, logits=True)
    u = torch.randn(6, 2)
    torch.testing.assert_close(with_sigmoid(u), torch.sigmoid(without(u)))
    assert without(u).min() < 0
    assert sum(isinstance(m, nn.Sigmoid) for m in without) == 1


def test_batch_normalisation_has_the_authors_numbers_and_replaces_the_bias():
    network = build((conv(1, 1, 3, True, 0.0, "linear"), conv(1, 1, 2, False, 0.0, "linear")), (1, 4, 4))
    convolution, norm, last = network
    assert convolution.bias is None
    assert last.bias is not None
    u = 3 + 2 * torch.randn(50, 1, 4, 4)
    with torch.no_grad():
        convolution.weight[:] = 1.0
        a = norm(convolution(u))
    torch.testing.assert_close(a[:, 0], ((u - u.mean()) / (u.var(correction=0) + 1e-4).sqrt())[:, 0])
    torch.testing.assert_close(norm.running_mean, 0.05 * u.mean().expand(3))
    torch.testing.assert_close(norm.running_var, 0.95 + 0.05 * u.var().expand(3))
    other = build((linear(3, True, 0.0, "linear"),), (1,), eps=0.5, momentum=0.25)[1]
    assert (type(other), other.eps, other.momentum) == (nn.BatchNorm1d, 0.5, 0.25)


def test_dropout_falls_on_a_rows_input_element_by_element():
    network = build((conv(2, 1, 1, False, 0.3, "linear"),), (1, 65, 65), sigma=0.0)
    with torch.no_grad():
        network[-1].weight[0, 0, 0, 0] = 1.0  # the output is the input's upper left pixel
        network[-1].bias[0] = 5.0
        torch.manual_seed(0)
        a = network(torch.ones(4, 1, 65, 65)) - 5
        assert torch.equal(network.eval()(torch.ones(4, 1, 65, 65)), torch.full((4, 1, 64, 64), 6.0))
    dropped = a == 0
    torch.testing.assert_close(a[~dropped], torch.full_like(a[~dropped], 1 / 0.7))
    assert dropped.float().mean(dim=(1, 2, 3)).sub(0.3).abs().max() < 5 * math.sqrt(0.21 / 64**2)


def test_maxout_counts_its_maps_after_pooling():
    network = build((conv(3, 2, 7, False, 0.0, "maxout"), conv(1, 1, 2, False, 0.0, "linear")), (3, 9, 9), pieces=4)
    assert network[0].weight.shape == (28, 3, 3, 3)
    assert network[1](network[0](torch.zeros(2, 3, 9, 9))).shape == (2, 7, 4, 4)
    assert network[2].weight.shape == (2, 7, 1, 1)


def test_nonlinearities():
    u = torch.linspace(-2, 2, 9).reshape(-1, 1)
    wanted = {
        "lrelu": torch.where(u > 0, u, 0.3 * u),
        "relu": u.clamp(min=0),
        "linear": u,
        "sigmoid": 1 / (1 + (-u).exp()),
        "tanh": u.tanh(),
    }
    for name, values in wanted.items():
        network = build((linear(1, False, 0.0, name),), (1,), slope=0.3)
        with torch.no_grad():
            network[0].weight[:] = 1.0
        torch.testing.assert_close(network(u), values, msg=name)


def test_no_rows_are_the_identity():
    network = build((), (4,))
    u = torch.randn(3, 4)
    assert torch.equal(network(u), u)
    assert (network.size, network.output_shape, numel(network)) == (4, (4,), 0)


def test_shapes_are_flattened_and_unflattened_to_what_is_announced():
    torch.manual_seed(0)
    flat = build((conv(4, 1, 6, False, 0.0, "linear"),), (3, 4, 4), (6,))
    image = build((linear(12, False, 0.0, "linear"),), (5,), (3, 2, 2))
    from_image = build((fourier(1.0), linear(2, False, 0.0, "linear")), (5,))
    assert flat(torch.zeros(2, 3, 4, 4)).shape == (2, 6)
    assert image(torch.zeros(2, 5)).shape == (2, 3, 2, 2)
    assert from_image[1].in_features == 15
    assert (flat.size, image.size) == (6, 12)


def test_a_network_takes_codes_as_vectors_or_as_maps():
    network = build((tconv(4, 1, 2, False, 0.0, "linear"),), (5, 1, 1), (2, 4, 4))
    z = torch.randn(3, 5)
    assert torch.equal(network(z), network(z[:, :, None, None]))


@pytest.mark.parametrize(
    ("rows", "input", "output", "words"),
    [
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (4, 8, 8), r"from \(3, 8, 8\) to \(4, 6, 6\), not to the announced \(4, 8, 8\)"),
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (6, 6, 4), r"to \(4, 6, 6\), not to the announced \(6, 6, 4\)"),
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (143,), r"to \(4, 6, 6\), not to the announced \(143,\)"),
        ((linear(10, False, 0.0, "linear"),), (3,), (9,), r"from \(3,\) to \(10,\), not to the announced \(9,\)"),
        ((linear(10, False, 0.0, "linear"),), (3,), (3, 2, 2), r"to \(10,\), not to the announced \(3, 2, 2\)"),
        ((conv(5, 2, 4, True, 0.0, "lrelu"), conv(7, 1, 4, True, 0.0, "lrelu")), (3, 8, 8), None, r"row 2 \(conv 7\) leaves nothing"),
    ],
)
def test_rows_that_do_not_lead_to_the_announced_output_are_refused(rows, input, output, words):
    with pytest.raises(ValueError, match=words):
        build(rows, input, output)
