"""Nouns that all of ccp2p shares: ids, blocks, envelopes, commits, committees, limits, errors.

Pure: nothing here reaches a clock, a socket, a disk or a source of randomness.
"""
