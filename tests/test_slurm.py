"""The batch script for SLURM, really run: by a fake sbatch, on three hosts made of network namespaces.

Of a small study, or of any other: GAN3D_TESTED_STUDY=studies/quickstart.yaml python -m pytest -m slow tests/test_slurm.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm, sbatch_options
from killed_study import Results, assert_same, assert_whole
from small_study import write_study

from benchmarks.hosts.namespaces import why_not
from benchmarks.hosts.testbed import TestBed
from gan3d.config.load import load_study

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "deploy" / "slurm" / "study.sbatch"
OTHER = os.environ.get("GAN3D_TESTED_STUDY", "")
#: How long a session of the job may take [s], starting three Ray nodes on few cores included.
PATIENCE = 3000.0 if OTHER else 500.0
TRIALS, EPOCHS = 2, 6
#: Two runs agree to the last bit: convolutions that measure nothing, and sums over ranks that are gloo's on one host too.
EXACTLY = ("--set", "workers.convolutions=plain", "--set", "workers.shared_memory=false")


@dataclass
class Job:
    """What was seen of a job that came near its time limit once, and of the same study on this machine alone."""

    slurm: Results
    laptop: Results
    codes: list[int]
    requeues: list[int]
    epochs_before: int
    output: str
    hosts: set[str]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    study = Path(OTHER).resolve() if OTHER else write_study(folder, {"training.seed": {"choice": [1, 2]}})
    words = EXACTLY if OTHER else (*EXACTLY, "--set", f"training.epochs={EPOCHS}")
    name = load_study(study).study.name
    laptop = [sys.executable, "-m", "gan3d.cli", "run", str(study), *words, "--set", "workers.binding=core", "--results", "laptop"]
    subprocess.run(laptop, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    results = Results(folder / "slurm_results", name)
    with TestBed(3) as bed:
        slurm = FakeSlurm(bed, folder)
        try:
            log = slurm.sbatch(SCRIPT, str(study), *words, RESULTS=str(results.folder), RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT="400")
            wait_for_an_epoch(slurm, results, log)
            before = results.num_finished()
            slurm.time_limit_is_near()
            codes, requeues = [slurm.ended(PATIENCE)], [slurm.requeues]
            slurm.sbatch(SCRIPT, str(study), *words, RESULTS=str(results.folder), RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT="400")
            codes.append(slurm.ended(PATIENCE))
            requeues.append(slurm.requeues)
        finally:
            slurm.close()
    hosts = {seat["host"] for seat in seats(results)}
    return Job(results, Results(folder / "laptop", name), codes, requeues, before, log.read_text(encoding="utf-8"), hosts)


def seats(results: Results) -> list[dict[str, Any]]:
    """Where the ranks of all trials were."""
    return [seat for path in sorted((results.folder / "trials").glob("*/workers.json")) for seat in json.loads(path.read_text())]


def wait_for_an_epoch(slurm: FakeSlurm, results: Results, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not (results.folder / "trials").exists() or not results.num_finished():
        assert slurm.is_running, log.read_text(encoding="utf-8")[-3000:]
        assert time.monotonic() < end, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE + 300)
def test_near_its_time_limit_a_job_is_requeued_and_goes_on(job: Job) -> None:
    assert job.codes == [0, 0], job.output
    assert job.requeues == [1, 1]
    assert "the time limit is near" in job.output
    assert 0 < job.epochs_before < job.laptop.num_finished()
    if not OTHER:
        assert_whole(job.slurm, TRIALS, EPOCHS)


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE + 300)
def test_on_three_hosts_physics_is_that_of_the_laptop(job: Job) -> None:
    assert len(job.hosts) > 1, job.hosts
    assert_same(job.slurm, job.laptop)


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE + 300)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU for two workers")
def test_workers_on_the_laptop_that_are_to_be_bound_have_a_cpu_each(job: Job) -> None:
    """And physics that is equal to that of workers that were not, see above."""
    found = seats(job.laptop)
    zero, one = ([seat["cpus"] for seat in found if seat["rank"] == rank] for rank in (0, 1))
    assert all(cpus.isdigit() for cpus in (*zero, *one)), found
    assert all(cpus != other for cpus, other in zip(zero, one, strict=True)), found


def test_its_options_are_ones_that_sbatch_has() -> None:
    options = dict(sbatch_options(SCRIPT))
    assert options["signal"].startswith("B:USR1@"), "to the batch shell alone"
    lead = int(options["signal"].rpartition("@")[2])
    text = SCRIPT.read_text(encoding="utf-8")
    (patience,) = [line for line in text.splitlines() if line.startswith("PATIENCE=")]
    assert int(patience.partition(":-")[2].rstrip("}")) < lead
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
