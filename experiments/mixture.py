"""ALI's modern face on the mixture of 25 Gaussians (section 4.5), with its default length or a quarter of it.

python -m experiments.mixture --seeds 10 [--quick]
"""

from experiments.quality import quality

QUICK = {"epochs": 4, "penalty": 0.1}  # in little time, modes fill evenly only so

if __name__ == "__main__":
    quality("mixture", "Mixture of 25 Gaussians", __doc__, QUICK)
