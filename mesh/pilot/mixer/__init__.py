"""What Pilot knows of Mixer's configuration: the rules in force, and what a workload's checks depend on."""
