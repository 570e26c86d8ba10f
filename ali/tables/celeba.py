"""Table 5: the CelebA networks (Dumoulin et al. 2017, appendix A).

Where it differs from the page: z has 256 numbers, since the page's 512 at G_x and D(z) is a misprint (confirmed by an author):
the encoder's 512 maps are mu *and* log sigma. D(x, z) joins 512 + 1024 = 1536 channels, not 1024. And the page prints D(x) as a
copy of the encoder: in the authors' code its five rows have dropout 0.2, and the first no batch normalisation, as in Tables 4
and 6.

Conditional ALI (section 4.4) takes the same rows: one linear embedding of the 40 attributes, 256 numbers, joins before G_z's last
row, at G_x's input and before D(x, z)'s first row. The authors' code has batches of 128 there.
"""

from ali.table import conv, tconv

X = (3, 64, 64)
Z = 256

#        kernel stride maps    BN?   dropout  nonlinearity
G_z = (  # 3 x 64 x 64 input
    conv(  2,     1,    64,   True,    0.0,   "lrelu"),
    conv(  7,     2,   128,   True,    0.0,   "lrelu"),
    conv(  5,     2,   256,   True,    0.0,   "lrelu"),
    conv(  7,     2,   256,   True,    0.0,   "lrelu"),
    conv(  4,     1,   512,   True,    0.0,   "lrelu"),
    conv(  1,     1,   512,   False,   0.0,   "linear"),  # mu and log sigma
)
G_x = (  # 256 x 1 x 1 input (page: 512)
    tconv( 4,     1,   512,   True,    0.0,   "lrelu"),
    tconv( 7,     2,   256,   True,    0.0,   "lrelu"),
    tconv( 5,     2,   256,   True,    0.0,   "lrelu"),
    tconv( 7,     2,   128,   True,    0.0,   "lrelu"),
    tconv( 2,     1,    64,   True,    0.0,   "lrelu"),
    conv(  1,     1,     3,   False,   0.0,   "sigmoid"),
)
D_x = (  # 3 x 64 x 64 input
    conv(  2,     1,    64,   False,   0.2,   "lrelu"),   # page: BN, dropout 0.0
    conv(  7,     2,   128,   True,    0.2,   "lrelu"),   # page: dropout 0.0, here and below
    conv(  5,     2,   256,   True,    0.2,   "lrelu"),
    conv(  7,     2,   256,   True,    0.2,   "lrelu"),
    conv(  4,     1,   512,   True,    0.2,   "lrelu"),
)
D_z = (  # 256 x 1 x 1 input (page: 512)
    conv(  1,     1,  1024,   False,   0.2,   "lrelu"),
    conv(  1,     1,  1024,   False,   0.2,   "lrelu"),
)
D_xz = (  # 1536 x 1 x 1 input (page: 1024)
    conv(  1,     1,  2048,   False,   0.2,   "lrelu"),
    conv(  1,     1,  2048,   False,   0.2,   "lrelu"),
    conv(  1,     1,     1,   False,   0.2,   "sigmoid"),
)

LR, BETA1, BETA2 = 1e-4, 0.5, 0.999  # beta2 is not on the page: as in Tables 3, 4 and 6
BATCH_SIZE = 100
EPOCHS = 123
SLOPE, PIECES = 0.02, 2
SIGMA = 0.01
