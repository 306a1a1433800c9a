"""Who may be in a network's committee: pure rules over records and committed events."""
