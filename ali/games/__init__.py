"""The games: one file each.

===============  ====  =====================================================================================
game             year  paper
===============  ====  =====================================================================================
GAN              2014  Goodfellow et al., Generative Adversarial Networks (arXiv:1406.2661)
ALI              2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN            2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
PostHoc          2017  Dumoulin et al., sections 2.2 and 4.5: ALI with a frozen decoder (arXiv:1606.00704)
LatentRegressor  2017  Dumoulin et al., sections 2.2 and 4.5: an encoder that learns z from samples (arXiv:1606.00704)
===============  ====  =====================================================================================
"""

from ali.games.ali import ALI as ALI
from ali.games.bigan import BiGAN as BiGAN
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters
from ali.games.gan import GAN as GAN
from ali.games.latent_regressor import LatentRegressor as LatentRegressor
from ali.games.post_hoc import PostHoc as PostHoc

GAMES = (GAN, ALI, BiGAN, PostHoc, LatentRegressor)
