"""The only place with tasks, signals and clocks: it introduces the rooms to each other."""
