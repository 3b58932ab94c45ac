"""Planning: counted networks and showers, spans over the space, and the admission rule."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_study import write_study
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.cli.plan_tables import plan_tables
from gan3d.config.load import load_study
from gan3d.errors import DataError, ResourceError
from gan3d.search.footprint import networks_of, worker_memory
from gan3d.search.needs import Needs
from gan3d.search.plan import Plan, Span, make_plan, refuse_impossible
from gan3d.search.resources import Cluster, Node, cluster_of, cpu_limit, local_cluster, usable_cpus
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "studies"
LARGE = Cluster((Node(128, 0, 512.0),), "a large machine")


def plan(name: str, *overrides: str, cluster: Cluster = LARGE) -> Plan:
    return make_plan(load_study(STUDIES / f"{name}.yaml", overrides), cluster)


@pytest.fixture(autouse=True)
def _without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN3D_DATA", raising=False)


def test_the_seed_baseline_has_the_seeds_networks() -> None:
    planned = plan("seed_baseline")
    assert planned.smallest == planned.largest
    assert (planned.largest.generator_parameters, planned.largest.discriminator_parameters) == (872_702, 73_500)
    assert planned.steps_per_epoch == Span(5_625, 5_625)
    assert planned.needs.cpus == 44


def test_normalised_per_channel_the_running_statistics_are_counted_apart() -> None:
    kinds = [f"training.{network}.normalisation=batch" for network in ("generator", "discriminator")]
    networks = plan("seed_baseline", *kinds).largest
    assert (networks.generator_parameters, networks.discriminator_parameters) == (872_808, 73_402)
    assert networks.parameters + networks.running_statistics == 946_398


@pytest.mark.parametrize(
    "change",
    [
        "training.optimiser={name: rmsprop}",
        "training.optimiser={name: rmsprop, momentum: 0.5}",
        "training.optimiser={name: adam, momentum: 0.5}",
        "training.generator_average=0.9",
    ],
)
def test_a_checkpoint_is_as_large_as_counted(change: str) -> None:
    settings = load_study(STUDIES / "quickstart.yaml", [change, "workers.per_trial=1"]).study.trial_settings({})
    state = TrainState(settings, Ranks())
    for network, steps in ((state.generator, state.generator_optimiser), (state.discriminator, state.discriminator_optimiser)):
        for parameter in network.parameters():
            parameter.grad = parameter.detach().clone()
        steps.step()
    saved = state.state_dict()
    networks = [saved[name] for name in ("generator", "discriminator", "average") if name in saved]
    assert len(networks) == 2 + (settings.training.generator_average > 0)
    numbers = sum(one.numel() for network in networks for one in network.values() if one.is_floating_point())
    for name in ("generator_optimiser", "discriminator_optimiser"):
        memory = [one for row in saved[name]["state"].values() for key, one in row.items() if key != "step"]
        numbers += sum(one.numel() for one in memory)
    assert networks_of(settings).state_bytes == 4 * numbers


def test_smallest_and_largest_are_those_of_the_whole_space() -> None:
    space = """search_space={training.generator.filters.0: {choice: [12, 4]}, training.generator.filters.2: {min: 3, max: 5},
        training.discriminator.filters.1: {choice: [6, 16, 8]}, training.generator.kernel: {choice: [5, seed, 3]},
        training.generator.learning_rate: {min: 1e-4, max: 1e-3}}""".replace("\n", " ")
    loaded = load_study(STUDIES / "quickstart.yaml", [space, "sampler.name=random"])
    every = [networks_of(loaded.study.trial_settings(sample)).parameters for sample in loaded.study.search_space.corners()]
    planned = make_plan(loaded, LARGE)
    assert (planned.smallest.parameters, planned.largest.parameters) == (min(every), max(every))


@pytest.mark.parametrize("names", [["adam", "rmsprop"], ["rmsprop", "adam"]])
def test_room_is_for_the_optimiser_that_remembers_most(names: list[str]) -> None:
    space = f"search_space={{training.optimiser.name: {{choice: [{', '.join(names)}]}}}}"
    loaded = load_study(STUDIES / "quickstart.yaml", [space, "sampler.name=grid", "trials.number=2", "training.optimiser={momentum: 0}"])
    planned = make_plan(loaded, LARGE)
    assert planned.largest.optimiser_numbers == 2 * planned.largest.parameters
    assert planned.smallest.optimiser_numbers == planned.smallest.parameters == planned.largest.parameters
    assert planned.disk.state == planned.largest.state_bytes


@pytest.mark.parametrize("decays", [[0.0, 0.99], [0.99, 0.0]])
def test_room_is_for_the_average_of_the_generator(decays: list[float]) -> None:
    space = f"search_space={{training.generator_average: {{choice: {decays}}}}}"
    planned = make_plan(load_study(STUDIES / "quickstart.yaml", [space, "sampler.name=grid", "trials.number=2"]), LARGE)
    assert planned.largest.averaged_numbers > planned.largest.generator_parameters
    assert planned.smallest.averaged_numbers == 0
    assert planned.disk.state == planned.largest.state_bytes


def test_spans_are_those_of_every_sample_of_the_grid() -> None:
    planned = plan("scaling_1_to_16")
    assert planned.needs.world_sizes == (1, 2, 4, 8, 16)
    assert (planned.global_batch, planned.batch_per_worker) == (Span(8, 128), Span(4, 64)), "strong: 64 and 4 to 64; weak: 8 to 128 and 8"
    assert len(planned.samples) == planned.num_trials == planned.grid_size == 50


def test_showers_are_counted_in_the_files_where_they_are_here() -> None:
    here = plan("quickstart", "data.num_train_showers=700000")
    assert here.stock.missing == ""
    assert (here.stock.train, here.stock.validation) == (720, 180)
    batches = "search_space.training.global_batch={choice: [16, 32]}"
    assert plan("quickstart", batches).steps_per_epoch == Span(720 // 32, 720 // 16)
    assert plan("quickstart", batches, "data.max_train_showers=64").steps_per_epoch == Span(2, 4)


def test_where_files_are_not_here_the_plan_says_so() -> None:
    gone = plan("seed_baseline")
    assert "GAN3D_DATA" in gone.stock.missing
    assert (gone.stock.train, gone.stock.validation) == (180_000, None)
    assert plan("seed_baseline", "data.num_train_showers=null").steps_per_epoch is None


def test_fewer_showers_than_a_global_batch_are_refused() -> None:
    with pytest.raises(DataError, match="720 training showers are fewer than one global batch of 1024"):
        plan("quickstart", "search_space.training.global_batch={choice: [16, 1024]}")


def test_a_plan_is_plain_values() -> None:
    planned = plan("quickstart")
    read = json.loads(json.dumps(planned.as_dict(), allow_nan=False))
    assert read["fits"] is True
    assert read["largest"]["parameters"] == planned.largest.parameters
    assert (
        read["memory"]["total"]
        == planned.memory.total
        == sum(read["memory"][part] for part in ("baseline", "networks", "activations", "showers"))
    )
    assert read["needs"]["cpus"] == 2


def test_memory_grows_with_the_batch_and_the_cache() -> None:
    settings = load_study(STUDIES / "seed_baseline.yaml").study.trial_settings({})
    larger = load_study(STUDIES / "seed_baseline.yaml", ["training.batch_per_worker=16"]).study.trial_settings({})
    networks = networks_of(settings)
    few, many = (worker_memory(networks, one, num_train=1000, num_validation=100) for one in (settings, larger))
    assert many.activations > few.activations
    assert worker_memory(networks, settings, num_train=None, num_validation=100).showers > few.showers


def test_workers_that_share_memory_need_room_for_gradients_in_it() -> None:
    by_memory, by_network = (
        load_study(STUDIES / "scaling.yaml", [f"workers.shared_memory={word}"]).study.trial_settings(
            {"training.scaling": "weak", "workers.per_trial": 2, "training.seed": 1}
        )
        for word in ("true", "false")
    )
    networks = networks_of(by_memory)
    shared, alone = (worker_memory(networks, one, num_train=1000, num_validation=100) for one in (by_memory, by_network))
    assert shared.networks - alone.networks == 2 * 4 * networks.parameters


def test_planning_needs_no_ray() -> None:
    code = "import sys, gan3d.search.plan; sys.exit('ray' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_study_is_admitted_where_one_trial_has_room_and_the_others_take_turns() -> None:
    planned = plan("quickstart", "trials.concurrent=3")
    for cpus, at_once in ((6, 3), (5, 2), (2, 1)):
        cluster = Cluster((Node(cpus, 0, 8.0),), "here")
        refuse_impossible(replace(planned, cluster=cluster))
        assert planned.needs.at_once(cluster) == at_once
    with pytest.raises(ResourceError, match=r"a trial needs 2 CPUs at the same time .* but one has 1, room for 1 such workers"):
        refuse_impossible(replace(planned, cluster=Cluster((Node(1, 0, 8.0),), "one")))


def test_on_one_node_trials_are_counted_node_by_node() -> None:
    needs = Needs(concurrent=4, cpus_per_worker=1, gpus_per_worker=0, world_sizes=(3,), one_node=True)
    assert needs.at_once(Cluster((Node(4, 0, 1.0), Node(5, 0, 1.0)), "two nodes")) == 2
    assert needs.problem(Cluster((Node(4, 0, 1.0), Node(2, 0, 1.0)), "two nodes")) is None
    assert "have room for 2, 2 workers" in str(needs.problem(Cluster((Node(2, 0, 1.0), Node(2, 0, 1.0)), "two nodes")))


def test_a_worker_does_not_stretch_over_two_nodes() -> None:
    needs = Needs(concurrent=1, cpus_per_worker=3, gpus_per_worker=0, world_sizes=(2,))
    assert needs.problem(Cluster((Node(4, 0, 1.0), Node(4, 0, 1.0)), "two nodes")) is None
    assert "room for 1" in str(needs.problem(Cluster((Node(5, 0, 1.0), Node(2, 0, 1.0)), "uneven nodes")))


def test_gpus_are_counted_too() -> None:
    needs = Needs(concurrent=1, cpus_per_worker=1, gpus_per_worker=1, world_sizes=(4,))
    assert needs.problem(Cluster((Node(8, 4, 1.0),), "here")) is None
    assert "2 GPUs" in str(needs.problem(Cluster((Node(8, 2, 1.0),), "here")))


@pytest.mark.parametrize(("name", "cpus"), [("seed_baseline", 2), ("seed_baseline", 12), ("scaling_1_to_16", 4), ("quickstart", 1)])
@pytest.mark.parametrize("concurrent", [1, 3])
def test_the_way_out_leads_out(name: str, cpus: int, concurrent: int) -> None:
    """The overrides that the refusal names make a study that is admitted."""
    cluster = Cluster((Node(cpus, 0, 8.0),), "here")
    asked = f"trials.concurrent={concurrent}"
    problem = plan(name, asked, cluster=cluster).needs.problem(cluster)
    assert problem is not None
    text = problem.split("Use ")[1].split(", or the --address")[0]
    overrides = [part.strip().strip("'") for part in text.split("--set ")[1:]]
    refuse_impossible(plan(name, asked, *overrides, cluster=cluster))


def test_this_machine_has_what_this_process_may_use() -> None:
    here = local_cluster()
    assert here.cpus == usable_cpus() >= 1
    assert here.memory_gb > 0.1


@pytest.mark.parametrize(("text", "cpus"), [("max 100000\n", None), ("200000 100000\n", 2), ("50000 100000\n", 1), ("250000 100000\n", 3)])
def test_a_containers_share_of_cpu_time_is_read(text: str, cpus: int | None) -> None:
    assert cpu_limit(text) == cpus


def test_only_living_nodes_count() -> None:
    rows = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 16e9}},
        {"Alive": True, "Resources": {"memory": 4e9}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    cluster = cluster_of(rows)
    assert (cluster.cpus, cluster.gpus, cluster.memory_gb) == (8, 2, 20.0)


def test_a_plan_tells_the_target() -> None:
    told = plan("quickstart", "objective.target=0.15")
    assert told.as_dict()["target"] == 0.15
    written = io.StringIO()
    Console(file=written, width=120).print(*plan_tables(told), sep="\n")
    assert "minimize physics.shower_distance, target 0.15" in written.getvalue()


@pytest.mark.parametrize(("has_kernel", "gpus", "is_said"), [(False, 0, True), (True, 0, False), (False, 1, False)])
def test_a_plan_says_that_convolutions_on_a_cpu_will_be_slow_without_a_kernel(has_kernel: bool, gpus: int, is_said: bool) -> None:
    planned = replace(plan("seed_baseline", f"workers.gpus_per_worker={gpus}"), has_kernel=has_kernel)
    text = " ".join(str(part) for part in plan_tables(planned))
    assert ("no C kernel was compiled" in text) == is_said
    assert planned.as_dict()["has_kernel"] == has_kernel


def test_a_set_of_a_sampled_key_is_said_to_fix_nothing(tmp_path: Path) -> None:
    path = write_study(tmp_path, {"training.generator.learning_rate": {"choice": [1e-4, 1e-3]}})
    rate = "training.generator.learning_rate"
    assert load_study(path, [f"{rate}=0.5", "training.epochs=2"]).sampled_overrides == (rate,)
    told = " ".join(CliRunner().invoke(app, ["plan", str(path), "--set", f"{rate}=0.5"]).output.split())
    assert f"Sampled all the same: {rate}; with --set the search only begins there" in told
    silent = CliRunner().invoke(app, ["plan", str(path), "--set", "training.epochs=2"]).output
    assert "Sampled all the same" not in silent
