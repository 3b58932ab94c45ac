"""A study as a submitted job, on hosts of a test bed: `ray job submit` sends the package along, and all nodes run what was sent."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from killed_study import Results, assert_same, assert_whole
from small_study import write_study

from benchmarks.hosts.cluster import RAY, ray_on
from benchmarks.hosts.testbed import TestBed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not importlib.util.find_spec("aiohttp_cors"), reason="Ray's server of jobs is not installed: make test-cluster"),
]

ROOT = Path(__file__).resolve().parents[1]
SENT = "0.0.0+sent"
TRIALS, EPOCHS = 2, 3
#: Two runs agree to the last bit, also where one has compiled C kernels and the other has none.
CHANGES = {"workers": {"per_trial": 2, "convolutions": "plain", "shared_memory": False}}
#: What every node's processes have of the package.
ASK_NODES = """
import json, ray, sys
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
ray.init('auto', logging_level='ERROR')

@ray.remote(num_cpus=0)
def version():
    import gan3d
    return gan3d.__version__

places = [NodeAffinitySchedulingStrategy(node['NodeID'], soft=False) for node in ray.nodes()]
json.dump(ray.get([version.options(scheduling_strategy=place).remote() for place in places]), open(sys.argv[1], 'w'))
"""


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """The package as it would be sent, with a version that nothing here has installed."""
    folder = tmp_path / "sent"
    shutil.copytree(ROOT / "gan3d", folder / "gan3d", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (folder / "gan3d" / "__init__.py").write_text(f'__version__ = "{SENT}"\n', encoding="utf-8")
    return folder


def test_a_submitted_study_is_run_by_the_package_that_was_sent(bed: TestBed, sent: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, **CHANGES)
    results, laptop, versions = Results(tmp_path / "results", "small"), Results(tmp_path / "laptop", "small"), tmp_path / "versions.json"
    run = [sys.executable, "-m", "gan3d.cli", "run", str(study)]
    subprocess.run([*run, "--results", str(laptop.folder)], check=True, stdout=subprocess.DEVNULL, timeout=600)
    with ray_on(bed, takes_jobs=True) as cluster:
        submit = [RAY, "job", "submit", "--address", cluster.jobs_address, "--working-dir", str(sent), "--"]
        for words in ([sys.executable, "-c", ASK_NODES, str(versions)], [*run, "--address", "auto", "--results", str(results.folder)]):
            done = cluster.head.run([*submit, *words], seconds=900, environment=cluster.environment)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(versions.read_text()) == [SENT] * len(bed.hosts)
    assert_whole(results, TRIALS, EPOCHS)
    assert_same(results, laptop)
