"""A study on Spark, really: its own local cluster of two executors, in which `deploy/spark/study.py` starts Ray."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from killed_study import Results, assert_same, assert_whole
from small_study import write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not importlib.util.find_spec("pyspark"), reason="pyspark is not installed (460 MB): make test-cluster"),
    pytest.mark.skipif(not shutil.which("java"), reason="Spark needs a Java, 17 or newer"),
]

SCRIPT = Path(__file__).resolve().parents[1] / "deploy" / "spark" / "study.py"
TRIALS, EPOCHS = 2, 3
#: Two executors of one core and 2 GiB each.
CLUSTER = ("--master", "local-cluster[2,1,2048]", "--conf", "spark.executor.memory=2g", "--conf", "spark.driver.host=127.0.0.1")
#: Two runs agree to the last bit.
CHANGES = {"workers": {"per_trial": 2, "convolutions": "plain", "shared_memory": False}}


def test_a_study_on_spark_is_that_of_the_laptop(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, **CHANGES)
    spark, laptop = Results(tmp_path / "spark", "small"), Results(tmp_path / "laptop", "small")
    run = [sys.executable, "-m", "gan3d.cli", "run", str(study), "--results", str(laptop.folder)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL, timeout=600)
    submitted = submit("--nodes", "2", str(study), "--results", str(spark.folder))
    assert submitted.returncode == 0, submitted.stdout[-5000:]
    assert "Ray on Spark: " in submitted.stdout
    assert_whole(spark, TRIALS, EPOCHS)
    assert_same(spark, laptop)


def test_its_exit_code_is_that_of_the_study(tmp_path: Path) -> None:
    submitted = submit("--nodes", "1", str(tmp_path / "absent.yaml"))
    assert submitted.returncode == 2, submitted.stdout[-5000:]


def submit(*words: str) -> subprocess.CompletedProcess[str]:
    """`spark-submit` of the script."""
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    places = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).parent / "spark-submit"), *CLUSTER, str(SCRIPT), *words]
    return subprocess.run(
        command, env=os.environ | python | places, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900
    )
