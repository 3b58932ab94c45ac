"""Many trials: plan, samplers, schedulers, teams of workers, the run of a study."""
