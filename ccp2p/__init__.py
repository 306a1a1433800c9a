"""ccp2p: a peer-to-peer node for Confidential Consensus."""

__version__ = "0.1.0"
