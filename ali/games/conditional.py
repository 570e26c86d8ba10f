r"""Conditional ALI: every row has a label y, its class or a vector of attributes, which all three networks see.

.. math:: \min_G \max_D V(D, G) =
    \mathbb{E}_{q(x) p(y)} [\log D(x, G_z(x, y), y)] + \mathbb{E}_{p(z) p(y)} [\log (1 - D(G_x(z, y), z, y))]          (7)

If the joints over (x, z, y) match, G_x(z, y) with z from the prior has the law of the rows labelled y. z is then independent of
y: what a label says need not stand in the code, and what stands in the code can be kept while the label changes. That is
Figure 7 (one z, many y), and editing: infer z = G_z(x, y), then look at G_x(z, y') for another y'.

y enters as e = W y, a linear embedding: before the encoder's last layer, beside the decoder's z, and before D's joint layers, as in
the authors' CelebA network. For a class, W y is the column of W that is the class's own.

What we decided:

- *Two embeddings, both trained*: one that encoder and decoder share, owned by the generators, and D's own. In the authors' code
  a single one is in no optimiser, and so stays as it was drawn. Trained by the generators, a single one could be shrunk until D no
  longer sees the label; detached for D, it would leave D to judge through numbers that it can not shape.
- *Encoder pairs and decoder pairs have the same y*, the batch's own labels as they come, as in the authors' code. Eq. 7 writes
  q(x) p(y) as if x and y were independent; what is meant is a row and its label. Then y says nothing by itself about the kind of
  pair, and a relativistic objective compares pairs of one label.
- *The game keeps p(y)* in a buffer: class frequencies, or a sample of the rows' attributes, whose correlations are kept. Samples
  without a label draw y from it.
- The slope of D that a penalty takes is that in (x, z), with y held.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, section 4.4 (arXiv:1606.00704)
    | Mirza and Osindero, Conditional Generative Adversarial Nets, 2014 (arXiv:1411.1784)
    | Perarnau et al., Invertible Conditional GANs for image editing, 2016: to infer z, then to change y (arXiv:1611.06355)
"""

from __future__ import annotations

__all__ = ["ConditionalALI"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Categorical, Distribution, Empirical, StandardNormal
from ali.errors import AliError
from ali.games.ali import Terms
from ali.games.game import Game, judge
from ali.networks import Conditional, Embedding
from ali.objectives import Objective, check_penalty, nonsaturating


class ConditionalALI(Game):
    r"""The game of eq. 7, with the optional terms of :class:`ali.games.ALI`.

    Arguments:
        encoder: q(z | x, y): takes x and e.
        decoder: p(x | z, y): takes z and e.
        discriminator: D(x, z, y): takes x, z and D's own e; returns logits.
        embedding: e = W y, of encoder and decoder.
        d_embedding: the same of D.
        prior: p(z).
        law: p(y), from the training rows.
        objective, penalty, penalty_end, cycle, regression, schedule, apart: as for :class:`ali.games.ALI`.

    Raises:
        AliError: as for :class:`ali.games.ALI`.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: nn.Module,
        embedding: Embedding,
        d_embedding: Embedding,
        prior: StandardNormal,
        law: Categorical | Empirical,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
        penalty_end: float | None = None,
        cycle: float = 0.0,
        regression: float = 0.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
        apart: bool = False,
    ):
        super().__init__()
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.embedding, self.d_embedding, self.prior, self.law = embedding, d_embedding, prior, law
        self.objective, self.schedule, self.apart = objective, schedule, apart
        self.terms = Terms(penalty, penalty_end, cycle, regression)
        self.players = {"discriminator": [discriminator, d_embedding], "generator": [encoder, decoder, embedding]}
        check_penalty(discriminator, penalty, penalty if penalty_end is None else penalty_end)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        if batch.y is None:
            raise AliError("conditional ALI learns from labels, and these rows have none")
        x, y, z = batch.x, batch.y, self.prior.sample(len(batch.x))
        z_hat, x_tilde = self.encode(x, y).rsample(), self.decode(z, y).rsample()
        e = self.d_embedding(y)
        rho_q, rho_p = judge(self.discriminator, (x, z_hat, e), (x_tilde, z, e), self.apart)
        losses = self.objective(rho_q, rho_p)  # of eq. 7
        loss_d, loss_g = self.terms.add(
            losses, (x, z_hat), (x_tilde, z), progress,
            encoder=lambda x: self.encode(x, y),
            decoder=lambda z: self.decode(z, y),
            discriminator=lambda x, z: self.discriminator(x, z, self.d_embedding(torch.cat([y, y]))),
        )  # fmt: skip
        return {"discriminator": loss_d, "generator": loss_g}

    def encode(self, x: Float[Tensor, "n ..."], y: Tensor) -> Distribution:
        return self.encoder(x, self.embedding(y))

    def decode(self, z: Float[Tensor, "n d"], y: Tensor) -> Distribution:
        return self.decoder(z, self.embedding(y))

    def labels(self, n: int) -> Tensor:
        return self.law.sample(n)
