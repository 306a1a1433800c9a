"""A whole network as real processes on one machine, and real logs to drive it with."""
