"""Physics: the detector, observables, transform to network units, distance of generated from Monte Carlo showers."""
