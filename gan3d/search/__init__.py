"""Many trials: plan, samplers, early stopping, admission, teams of workers, the run of a study."""
