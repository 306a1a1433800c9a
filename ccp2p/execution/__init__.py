"""The state machine host: what a commit's events do, the state's roots, and checkpoints.

`machine.StateMachine` is the whole of it for a node; `apps` holds what runs on top. Nothing here
opens envelopes, verifies signatures or writes to disk.
"""
