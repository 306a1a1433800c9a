"""`python -m ccp2p`: the command line without an installed script."""

from ccp2p.cli import main

if __name__ == "__main__":
    main(prog_name="ccp2p")
