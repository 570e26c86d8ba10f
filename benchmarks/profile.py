"""Where the time of one step goes: operations by their own time.

python -m benchmarks.profile svhn [loop] [precision] [cpu or cuda]
"""

import sys

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import NETWORKS, Case


def main() -> None:
    network, loop, precision, device = (*sys.argv[1:], *["svhn", "ours", "float32", "cpu"][len(sys.argv) - 1 :])
    if network not in NETWORKS:
        sys.exit(f"{network}: choose one of {', '.join(NETWORKS)}")
    torch.set_num_threads(1)
    step = Case(network, loop, precision).step(device=device)
    step(), step()
    of = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]
    with profile(activities=of) as profiled:
        step()
        if device != "cpu":
            torch.cuda.synchronize()
    by = "self_cpu_time_total" if device == "cpu" else "self_device_time_total"
    print(profiled.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=50))


if __name__ == "__main__":
    main()
