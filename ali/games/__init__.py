"""The games: one file each.

========  ====  =====================================================================================
game      year  paper
========  ====  =====================================================================================
ALI       2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN     2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
HALI      2018  Belghazi et al., Hierarchical Adversarially Learned Inference (arXiv:1802.01071)
========  ====  =====================================================================================
"""

from ali.games.ali import ALI as ALI
from ali.games.bigan import BiGAN as BiGAN
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters
from ali.games.hali import HALI as HALI

GAMES = (ALI, BiGAN, HALI)
