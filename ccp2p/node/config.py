"""The operator's configuration file: TOML, every key optional, unknown ones refused."""

import tomllib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault

ANYBODY: Final = "mesh"
_KEY: Final = f"{ANYBODY}|[0-9a-f]{{64}}"

Founder = Annotated[str, Meta(pattern=rf"\A({_KEY})\Z")]


class Hosting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Groups of others that this node runs on its meshes: how many, how large each, whose.

    `founders` are member or node keys in hexadecimal, or "mesh" for whoever reaches the mesh.
    """

    networks: Annotated[int, Meta(ge=0, le=limits.HOSTED_NETWORKS)] = 0
    storage_mb: Annotated[int, Meta(ge=1, le=1 << 20)] = 1024
    events_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    founders: tuple[Founder, ...] = ()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    hosting: Hosting = Hosting()


def parse_config(text: str) -> Config:
    """Read a configuration; LocalFault (code `config`) says which key is wrong, and how."""
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LocalFault("config", f"the configuration is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise LocalFault("config", f"the configuration is wrong: {error}") from None
    if config.hosting.networks and not config.hosting.founders:
        raise LocalFault(
            "config", '[hosting] has networks, but no founders: name keys, or "mesh" for anybody'
        )
    return config
