"""The demo's numbers over several seeds: ALI on scikit-learn's handwritten digits, 400 of them held out.

The recipe was chosen on 300 of the training rows, held out for that; the 400 test rows were only looked at here.

    python -m experiments.digits --seeds 5
"""

from experiments.quality import quality

if __name__ == "__main__":
    quality("digits", "Digits", __doc__)
