"""What a member runs: verify a network, open a session, submit events, read."""
