"""Wrong objectives, trade-offs, constraints and schedulers, and what the user must read of each."""

from __future__ import annotations

from bad_inputs import BadInput, overrides, study

BAD_OBJECTIVES: tuple[BadInput, ...] = (
    study(
        "unknown_trade_off",
        "shower_distance\n",
        "shower_distance\n  trade_offs: [{metric: cost.core_second}]\n",
        "study.yaml:12: objective.trade_offs.0.metric = cost.core_second is not a metric; did you mean cost.core_seconds?",
    ),
    study(
        "trade_off_the_wrong_way",
        "shower_distance\n",
        "shower_distance\n  trade_offs:\n    - {metric: cost.core_seconds, direction: maximize}\n",
        "study.yaml:13: objective.trade_offs.0.direction = maximize contradicts that lower is better for",
    ),
    study(
        "trade_off_with_itself",
        "shower_distance\n",
        "shower_distance\n  trade_offs: [{metric: physics.shower_distance}]\n",
        "study.yaml:12: objective.trade_offs.0.metric = physics.shower_distance is optimised already",
    ),
    study(
        "constraint_without_limit",
        "shower_distance\n",
        "shower_distance\n  constraints: [{metric: physics.response}]\n",
        "study.yaml:12: objective.constraints.0 has no limit. Write {metric: physics.response, at_most: 0.02}.",
    ),
    study(
        "constraint_that_nothing_keeps",
        "shower_distance\n",
        "shower_distance\n  constraints: [{metric: physics.response, at_least: 0.2, at_most: 0.1}]\n",
        "objective.constraints.0.at_least = 0.2 is above objective.constraints.0.at_most = 0.1",
    ),
    study(
        "constraint_of_some_trials_only",
        "shower_distance\n",
        "shower_distance\n  constraints: [{metric: noise_scale.generator, at_most: 9}]\n",
        "objective.constraints.0.metric = noise_scale.generator is absent from trials of one rank",
    ),
    study(
        "average_of_more_epochs_than_there_are",
        "shower_distance\n",
        "shower_distance\n  average_epochs: 9\n",
        "study.yaml:12: objective.average_epochs = 9 exceeds training.epochs = 4 (line 18)",
    ),
    study("most_in_epochs", "grace: 1", "most: 3", "study.yaml:9: scheduler.most = 3.0 contradicts scheduler.rungs_in = epochs"),
    study("rungs_without_an_end", "grace: 1", "rungs_in: showers", "scheduler.most is missing with scheduler.rungs_in = showers (line 9)"),
    overrides(
        "grace_beyond_most",
        ("scheduler.rungs_in=core_seconds", "scheduler.most=10", "scheduler.grace=20"),
        "scheduler.grace = 20.0 exceeds scheduler.most = 10.0",
    ),
    overrides("rungs_of_nobody", ("scheduler.name=none", "scheduler.rungs_in=showers"), "counts for rungs, of which there are none with"),
    overrides("median_of_showers", ("scheduler.name=median", "scheduler.rungs_in=showers"), "is not what the median is taken by"),
    overrides(
        "median_of_several",
        ("scheduler.name=median", "objective.trade_offs=[{metric: cost.joules}]"),
        "scheduler.name = median compares by one number, but there are objective.trade_offs. Use asha or hyperband.",
    ),
    study("reference_of_a_taken_name", "objective:", "references: {best: {training.seed: 2}}\nobjective:", "references.best is taken"),
    study(
        "reference_of_no_knob",
        "objective:",
        "references:\n  the seed: {training.generator.filter.1: 6}\nobjective:",
        "unknown key training.generator.filter.1; did you mean training.generator.filters.1?",
    ),
    study(
        "reference_out_of_range",
        "objective:",
        "references:\n  the seed:\n    training.generator.noise_dim: 0\nobjective:",
        "training.generator.noise_dim = 0",
    ),
    study("reference_that_changes_nothing", "objective:", "references: {the seed: {}}\nobjective:", "references.the seed changes nothing"),
    overrides("confirmation_of_nobody", ("figures=[confirmation]",), "Let gan3d confirm write the study"),
)
