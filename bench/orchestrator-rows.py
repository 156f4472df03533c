"""Rows about graphs, on Airflow and on Prefect: `python orchestrator-rows.py airflow|prefect --only PATTERN`.

The same graphs as in dag-rows.ts, each on the quickest way its system has to run one: Airflow's `dag.test()` (in this process,
without scheduler and executor, over SQLite), Prefect's own server of this process (over SQLite) and its threads. What a scheduler
adds comes on top: Airflow looks for work once a second, Prefect's workers every ten.
"""

import argparse
import json
import logging
import os
import re
import statistics
import tempfile
import time

FEW = 100


def timed(run, runs, warm):
    for _ in range(warm):
        run()
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        took.append(time.perf_counter() - started)
    return took


def airflow_rows():
    home = tempfile.mkdtemp(prefix="airflow-")
    os.environ.update(
        AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__CORE__UNIT_TEST_MODE="False",
        AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR", AIRFLOW__CORE__DAGS_FOLDER=home,
    )
    from airflow.utils.db import initdb

    initdb()
    import structlog
    from airflow.sdk import DAG, task

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    with DAG("steps", schedule=None) as steps:

        @task
        def first():
            return 1

        @task
        def following(n):
            return n + 1

        following(following(first()))

    with DAG("wide", schedule=None) as wide:

        @task
        def empty(n):
            return None

        empty.expand(n=list(range(FEW)))

    def run(dag):
        state = dag.test().state
        assert str(state).endswith("success"), state

    return {
        "dag_3_steps_ms": lambda: [1000 * s for s in timed(lambda: run(steps), 3, 1)],
        f"dag_tasks_of_{FEW}": lambda: [FEW / s for s in timed(lambda: run(wide), 1, 0)],
    }


def prefect_rows():
    os.environ.update(
        PREFECT_HOME=tempfile.mkdtemp(prefix="prefect-"), PREFECT_LOGGING_LEVEL="CRITICAL", PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="true", PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="180",
    )
    from prefect import flow, task

    @task
    def first():
        return 1

    @task
    def following(n):
        return n + 1

    @task
    def empty(n):
        return None

    @flow
    def steps():
        return following(following(first()))

    @flow
    def wide():
        empty.map(list(range(FEW))).wait()

    return {
        "dag_3_steps_ms": lambda: [1000 * s for s in timed(steps, 3, 1)],
        f"dag_tasks_of_{FEW}": lambda: [FEW / s for s in timed(wide, 2, 0)],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=["airflow", "prefect"])
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # What they print goes elsewhere: the last line of the output is the result.
    out = os.dup(1)
    os.dup2(2, 1)
    rows = {"airflow": airflow_rows, "prefect": prefect_rows}[options.system]()
    results = []
    for name, measure in rows.items():
        if not re.search(options.only, name):
            continue
        try:
            values = measure()
            results.append({"name": name, "values": values, "median": statistics.median(values)})
        except Exception as error:  # a row that fails is told, the others still run
            results.append({"name": name, "values": [], "error": f"{type(error).__name__}: {error}"})
    os.write(out, (json.dumps(results) + "\n").encode())


if __name__ == "__main__":
    main()
