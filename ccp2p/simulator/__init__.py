"""Whole networks in one seeded virtual world: the real node core over simulated machines.

Everything above the seams of network, disk, clock and randomness is the code that nodes run. The
same seed gives the same trace on any machine, with native or pure code. Nothing here waits, and
nothing reaches a socket, a real disk or a real clock.
"""
