"""Secrets of the network: the coin chain, epoch secrets, member sessions and at-rest keys.

Nothing here reaches a disk or a socket; secrets come in as arguments and leave only sealed.
"""
