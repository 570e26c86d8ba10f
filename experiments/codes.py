"""Why codes that fill their prior are bad neighbours: digits moved to draws from N(0, I) with the least squared distance in all.

No encoder without noise can fill its prior and move rows less. 300 of the training rows ask, the others answer; no test row is seen.

    python -m experiments.codes --seeds 5
"""

import argparse
import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from ali.data.digits import digits
from ali.evaluation.metrics import nearest_neighbour_accuracy
from experiments.record import mean_and_spread, record

ASK = 300


def right(seed: int, components: int) -> dict[str, float]:
    """1-NN accuracy on pixels, on principal components, on the same whitened, and on these moved to the prior.

    Arguments:
        seed: of the rows that ask, and of the prior's draws.
        components: dimension of the code.
    """
    train = digits().train
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(train))
    x, y = train.x[order].reshape(len(train), -1).astype(float), np.asarray(train.y)[order]
    pca = PCA(components, random_state=0).fit(x[ASK:])
    z = pca.transform(x)
    white = z / z[ASK:].std(0)
    prior = generator.standard_normal(z.shape)
    _, nearest = linear_sum_assignment(cdist(white, prior, "sqeuclidean"))
    codes = {"pixels": x, "principal components": z, "whitened": white, "moved to the prior": prior[nearest]}
    return {name: nearest_neighbour_accuracy(rows[ASK:], y[ASK:], rows[:ASK], y[:ASK]) for name, rows in codes.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many draws of the rows that ask: seeds 100, 101, ...")
    given = parser.parse_args()
    began, table = time.monotonic(), []
    for components in (16, 32):
        found = [right(100 + seed, components) for seed in range(given.seeds)]
        if not table:
            table += [f"| dimension | {' | '.join(found[0])} |", f"| --- |{' --- |' * len(found[0])}"]
        table.append(f"| {components} | {' | '.join(mean_and_spread([one[name] for one in found], '.1%') for name in found[0])} |")
    notes = f"1-NN accuracy, n = {given.seeds}, of {ASK} rows held out of the training rows."
    record("Codes, digits", f"python -m experiments.codes --seeds {given.seeds}", time.monotonic() - began, table, notes)
