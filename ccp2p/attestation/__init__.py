"""Evidence formats and their verifiers, the policy and the verdict.

`platforms` makes evidence and sealing keys; everything else here is offline and deterministic.
"""
