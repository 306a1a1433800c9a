"""Signatures, authenticated encryption, HPKE and the coin's hash chain.

Each module chooses its native core or its pure twin once, at import: `CCP2P_PURE=1` picks pure;
unset, empty or `0` picks native. Keys and nonces are bytes; nothing here keeps or logs plaintext.
"""
