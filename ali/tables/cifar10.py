"""Table 3: the CIFAR-10 networks (Dumoulin et al. 2017, appendix A).

The page counts a maxout layer's maps *after* the maximum over its 2 pieces (the joint input has 512 + 512 = 1024 channels);
the authors' code counts them before, so its discriminator is 3.8 times cheaper. The page is followed here. Dropout, too,
stands as on the page; in the code a slicing slip leaves it on three of D(x)'s inputs only.
"""

from ali.table import conv, tconv

X = (3, 32, 32)
Z = 64

#        kernel stride maps    BN?   dropout  nonlinearity
G_z = (  # 3 x 32 x 32 input
    conv(  5,     1,    32,   True,    0.0,   "lrelu"),
    conv(  4,     2,    64,   True,    0.0,   "lrelu"),
    conv(  4,     1,   128,   True,    0.0,   "lrelu"),
    conv(  4,     2,   256,   True,    0.0,   "lrelu"),
    conv(  4,     1,   512,   True,    0.0,   "lrelu"),
    conv(  1,     1,   512,   True,    0.0,   "lrelu"),
    conv(  1,     1,   128,   False,   0.0,   "linear"),  # mu and log sigma
)
G_x = (  # 64 x 1 x 1 input
    tconv( 4,     1,   256,   True,    0.0,   "lrelu"),
    tconv( 4,     2,   128,   True,    0.0,   "lrelu"),
    tconv( 4,     1,    64,   True,    0.0,   "lrelu"),
    tconv( 4,     2,    32,   True,    0.0,   "lrelu"),
    tconv( 5,     1,    32,   True,    0.0,   "lrelu"),
    conv(  1,     1,    32,   True,    0.0,   "lrelu"),
    conv(  1,     1,     3,   False,   0.0,   "sigmoid"),
)
D_x = (  # 3 x 32 x 32 input
    conv(  5,     1,    32,   False,   0.2,   "maxout"),
    conv(  4,     2,    64,   False,   0.5,   "maxout"),
    conv(  4,     1,   128,   False,   0.5,   "maxout"),
    conv(  4,     2,   256,   False,   0.5,   "maxout"),
    conv(  4,     1,   512,   False,   0.5,   "maxout"),
)
D_z = (  # 64 x 1 x 1 input
    conv(  1,     1,   512,   False,   0.2,   "maxout"),
    conv(  1,     1,   512,   False,   0.5,   "maxout"),
)
D_xz = (  # 1024 x 1 x 1 input
    conv(  1,     1,  1024,   False,   0.5,   "maxout"),
    conv(  1,     1,  1024,   False,   0.5,   "maxout"),
    conv(  1,     1,     1,   False,   0.5,   "sigmoid"),
)

LR, BETA1, BETA2 = 1e-4, 0.5, 0.999  # the page's beta2 = 10^-3 is 1 - beta2: the code's library took it so
BATCH_SIZE = 100
EPOCHS = 6475
SLOPE, PIECES = 0.1, 2
SIGMA = 0.01
