"""Table 4: the SVHN networks (Dumoulin et al. 2017, appendix A). The authors train on the ``extra`` part, 531,131 images."""

from ali.table import conv, tconv

X = (3, 32, 32)
Z = 256

#        kernel stride maps    BN?   dropout  nonlinearity
G_z = (  # 3 x 32 x 32 input
    conv(  5,     1,    32,   True,    0.0,   "lrelu"),
    conv(  4,     2,    64,   True,    0.0,   "lrelu"),
    conv(  4,     1,   128,   True,    0.0,   "lrelu"),
    conv(  4,     2,   256,   True,    0.0,   "lrelu"),
    conv(  4,     1,   512,   True,    0.0,   "lrelu"),
    conv(  1,     1,   512,   True,    0.0,   "lrelu"),
    conv(  1,     1,   512,   False,   0.0,   "linear"),  # mu and log sigma
)
G_x = (  # 256 x 1 x 1 input
    tconv( 4,     1,   256,   True,    0.0,   "lrelu"),
    tconv( 4,     2,   128,   True,    0.0,   "lrelu"),
    tconv( 4,     1,    64,   True,    0.0,   "lrelu"),
    tconv( 4,     2,    32,   True,    0.0,   "lrelu"),
    tconv( 5,     1,    32,   True,    0.0,   "lrelu"),
    conv(  1,     1,    32,   True,    0.0,   "lrelu"),
    conv(  1,     1,     3,   False,   0.0,   "sigmoid"),
)
D_x = (  # 3 x 32 x 32 input
    conv(  5,     1,    32,   False,   0.2,   "lrelu"),
    conv(  4,     2,    64,   True,    0.2,   "lrelu"),
    conv(  4,     1,   128,   True,    0.2,   "lrelu"),
    conv(  4,     2,   256,   True,    0.2,   "lrelu"),
    conv(  4,     1,   512,   True,    0.2,   "lrelu"),
)
D_z = (  # 256 x 1 x 1 input
    conv(  1,     1,   512,   False,   0.2,   "lrelu"),
    conv(  1,     1,   512,   False,   0.2,   "lrelu"),
)
D_xz = (  # 1024 x 1 x 1 input
    conv(  1,     1,  1024,   False,   0.2,   "lrelu"),
    conv(  1,     1,  1024,   False,   0.2,   "lrelu"),
    conv(  1,     1,     1,   False,   0.2,   "sigmoid"),
)

LR, BETA1, BETA2 = 1e-4, 0.5, 0.999  # the page's beta2 = 10^-3 is 1 - beta2: the code's library took it so
BATCH_SIZE = 100
EPOCHS = 100
SLOPE, PIECES = 0.01, 2
SIGMA = 0.01
