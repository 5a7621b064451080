"""How much power a machine takes while an engine runs: read from its own sensors, summed to joules."""
