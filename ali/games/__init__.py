"""The games: one file each.

===============  ====  ========================================================================================================
game             year  paper
===============  ====  ========================================================================================================
ALI              2017  Dumoulin et al., Adversarially Learned Inference (arXiv:1606.00704)
BiGAN            2017  Donahue et al., Adversarial Feature Learning (arXiv:1605.09782)
ConditionalALI   2017  Dumoulin et al., Adversarially Learned Inference, eq. 7 (arXiv:1606.00704)
SemiSupervised   2017  ALI with few labels: section 4.3 of the paper (arXiv:1606.00704)
HALI             2018  Belghazi et al., Hierarchical Adversarially Learned Inference (arXiv:1802.01071)
PostHoc          2017  an encoder for a decoder that is finished: sections 2.2 and 4.5 of the paper (arXiv:1606.00704)
LatentRegressor  2017  a GAN and a regression of its codes: sections 2.2 and 4.5 of the paper (arXiv:1606.00704)
GAN              2014  Goodfellow et al., Generative Adversarial Nets (arXiv:1406.2661)
KPlusOne         2016  Salimans et al., Improved Techniques for Training GANs (arXiv:1606.03498)
InfoGAN          2016  Chen et al., InfoGAN: Interpretable Representation Learning (arXiv:1606.03657)
VAE              2014  Kingma and Welling, Auto-Encoding Variational Bayes (arXiv:1312.6114)
AAE              2015  Makhzani et al., Adversarial Autoencoders (arXiv:1511.05644)
VAEGAN           2016  Larsen et al., Autoencoding beyond Pixels Using a Learned Similarity Metric (arXiv:1512.09300)
ALICE            2017  Li et al., Towards Understanding Adversarial Learning for Joint Distribution Matching (arXiv:1709.01215)
EGBAD            2018  Zenati et al., Efficient GAN-Based Anomaly Detection (arXiv:1802.06222)
ALAD             2018  Zenati et al., Adversarially Learned Anomaly Detection (arXiv:1812.02288)
BigBiGAN         2019  Donahue and Simonyan, Large Scale Adversarial Representation Learning (arXiv:1907.02544)
Supervised             labelled rows alone, to compare with
===============  ====  ========================================================================================================
"""

from ali.games.aae import AAE as AAE
from ali.games.alad import ALAD as ALAD
from ali.games.ali import ALI as ALI
from ali.games.alice import ALICE as ALICE
from ali.games.bigan import BiGAN as BiGAN
from ali.games.bigbigan import BigBiGAN as BigBiGAN
from ali.games.conditional import ConditionalALI as ConditionalALI
from ali.games.egbad import EGBAD as EGBAD
from ali.games.game import Game as Game
from ali.games.game import parameters as parameters
from ali.games.gan import GAN as GAN
from ali.games.hali import HALI as HALI
from ali.games.infogan import InfoGAN as InfoGAN
from ali.games.k_plus_one import KPlusOne as KPlusOne
from ali.games.latent_regressor import LatentRegressor as LatentRegressor
from ali.games.post_hoc import PostHoc as PostHoc
from ali.games.semi_supervised import SemiSupervised as SemiSupervised
from ali.games.supervised import Supervised as Supervised
from ali.games.vae import VAE as VAE
from ali.games.vae_gan import VAEGAN as VAEGAN

GAMES = (
    ALI,
    BiGAN,
    ConditionalALI,
    SemiSupervised,
    HALI,
    PostHoc,
    LatentRegressor,
    GAN,
    KPlusOne,
    InfoGAN,
    VAE,
    AAE,
    VAEGAN,
    ALICE,
    EGBAD,
    ALAD,
    BigBiGAN,
    Supervised,
)
