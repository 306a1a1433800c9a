"""Where the configuration file is: `CCP2P_CONFIG`, or `config.toml` in the platform's folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ccp2p.cli import console

if TYPE_CHECKING:
    from ccp2p.node.config import Config


def read_config() -> "Config":
    """The operator's configuration; a file that is not there says nothing."""
    import platformdirs

    from ccp2p.node.config import Config, parse_config

    named = os.environ.get("CCP2P_CONFIG")
    path = Path(named or Path(platformdirs.user_config_dir("ccp2p")) / "config.toml")
    if not named and not path.exists():
        return Config()
    return parse_config(console.read_text(path))
