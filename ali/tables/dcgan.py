"""The DCGAN networks (Radford, Metz and Chintala 2016, arXiv:1511.06434): a decoder and D(x), no encoder.

64 pixels: Figure 1 and section 3 of the paper, and the first author's code (github.com/Newmu/dcgan_code, faces/train_uncond_dcgan.py).
32 pixels: D is that of the same code's SVHN experiment (svhn/svhn_semisup_analysis.py); its decoder's code was not released, ours is
D's mirror image. Grey images change the number of maps at the pixels, nothing else.

Where ours is not theirs: the first row normalises over maps, as in an author's later port to Torch (their code: over units); rows without
normalisation have a bias (theirs: none); scales of the normalisation begin at 1 (theirs: N(1, 0.02)); no weight decay (their code: 1e-5;
the paper: none); z is normal, as in their SVHN experiment (the paper and their faces: uniform).
"""

from ali.table import conv, tconv

Z = 100

#        kernel stride maps    BN?   dropout  nonlinearity  padding
G_x_64 = (  # 100 x 1 x 1 input
    tconv( 4,     1,  1024,   True,    0.0,   "relu"),
    tconv( 5,     2,   512,   True,    0.0,   "relu",       2, extra=1),
    tconv( 5,     2,   256,   True,    0.0,   "relu",       2, extra=1),
    tconv( 5,     2,   128,   True,    0.0,   "relu",       2, extra=1),
    tconv( 5,     2,     3,   False,   0.0,   "tanh",       2, extra=1),
)
D_x_64 = (  # 3 x 64 x 64 input
    conv(  5,     2,   128,   False,   0.0,   "lrelu",      2),
    conv(  5,     2,   256,   True,    0.0,   "lrelu",      2),
    conv(  5,     2,   512,   True,    0.0,   "lrelu",      2),
    conv(  5,     2,  1024,   True,    0.0,   "lrelu",      2),
)
G_x_32 = (  # 100 x 1 x 1 input
    tconv( 4,     1,   256,   True,    0.0,   "relu"),
    tconv( 5,     2,   128,   True,    0.0,   "relu",       2, extra=1),
    tconv( 5,     2,    64,   True,    0.0,   "relu",       2, extra=1),
    tconv( 5,     2,     3,   False,   0.0,   "tanh",       2, extra=1),
)
D_x_32 = (  # 3 x 32 x 32 input
    conv(  5,     2,    64,   False,   0.0,   "lrelu",      2),
    conv(  5,     2,   128,   True,    0.0,   "lrelu",      2),
    conv(  5,     2,   256,   True,    0.0,   "lrelu",      2),
)
D_xz = (  # all 4 x 4 pixels of D(x)'s maps, flattened
    conv(  1,     1,     1,   False,   0.0,   "sigmoid"),
)
SIZES = {64: (G_x_64, D_x_64), 32: (G_x_32, D_x_32)}

LR, BETA1, BETA2 = 2e-4, 0.5, 0.999
BATCH_SIZE = 128
SLOPE, PIECES = 0.2, 2
SIGMA = 0.02
