r"""InfoGAN: a GAN that has to make a part of its code recognisable.

The generator sees noise z and a code c, which is structured: one of K categories, and m continuous numbers
(:class:`ali.distributions.CodedPrior`). A plain GAN may ignore c. InfoGAN asks that the mutual information of c and the generated x be
high, by a lower bound with an auxiliary Q(c | x) (its eq. 5):

.. math:: I(c; G(z, c)) \ge L_I = \mathbb{E}_{c \sim p(c), \, x \sim G(z, c)} [\log Q(c | x)] + H(c), \quad
    \min_{G, Q} \max_D V(D, G) - \lambda L_I

Q is a softmax for the category, so that its term is the cross entropy, and a normal for the continuous codes, whose mean and standard
deviation it puts out. The bound is exact if Q is the posterior: for the category it is then H(c) where x gives c away, :math:`\log K`.

**Q infers c, not z**: it knows nothing of the noise, so no row can be reconstructed from what it says, and the game offers no
``encode``. That is the ALI paper's remark (section 2.2): this "does not correspond to full inference on z, as only the value for c is
inferred", and Q must be tractable, a law that can be sampled and evaluated, where ALI only samples. What Q does offer is
``classify``: the probabilities of the K categories given x. They are clusters, found without a label; which of them is which class,
if any, only a person can tell.

References:
    | Chen, Duan, Houthooft, Schulman, Sutskever and Abbeel, InfoGAN: Interpretable Representation Learning by Information Maximizing
      Generative Adversarial Nets, NeurIPS 2016 (arXiv:1606.03657)

As published (github.com/openai/InfoGAN), Q is a hidden layer and an output on D's penultimate features, all of which belong to D's
player: D's body, too, lowers :math:`-\lambda L_I`, on generated rows. So there are two players, the discriminator (D and Q) and the
generator, and both lose :math:`-\lambda L_I`; a step of D comes first, then one of G. The paper's weights are 1 for the category and
0.1 for the continuous codes, whose entropy has no floor. The paper's text has Q put out the standard deviation; the code fixes it to 1
for MNIST. Noise here is normal, in the code uniform.

The recipe's own weights are 0.3 and 0.03: with them more clusters were classes on rows held out of digits' training rows. What they reach
on the test rows stands in experiments/README.md (Systems).
"""

from __future__ import annotations

__all__ = ["InfoGAN"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import CodedPrior, DiagonalNormal, Distribution
from ali.games.game import Game
from ali.networks import Conditional, Critic
from ali.objectives import Objective, gradient_penalty, nonsaturating, refuse_batch_norm


class InfoGAN(Game):
    r"""Discriminator and recogniser in one body against the generator.

    Arguments:
        decoder: the generator G, p(x | z, c).
        critic: D(x), returns logits; its features are Q's.
        recognition: features, (n, ``critic.size``), to (n, K + 2m): logits of the categories, means and log standard deviations of the
            continuous codes.
        prior: p(c) p(z).
        information: weight :math:`\lambda` of the category's bound.
        information_continuous: the same of the continuous codes'.
        objective: what the two players want of D's logits (:mod:`ali.objectives`).
        penalty: weight of R1 + R2 on x; 0 leaves it out, as the paper does.

    Raises:
        AliError: a penalty on a critic with batch normalisation.
    """

    def __init__(
        self,
        decoder: Conditional,
        critic: Critic,
        recognition: nn.Module,
        prior: CodedPrior,
        information: float = 1.0,
        information_continuous: float = 0.1,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
    ):
        super().__init__()
        self.decoder, self.critic, self.recognition, self.prior = decoder, critic, recognition, prior
        self.weights = (information, information_continuous)
        self.objective, self.penalty = objective, penalty
        self.players = {"discriminator": [critic, recognition], "generator": [decoder]}
        self.schedule = (("discriminator",), ("generator",))
        self.clusters = tuple(f"cluster {k}" for k in range(prior.categories))
        if penalty:
            refuse_batch_norm(critic)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))
        x_tilde = self.decoder(z).rsample()
        features = self.critic.features(torch.cat([x, x_tilde]))
        rho_q, rho_p = self.critic.verdict(features).chunk(2)
        loss_d, loss_g = self.objective(rho_q, rho_p)
        told = sum(weight * bound for weight, bound in zip(self.weights, self.information(features[len(x) :], z), strict=True))
        if self.penalty:
            loss_d = loss_d + self.penalty * 2 * gradient_penalty(self.critic, torch.cat([x, x_tilde]))
        return {"discriminator": loss_d - told, "generator": loss_g - told}

    def information(self, features: Float[Tensor, "n c"], z: Float[Tensor, "n d"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        r""":math:`L_I` of the category and of the continuous codes, in nats.

        Arguments:
            features: the critic's, of rows that were generated from z.
            z: the whole code.
        """
        (chosen, code), (logits, q) = self.prior.codes(z), self.recognise(features)
        of_category, of_continuous = self.prior.entropies
        return (chosen * logits.log_softmax(1)).sum(1).mean() + of_category, q.log_prob(code).mean() + of_continuous

    def recognise(self, features: Float[Tensor, "n c"]) -> tuple[Float[Tensor, "n k"], DiagonalNormal]:
        """Q(c | x): the logits of the categories, and the law of the continuous codes."""
        k, m = self.prior.categories, self.prior.continuous
        logits, mu, log_sigma = self.recognition(features).split([k, m, m], 1)
        return logits, DiagonalNormal(mu, log_sigma)

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.recognise(self.critic.features(x))[0].softmax(1)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)
