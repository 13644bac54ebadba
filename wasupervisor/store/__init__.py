"""What must outlive the process: the memory of the decider, and the journal."""
