"""A study on a Spark cluster: Ray's nodes are started by Spark's executors, as `ray.util.spark` does it.

    spark-submit --conf spark.task.cpus=8 deploy/spark/study.py --nodes 4 STUDY.yaml [options of gan3d run]

One Ray node per Spark task, with the task's CPUs; the head is on Spark's driver and gives out none. All of them need Spark 3.4 or newer,
gan3d with its extra `spark` (an archive: `--archives environment.tar.gz#environment`), and a results folder that they see (`--results`).
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys

from pyspark.sql import SparkSession

#: Ray asks whoever comes for this, and it is this study's own. Spark's pages do not show what is called a token.
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}


def main() -> int:
    """Start the nodes, run the study, stop them; the exit code is that of `gan3d run`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, required=True, help="Ray nodes: as many Spark tasks have to have room")
    parser.add_argument("study", help="a study file")
    arguments, options = parser.parse_known_args()
    os.environ |= AUTHENTICATION
    from ray.util.spark import setup_ray_cluster, shutdown_ray_cluster  # Ray reads the environment when it is imported

    spark = with_authentication(SparkSession.builder.appName("gan3d")).getOrCreate()
    cpus = int(spark.conf.get("spark.task.cpus", "1"))
    address, _ = setup_ray_cluster(
        max_worker_nodes=arguments.nodes,
        num_cpus_worker_node=cpus,
        num_gpus_worker_node=0,
        num_cpus_head_node=0,
        head_node_options={"include_dashboard": False},
    )
    try:
        command = [sys.executable, "-m", "gan3d.cli", "run", arguments.study, "--address", os.environ["RAY_ADDRESS"], *options]
        sys.stdout.write(f"Ray on Spark: {address}\n")
        sys.stdout.flush()
        return subprocess.run(command, check=False).returncode
    finally:
        shutdown_ray_cluster()
        spark.stop()


def with_authentication(builder: SparkSession.Builder) -> SparkSession.Builder:
    """Executors have the variables as well, and what they start."""
    for name, value in AUTHENTICATION.items():
        builder = builder.config(f"spark.executorEnv.{name}", value)
    return builder


if __name__ == "__main__":
    sys.exit(main())
