"""ALI on MNIST with its default length, some eleven CPU minutes; the 10,000 test digits held out.

The recipe was chosen on 2,000 of the training digits, held out for that, after fully connected networks had been measured here.

    python -m experiments.mnist PATH --seeds 2
"""

from experiments.quality import quality

if __name__ == "__main__":
    quality("mnist", "MNIST", __doc__)
