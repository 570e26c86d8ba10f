"""ALI's modern face on the mixture of 25 Gaussians (section 4.5), with its default length.

python -m experiments.mixture --seeds 5
"""

from experiments.quality import quality

if __name__ == "__main__":
    quality("mixture", "Mixture of 25 Gaussians", __doc__)
