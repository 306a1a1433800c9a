"""What `ccp2p bench` measures."""
