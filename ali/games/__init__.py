"""The games: one file each.

========  ====  =====================================================================================
game      year  paper
========  ====  =====================================================================================
GAN       2014  Goodfellow et al., Generative Adversarial Networks (arXiv:1406.2661)
ALI       2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN     2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
========  ====  =====================================================================================
"""

from ali.games.ali import ALI as ALI
from ali.games.bigan import BiGAN as BiGAN
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters
from ali.games.gan import GAN as GAN

GAMES = (GAN, ALI, BiGAN)
