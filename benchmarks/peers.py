"""The usual loop, from stock PyTorch modules: stand-ins for the public ports of ALI, built from the same rows of the tables.

Both judge the two kinds of pair in two passes of D, drop whole maps (``Dropout2d``), and call ``.backward()`` on everything:

- ``one_forward``: one forward pass and two full backward passes, neither of them pruned;
- ``alternating``: a step of D, then one of E and G, with forward passes of their own. That of D's step is detached after its graph was
  built; that of the other step computes gradients of D's weights and drops them.

Written from a description of what the ports do, none of their code: most have no licence. On the SVHN networks such stand-ins took the
CPU time of the ports themselves to within 2 %.
"""

from __future__ import annotations

__all__ = ["LOOPS", "Peer", "alternating", "one_forward"]

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Step = Callable[[], tuple[float, float]]


class Maxout(nn.Module):
    """The larger of ``pieces`` neighbouring maps."""

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, a: Tensor) -> Tensor:
        return a.unflatten(1, (-1, self.pieces)).max(2).values


def stack(rows: Sequence[Any], channels: int, slope: float, pieces: int, logits: bool = False) -> nn.Sequential:
    """The stock modules of a table's rows.

    Arguments:
        rows: of :class:`ali.table.Row`.
        channels: of the input.
        slope, pieces: of the leaky ReLU, of maxout.
        logits: without the last row's nonlinearity.
    """
    one = {"lrelu": nn.LeakyReLU(slope, inplace=True), "relu": nn.ReLU(inplace=True), "maxout": Maxout(pieces), "linear": nn.Identity()}
    one |= {"sigmoid": nn.Sigmoid(), "tanh": nn.Tanh()}
    modules: list[nn.Module] = []
    for row in rows:
        flat, bias, maps = row.operation == "linear", not row.batch_norm, row.maps * (pieces if row.nonlinearity == "maxout" else 1)
        if row.dropout:
            modules.append(nn.Dropout(row.dropout) if flat else nn.Dropout2d(row.dropout))
        if flat:
            modules.append(nn.Linear(channels, maps, bias))
        elif row.operation == "tconv":
            modules.append(nn.ConvTranspose2d(channels, maps, row.kernel, row.stride, row.padding, row.extra, bias=bias))
        else:
            modules.append(nn.Conv2d(channels, maps, row.kernel, row.stride, row.padding, bias=bias))
        if row.batch_norm:
            modules.append(nn.BatchNorm1d(maps) if flat else nn.BatchNorm2d(maps))
        if not (logits and row is rows[-1]):
            modules.append(one[row.nonlinearity])
        channels = row.maps
    return nn.Sequential(*modules)


class Peer(nn.Module):
    """Encoder, decoder and discriminator of a table, and an Adam as it comes for each player.

    Arguments:
        table: rows G_z, G_x, D_x, D_z and D_xz; X, Z, SLOPE and PIECES; NOISE for an implicit encoder (eq. 3).
        bfloat16: autocast around forward passes and losses.
    """

    def __init__(self, table: Any, device: str = "cpu", bfloat16: bool = False):
        super().__init__()
        own, self.noise = (table.SLOPE, table.PIECES), getattr(table, "NOISE", 0)
        self.code = (table.Z, 1, 1) if len(table.X) == 3 else (table.Z,)
        self.E, self.G = stack(table.G_z, table.X[0] + self.noise, *own), stack(table.G_x, table.Z, *own)
        self.D_x, self.D_z = stack(table.D_x, table.X[0], *own), stack(table.D_z, table.Z, *own)
        joint = (table.D_x[-1].maps if table.D_x else table.X[0]) + (table.D_z[-1].maps if table.D_z else table.Z)
        self.D_xz = stack(table.D_xz, joint, *own, logits=True)
        self.to(device)
        self.of_d = [p for part in (self.D_x, self.D_z, self.D_xz) for p in part.parameters()]
        of_g = [*self.E.parameters(), *self.G.parameters()]
        self.d, self.g = (torch.optim.Adam(owned, lr=1e-7, betas=(0.5, 0.999)) for owned in (self.of_d, of_g))
        self.cast = lambda: torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_hat, x_tilde and z."""
        z = torch.randn(len(x), *self.code, device=x.device)
        if self.noise:
            z_hat = self.E(torch.cat([x, torch.randn(len(x), self.noise, device=x.device)], 1))
        else:
            mu, log_sigma = self.E(x).chunk(2, 1)
            z_hat = mu + log_sigma.exp() * torch.randn_like(mu)
        return z_hat, self.G(z), z

    def judge(self, x: Tensor, z: Tensor) -> Tensor:
        return self.D_xz(torch.cat([self.D_x(x), self.D_z(z)], 1)).float()


def loss(true: Tensor, false: Tensor) -> Tensor:
    """D's loss on the logits of both kinds of pair; the other way round, that of E and G (eq. 4)."""
    return (F.softplus(-true) + F.softplus(false)).mean()


def one_forward(table: Any, x: Tensor, bfloat16: bool = False, device: str = "cpu") -> Step:
    """A step: one forward pass, two full backward passes; D's gradients wait beside, because D may not move before the second."""
    peer = Peer(table, device, bfloat16)

    def step() -> tuple[float, float]:
        with peer.cast():
            z_hat, x_tilde, z = peer(x)
            rho_q, rho_p = peer.judge(x, z_hat), peer.judge(x_tilde, z)
            loss_d, loss_g = loss(rho_q, rho_p), loss(rho_p, rho_q)
        peer.d.zero_grad(), peer.g.zero_grad()
        loss_d.backward(retain_graph=True)
        kept = [w.grad for w in peer.of_d]
        peer.d.zero_grad(), peer.g.zero_grad()
        loss_g.backward()
        for w, gradient in zip(peer.of_d, kept, strict=True):
            w.grad = gradient
        peer.d.step(), peer.g.step()
        return loss_d.item(), loss_g.item()

    return step


def alternating(table: Any, x: Tensor, bfloat16: bool = False, device: str = "cpu") -> Step:
    """A step of D, then one of E and G."""
    peer = Peer(table, device, bfloat16)

    def step() -> tuple[float, float]:
        peer.d.zero_grad()
        with peer.cast():
            z_hat, x_tilde, z = (sample.detach() for sample in peer(x))
            loss_d = loss(peer.judge(x, z_hat), peer.judge(x_tilde, z))
        loss_d.backward()
        peer.d.step()
        peer.g.zero_grad()
        with peer.cast():
            z_hat, x_tilde, z = peer(x)
            loss_g = loss(peer.judge(x_tilde, z), peer.judge(x, z_hat))
        loss_g.backward()
        peer.g.step()
        return loss_d.item(), loss_g.item()

    return step


LOOPS: dict[str, Callable[..., Step]] = {"alternating": alternating, "one_forward": one_forward}
