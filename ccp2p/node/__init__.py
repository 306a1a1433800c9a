"""One node: `core` joins consensus, sealing and execution without IO; `node` drives it."""
