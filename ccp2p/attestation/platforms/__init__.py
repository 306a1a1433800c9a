"""The chips below a node: what makes evidence and sealing keys, one module for each interface."""
