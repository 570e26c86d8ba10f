"""The games: one file each.

========  ====  =====================================================================================
game      year  paper
========  ====  =====================================================================================
ALI       2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN     2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
ALICE     2017  Li et al., Towards Understanding Adversarial Learning for Joint Distribution Matching (arXiv:1709.01215)
EGBAD     2018  Zenati et al., Efficient GAN-Based Anomaly Detection (arXiv:1802.06222)
ALAD      2018  Zenati et al., Adversarially Learned Anomaly Detection (arXiv:1812.02288)
BigBiGAN  2019  Donahue and Simonyan, Large Scale Adversarial Representation Learning (arXiv:1907.02544)
========  ====  =====================================================================================
"""

from ali.games.alad import ALAD as ALAD
from ali.games.ali import ALI as ALI
from ali.games.alice import ALICE as ALICE
from ali.games.bigan import BiGAN as BiGAN
from ali.games.bigbigan import BigBiGAN as BigBiGAN
from ali.games.egbad import EGBAD as EGBAD
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters

GAMES = (ALI, BiGAN, ALICE, EGBAD, ALAD, BigBiGAN)
