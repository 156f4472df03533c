"""The driver of a broadcast, on host 1: address, node count, bytes, rounds. Prints the seconds of each round, as JSON."""

import json
import sys
import time

import numpy
import ray

address, nodes, size, rounds = sys.argv[1], *map(int, sys.argv[2:])
ray.init(address=address, logging_level="ERROR", log_to_driver=False)


@ray.remote(num_cpus=1)
def touch(value):
    return len(value) + int(value[-1])


readers = [touch.options(resources={f"host{index + 2}": 1}) for index in range(nodes)]
ray.get([read.remote(numpy.zeros(1, dtype=numpy.uint8)) for read in readers])
seconds = []
for number in range(rounds):
    ref = ray.put(numpy.full(size, number, dtype=numpy.uint8))
    started = time.perf_counter()
    ends = ray.get([read.remote(ref) for read in readers])
    seconds.append(time.perf_counter() - started)
    assert ends == [size + number] * nodes, ends
    del ref
print(json.dumps(seconds))
ray.shutdown()
