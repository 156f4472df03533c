"""The rows of the microbenchmark, run through Ray itself: bodies and sizes as in ray._private.ray_perf, windows as in timing.ts.

    python bench/ray-rows.py [--only PATTERN] [--seconds S] [--warmup S] [--windows N]

Prints one JSON list. Each row has a Ray of its own, so that nothing of one row slows another.
"""

import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import ray

N_CPU = max(1, multiprocessing.cpu_count() // 2)
GIB = 2**30


@ray.remote(num_cpus=0)
class Actor:
    def small_value(self):
        return b"ok"

    def small_value_arg(self, x):
        return b"ok"

    def small_value_batch(self, n):
        ray.get([small_value.remote() for _ in range(n)])

    def pid(self):
        return os.getpid()


@ray.remote
class AsyncActor:
    async def small_value(self):
        return b"ok"

    async def small_value_with_arg(self, x):
        return b"ok"


@ray.remote(num_cpus=0)
class Client:
    def __init__(self, servers):
        self.servers = servers if isinstance(servers, list) else [servers]

    def small_value_batch(self, n):
        results = []
        for s in self.servers:
            results.extend([s.small_value.remote() for _ in range(n)])
        ray.get(results)

    def small_value_batch_arg(self, n):
        x = ray.put(0)
        results = []
        for s in self.servers:
            results.extend([s.small_value_arg.remote(x) for _ in range(n)])
        ray.get(results)


@ray.remote
def small_value():
    return b"ok"


@ray.remote
def do_put_small():
    for _ in range(100):
        ray.put(0)


@ray.remote
def do_put():
    for _ in range(10):
        ray.put(np.zeros(10 * 1024 * 1024, dtype=np.int64))


@ray.remote
def create_object_containing_ref():
    return [ray.put(1) for _ in range(10000)]


@ray.remote
def work(actors, n):
    ray.get([actors[i % len(actors)].small_value.remote() for i in range(n)])


def get_calls():
    value = ray.put(0)
    return 1, lambda: ray.get(value)


def put_calls():
    return 1, lambda: ray.put(0)


def multi_put_calls():
    return 1000, lambda: ray.get([do_put_small.remote() for _ in range(10)])


def put_gigabytes():
    arr = np.zeros(100 * 1024 * 1024, dtype=np.int64)
    return 0.8, lambda: ray.put(arr)


def multi_put_gigabytes():
    return 8, lambda: ray.get([do_put.remote() for _ in range(10)])


def get_refs():
    ref = create_object_containing_ref.remote()
    return 1, lambda: ray.get(ref)


def batch_of_tasks(multiplier):
    return lambda: (multiplier, lambda: ray.get([small_value.remote() for _ in range(1000)]))


def wait_refs():
    def call():
        not_ready = [small_value.remote() for _ in range(1000)]
        fetch_local = True
        for _ in range(1000):
            _, not_ready = ray.wait(not_ready, fetch_local=fetch_local)
            fetch_local = False

    return 1, call


def tasks_sync():
    return 1, lambda: ray.get(small_value.remote())


def multi_tasks():
    actors = [Actor.remote() for _ in range(4)]
    return 40000, lambda: ray.get([a.small_value_batch.remote(10000) for a in actors])


def calls_sync(kind):
    def prepare():
        a = kind.remote()
        return 1, lambda: ray.get(a.small_value.remote())

    return prepare


def calls_async(kind):
    def prepare():
        a = kind.remote()
        return 1000, lambda: ray.get([a.small_value.remote() for _ in range(1000)])

    return prepare


def calls_with_args():
    a = AsyncActor.remote()
    return 1000, lambda: ray.get([a.small_value_with_arg.remote(i) for i in range(1000)])


def one_to_n(kind):
    def prepare():
        actors = [kind.remote() for _ in range(N_CPU)]
        client = Client.remote(actors)
        return 5000 * len(actors), lambda: ray.get(client.small_value_batch.remote(5000))

    return prepare


def n_to_n(kind):
    def prepare():
        actors = [kind.remote() for _ in range(N_CPU)]
        return 20000, lambda: ray.get([work.remote(actors, 5000) for _ in range(4)])

    return prepare


def n_to_n_with_arg():
    actors = [Actor.remote() for _ in range(N_CPU)]
    clients = [Client.remote(a) for a in actors]
    return 1000 * len(clients), lambda: ray.get([c.small_value_batch_arg.remote(1000) for c in clients])


def create_and_remove_groups():
    def call():
        groups = [ray.util.placement_group(bundles=[{"custom": 0.001}]) for _ in range(100)]
        for group in groups:
            group.wait(timeout_seconds=30)
        for group in groups:
            ray.util.remove_placement_group(group)

    return 100, call


RATES = {
    "single_client_get_calls": get_calls,
    "single_client_put_calls": put_calls,
    "multi_client_put_calls": multi_put_calls,
    "single_client_put_gigabytes": put_gigabytes,
    "multi_client_put_gigabytes": multi_put_gigabytes,
    "single_client_get_object_containing_10k_refs": get_refs,
    "single_client_tasks_and_get_batch": batch_of_tasks(1),
    "single_client_wait_1k_refs": wait_refs,
    "single_client_tasks_sync": tasks_sync,
    "single_client_tasks_async": batch_of_tasks(1000),
    "multi_client_tasks_async": multi_tasks,
    "1_1_actor_calls_sync": calls_sync(Actor),
    "1_1_actor_calls_async": calls_async(Actor),
    "1_n_actor_calls_async": one_to_n(Actor),
    "n_n_actor_calls_async": n_to_n(Actor),
    "1_1_actor_calls_concurrent": calls_async(Actor.options(max_concurrency=16)),
    "n_n_actor_calls_with_arg_async": n_to_n_with_arg,
    "1_1_async_actor_calls_sync": calls_sync(AsyncActor),
    "1_1_async_actor_calls_async": calls_async(AsyncActor),
    "1_n_async_actor_calls_async": one_to_n(AsyncActor),
    "n_n_async_actor_calls_async": n_to_n(AsyncActor),
    "1_1_async_actor_calls_with_args_async": calls_with_args,
    "placement_group_create/removal": create_and_remove_groups,
}


def rates(call, multiplier, options):
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < options.warmup:
        call()
        count += 1
    step = count // 10 + 1
    found = []
    for _ in range(options.windows):
        start = time.perf_counter()
        count = 0
        while time.perf_counter() - start < options.seconds:
            for _ in range(step):
                call()
            count += step
        found.append(multiplier * count / (time.perf_counter() - start))
    return found


FIRST_RESULT = """
import time, ray
started = time.perf_counter()
@ray.remote
def answer():
    return 42
ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
ray.get(answer.remote())
print((time.perf_counter() - started) * 1000)
ray.shutdown()
"""


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def first_result():
    command = [sys.executable, "-c", FIRST_RESULT]
    return [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) for _ in range(7)]


def worker_ready():
    found = []
    for _ in range(7):
        start = time.perf_counter()
        actor = Actor.remote()
        ray.get(actor.__ray_ready__.remote())
        found.append((time.perf_counter() - start) * 1000)
        ray.kill(actor)
    return found


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) / 1024


def idle_worker_rss():
    actor = Actor.remote()
    pid = ray.get(actor.pid.remote())
    time.sleep(2)
    return [rss_mib(pid)]


def stat_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds_of_tree():
    stats = {int(pid): stat_of(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    tree = [os.getpid()]
    for parent in tree:
        tree.extend(pid for pid, stat in stats.items() if stat is not None and int(stat[1]) == parent)
    return sum((int(stats[pid][11]) + int(stats[pid][12])) / 100 for pid in tree if stats.get(pid) is not None)


def idle_cpu():
    ray.get(small_value.remote())
    time.sleep(2)
    before = cpu_seconds_of_tree()
    time.sleep(5)
    return [(cpu_seconds_of_tree() - before) / 5 * 100]


def burst(count):
    return timed(lambda: ray.get([small_value.remote() for _ in range(count)])) * 1e6 / count


def driver_rss():
    burst(100000)
    return [rss_mib(os.getpid())]


def get_1gib():
    ref = ray.put(np.zeros(GIB, dtype=np.uint8))
    return [timed(lambda: ray.get(ref)) * 1e6 for _ in range(5)]


def put_1gib():
    arr = np.ones(GIB, dtype=np.uint8)
    found = []
    for _ in range(5):
        start = time.perf_counter()
        ref = ray.put(arr)
        found.append(GIB / 1e9 / (time.perf_counter() - start))
        del ref
    return found


# Large amounts: the rows of limit-rows.ts that Ray has, with the same bodies.

LENGTH = 10000
ITEMS = 10000


@ray.remote
def sum_of_all(*lists):
    return sum(len(one) for one in lists)


@ray.remote(num_returns=3000)
def returns_many():
    return [list(range(LENGTH)) for _ in range(3000)]


@ray.remote
def blocks(seconds):
    time.sleep(seconds)


@ray.remote
def nothing():
    return None


@ray.remote
def fib(n):
    return n if n < 2 else sum(ray.get([fib.remote(n - 1), fib.remote(n - 2)]))


@ray.remote
def items(count):
    for item in range(count):
        yield item


@ray.remote
class Source:
    def items(self, count):
        for item in range(count):
            yield item


def while_blocked(work):
    taken = [blocks.remote(1000000) for _ in range(os.cpu_count())]
    time.sleep(0.5)
    done = work()
    for ref in taken:
        ray.cancel(ref, force=True)
    return done


def queued_time():
    def run():
        refs = while_blocked(lambda: [nothing.remote() for _ in range(1000000)])
        ray.get(refs)

    return [timed(run)]


def cancel_queued():
    def once():
        refs = [nothing.remote() for _ in range(100000)]
        return timed(lambda: [ray.cancel(ref) for ref in refs])

    return [while_blocked(once)]


def args_time():
    lists = [list(range(LENGTH)) for _ in range(10000)]
    return [timed(lambda: ray.get(sum_of_all.remote(*lists)))]


def get_time():
    refs = [ray.put(list(range(LENGTH))) for _ in range(10000)]
    return [timed(lambda: ray.get(refs))]


def returns_time():
    return [timed(lambda: [ray.get(ref) for ref in returns_many.remote()])]


def fib_time():
    ray.get(fib.remote(3))
    return [timed(lambda: ray.get(fib.remote(10))) * 1000]


def item_rate(stream):
    def read():
        for ref in stream():
            ray.get(ref)

    return lambda: [ITEMS / timed(read) for _ in range(3)]


def actor_items():
    source = Source.remote()
    ahead = source.items.options(num_returns="streaming", _generator_backpressure_num_objects=16)
    return item_rate(lambda: ahead.remote(ITEMS))()


def ahead_by(count):
    return items.options(num_returns="streaming", _generator_backpressure_num_objects=count)


def actors_made():
    start = time.perf_counter()
    actors = [Actor.remote() for _ in range(100)]
    ray.get([actor.small_value.remote() for actor in actors])
    return [100 / (time.perf_counter() - start)]


LIMITS = {
    "process_actors_made_of_100": actors_made,
    "10000_args_time": args_time,
    "3000_returns_time": returns_time,
    "10000_get_time": get_time,
    "1000000_queued_time": queued_time,
    "cancel_100k_queued_s": cancel_queued,
    "fib_10_by_tasks_ms": fib_time,
    "stream_items": item_rate(lambda: ahead_by(16).remote(ITEMS)),
    "stream_items_256_ahead": item_rate(lambda: ahead_by(256).remote(ITEMS)),
    "actor_stream_items": actor_items,
}


DATA = int(os.environ.get("TROUPE_BENCH_DATA_MIB", "512")) * 2**20
VALUE = 8 * 2**20
BLOCK = 4096 * 2**20 // 200**2
PARTS = int((DATA / BLOCK) ** 0.5)
COPIED = 256 * 2**20


def put_all():
    return [ray.put(np.full(VALUE, seed % 251, dtype=np.uint8)) for seed in range(DATA // VALUE)]


def spilling():
    return [(DATA - DATA // 4) / 1e9 / timed(put_all)]


def restoring():
    refs = put_all()

    def read():
        for seed, ref in enumerate(refs):
            value = ray.get(ref)
            assert value[0] == seed % 251 and value[-1] == seed % 251
            del value

    return [DATA / 1e9 / timed(read)]


@ray.remote
def split(start, parts, size):
    return [np.full(size, (start + to) % 251, dtype=np.uint8) for to in range(parts)]


@ray.remote
def merge(*blocks):
    return sum(int(block[0]) + len(block) for block in blocks)


def shuffling():
    def call():
        rows = [split.options(num_returns=PARTS).remote(start, PARTS, BLOCK) for start in range(PARTS)]
        ray.get([merge.remote(*[row[to] for row in rows]) for to in range(PARTS)])

    return [timed(call)]


def against_copy(index):
    source, target = np.full(COPIED, 1, dtype=np.uint8), np.full(COPIED, 2, dtype=np.uint8)
    best, copied = 0, 0
    for _ in range(5):
        copied = max(copied, 1 / timed(lambda: np.copyto(target, source)))
        start = time.perf_counter()
        ref = ray.put(source)
        putting = 1 / (time.perf_counter() - start)
        getting = 1 / timed(lambda: np.copyto(target, ray.get(ref)))
        best = max(best, (putting, getting)[index])
        del ref
    return [best / copied]


SPILLING = {
    "spill_gbps": spilling,
    "restore_gbps": restoring,
    "shuffle_s": shuffling,
}

LARGE = 256 * 2**20


def apart(measured):
    """With two nodes: `make` gives objects of the other one."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2**31})
    cluster.add_node(num_cpus=1, object_store_memory=2**31, resources={"there": 1})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    made = ray.remote(resources={"there": 0.001})(lambda size: np.zeros(size, dtype=np.uint8))
    try:
        ray.get(made.remote(100_000))
        return measured(made.remote)
    finally:
        ray.shutdown()
        cluster.shutdown()


def small_gets(make):
    refs = [make(100_000) for _ in range(200)]
    ray.wait(refs, num_returns=len(refs), fetch_local=False)
    return [sorted(timed(lambda: ray.get(ref)) * 1e6 for ref in refs)[len(refs) // 2]]


def large_get(make):
    ref = make(LARGE)
    ray.wait([ref], fetch_local=False)
    return LARGE / 1e9 / timed(lambda: ray.get(ref))


APART = {
    "remote_get_100kb_us": small_gets,
    "remote_get_256mib_gbps": lambda make: [large_get(make) for _ in range(5)],
}

OWN = {
    **SPILLING,
    "put_to_memcpy": lambda: against_copy(0),
    "get_to_memcpy": lambda: against_copy(1),
    "init_to_first_result_ms": first_result,
    "worker_ready_ms": worker_ready,
    "idle_worker_rss_mib": idle_worker_rss,
    "idle_cpu_percent": idle_cpu,
    "task_us_of_1k": lambda: [burst(1000) for _ in range(5)],
    "task_us_of_10k": lambda: [burst(10000) for _ in range(5)],
    "task_us_of_100k": lambda: [burst(100000)],
    "driver_rss_after_100k_tasks_mib": driver_rss,
    "get_1gib_us": get_1gib,
    "put_1gib_gbps": put_1gib,
    **LIMITS,
}


def measure(name, options):
    if name == "init_to_first_result_ms":
        return OWN[name]()
    if name in APART:
        return apart(APART[name])
    store = {"object_store_memory": DATA // 4} if name in SPILLING else {}
    ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR", resources={"custom": 100}, **store)
    try:
        if name in OWN:
            return OWN[name]()
        multiplier, call = RATES[name]()
        return rates(call, multiplier, options)
    finally:
        ray.shutdown()


def run_row(name, options):
    try:
        values = measure(name, options)
    except Exception as error:  # a row that fails is reported; the others still run
        return {"name": name, "values": [], "error": repr(error)}
    return {
        "name": name,
        "mean": statistics.fmean(values),
        "sd": statistics.pstdev(values),
        "median": statistics.median(values),
        "values": values,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--windows", type=int, default=4)
    options = parser.parse_args()
    names = [name for name in [*RATES, *OWN, *APART] if re.search(options.only, name)]
    print(json.dumps([run_row(name, options) for name in names]))


if __name__ == "__main__":
    main()
