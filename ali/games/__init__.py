"""The games: one file each.

==============  ====  ===============================================================================
game            year  paper
==============  ====  ===============================================================================
ALI             2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN           2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
KPlusOne        2016  Salimans et al., Improved Techniques for Training GANs (arXiv:1606.03498)
SemiSupervised  2017  ALI with few labels: section 4.3 of the paper (arXiv:1606.00704)
Supervised            labelled rows alone, to compare with
==============  ====  ===============================================================================
"""

from ali.games.ali import ALI as ALI
from ali.games.bigan import BiGAN as BiGAN
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters
from ali.games.k_plus_one import KPlusOne as KPlusOne
from ali.games.semi_supervised import SemiSupervised as SemiSupervised
from ali.games.supervised import Supervised as Supervised

GAMES = (ALI, BiGAN, KPlusOne, SemiSupervised, Supervised)
