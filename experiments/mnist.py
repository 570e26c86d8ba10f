"""ALI on MNIST with its default length, some ten CPU minutes; the 10,000 test digits held out.

The recipe was chosen on 5,000 of the training digits, held out for that, in runs of half that length and one seed each.

    python -m experiments.mnist PATH --seeds 5
"""

from experiments.quality import quality

if __name__ == "__main__":
    quality("mnist", "MNIST", __doc__)
