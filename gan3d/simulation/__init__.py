"""The embedded Monte Carlo: parametrised electromagnetic showers, so that everything runs without Geant4."""
