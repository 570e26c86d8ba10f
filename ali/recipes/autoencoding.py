"""Encoder and decoder trained by reconstruction: VAE, adversarial autoencoder, VAE-GAN."""

from __future__ import annotations

__all__ = ["aae", "vae", "vae_gan"]

from typing import Literal

from ali.errors import AliError
from ali.recipes.arguments import recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe(beta1=0.9)
def vae(parts: Parts, *, likelihood: Literal["gaussian", "bernoulli"] = "gaussian", beta: float = 1.0) -> Run:
    """Variational autoencoder (Kingma and Welling 2014).

    Arguments:
        likelihood: family of p(x | z): gaussian with one learned sigma, or bernoulli (pixels).
        beta: weight of the KL; 1 for the lower bound on the likelihood.
    """
    from ali import games

    in_range("beta", beta, 0)
    return parts.run(games.VAE(parts.encoder(), parts.decoder(likelihood), parts.prior, beta=beta))


@recipe()
def aae(
    parts: Parts,
    *,
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    reconstruction: float = 20.0,
    objective: str = "nonsaturating",
    penalty: float = 0.1,
) -> Run:
    """Adversarial autoencoder (Makhzani et al. 2015).

    Arguments:
        encoder: family of q(z | x): gaussian, implicit or deterministic.
        reconstruction: weight of the reconstruction error (mean square).
        objective: what the players want of D: nonsaturating, minimax, relativistic or hinge.
        penalty: weight of R1 + R2 on codes; 0 for none.
    """
    from ali import games, objectives

    in_range("reconstruction", reconstruction, 0), in_range("penalty", penalty, 0)
    game = games.AAE(
        parts.encoder(encoder),
        parts.decoder(),
        parts.critic("z"),
        parts.prior,
        reconstruction=reconstruction,
        objective=objectives.named(objective),
        penalty=penalty,
    )
    return parts.run(game)


@recipe()
def vae_gan(parts: Parts, *, gamma: float = 1.0, objective: str = "relativistic", penalty: float = 0.1) -> Run:
    """VAE-GAN: a VAE whose errors are measured in a discriminator's features (Larsen et al. 2016).

    Arguments:
        gamma: weight of the feature error for the decoder, beside the GAN's.
        objective: what decoder and D want of D: nonsaturating, minimax (the paper), relativistic or hinge.
        penalty: weight of R1 + R2 on x; 0 for none.
    """
    from ali import games, objectives

    in_range("gamma", gamma, 0), in_range("penalty", penalty, 0)
    if parts.given["augment"]:
        raise AliError(
            "vae_gan compares what D makes of a row and of its reconstruction, which augment would change differently: leave it out"
        )
    game = games.VAEGAN(
        parts.encoder(),
        parts.decoder(),
        parts.critic(),
        parts.prior,
        gamma=gamma,
        objective=objectives.named(objective),
        penalty=penalty,
    )
    return parts.run(game)
