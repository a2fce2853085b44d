"""The same collectives by PyTorch's gloo, one process per rank: prints milliseconds as JSON, {"gather": …, "reduce": …}.

Run by `main.ts` with the number of ranks, the bytes of the all-gather, its rounds, the values of the all-reduce and its rounds.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def times(rounds, run):
    """Of each round, in milliseconds, sorted; the first half is left out."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - start))
    return sorted(found[rounds // 2 :])


def rank_main(rank, size, store, settings, results):
    gathered_bytes, gathers, values, reductions = settings
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=size, init_method=f"file://{store}")
    own = torch.zeros(gathered_bytes, dtype=torch.uint8)
    parts = [torch.empty_like(own) for _ in range(size)]
    gather = times(gathers, lambda: dist.all_gather(parts, own))
    gradients = torch.ones(values)
    reduce = times(reductions, lambda: dist.all_reduce(gradients))
    if rank == 0:
        results.put({"gather": gather[len(gather) // 2], "reduce": reduce[0]})
    dist.barrier()
    dist.destroy_process_group()


def main():
    size, *settings = map(int, sys.argv[1:-1])
    store = sys.argv[-1]
    results = mp.get_context("spawn").SimpleQueue()
    mp.spawn(rank_main, args=(size, store, settings, results), nprocs=size)
    print(json.dumps(results.get()))
    if os.path.exists(store):
        os.remove(store)


if __name__ == "__main__":
    main()
