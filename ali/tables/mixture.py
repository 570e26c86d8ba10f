"""The networks for the mixture of 25 Gaussians (section 4.5), from the authors' code: the paper has no table of them.

The encoder is implicit (eq. 3): it sees x and 2 numbers of noise. The decoder is deterministic.
"""

from ali.table import linear

X = (2,)
Z = 2
NOISE = 2

#          units   BN?   dropout  nonlinearity
G_z = (  # 2 + 2 input: x and epsilon
    linear( 400,  True,    0.0,   "relu"),
    linear( 400,  True,    0.0,   "relu"),
    linear(   2,  False,   0.0,   "linear"),
)
G_x = (  # 2 input
    linear( 400,  True,    0.0,   "relu"),
    linear( 400,  True,    0.0,   "relu"),
    linear( 400,  True,    0.0,   "relu"),
    linear( 400,  True,    0.0,   "relu"),
    linear(   2,  False,   0.0,   "linear"),
)
D_x = ()
D_z = ()
D_xz = (  # 4 input
    linear( 200,  False,   0.0,   "maxout"),
    linear( 200,  False,   0.0,   "maxout"),
    linear( 200,  False,   0.0,   "maxout"),
    linear(   1,  False,   0.0,   "sigmoid"),
)

LR, BETA1, BETA2 = 1e-4, 0.2, 0.999  # the code says beta1 = 0.8 and its library took 1 - beta: 0.2, inferred from dates
BATCH_SIZE = 100
EPOCHS = 200
SLOPE, PIECES = 0.0, 5
SIGMA = 0.02
