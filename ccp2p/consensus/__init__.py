"""Ordering: an asynchronous, leaderless DAG of blocks becomes one sequence of commits.

Pure: the signer, the coin and the time are arguments, and nothing iterates a set where the order
could reach a result. `core.Consensus.handle` is the whole surface.
"""
