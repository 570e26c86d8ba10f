"""Encoder and decoder trained by reconstruction: VAE, adversarial autoencoder, VAE-GAN."""

from __future__ import annotations

__all__ = ["vae"]

from typing import Literal

from ali.recipes.parts import Parts, in_range, recipe
from ali.recipes.run import Run


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
