"""Announcements over a mesh of attested peers, in the manner of GossipSub v1.1; decision 25.

Everything here is pure: time and randomness come in, messages go out.
"""
