"""What others read: the health document, the probes, the health file."""
