"""One thread for each test process: the suite runs several at a time."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
