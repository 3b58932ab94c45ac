"""From the best trial to showers: its generator, and what it is worth on showers it has never seen."""
