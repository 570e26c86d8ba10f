"""What training and using a model costs, beside the usual loop: `make bench`, on a GPU `make bench-gpu`.

=============  ======================================================================================
peers.py       the usual loop, from stock PyTorch modules: two stand-ins for the public ports
cases.py       what is measured: a network, a loop, a precision; ours goes through the public loop
counting.py    FLOPs, kernels and bytes of a step, and the least time that a machine needs for them
limits.py      what this machine can do: products, convolutions, copies
speed.py       the table: interleaved rounds in one process, ratios per round, and the bounds they must keep
memory.py      peak memory, a process for each case
growth.py      how cost grows with batch, width, image size, latent size, players and levels
verbs.py       rows per second of encode, decode and score, their memory, and how long the command takes to start
profile.py     where the time of one step goes: `python -m benchmarks.profile svhn`
=============  ======================================================================================

Times are CPU times of one thread, so that other programs disturb them little; those of a GPU are wall times.
"""
