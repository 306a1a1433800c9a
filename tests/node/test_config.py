"""The operator's file."""

import pytest

from ccp2p.model.errors import LocalFault
from ccp2p.node.config import Config, Hosting, parse_config

KEY = "ab" * 32


def test_an_empty_file_hosts_nothing():
    assert parse_config("") == Config()
    assert parse_config("[hosting]\n").hosting.networks == 0


def test_how_many_how_large_and_whose():
    text = f'[hosting]\nnetworks = 3\nstorage_mb = 64\nevents_per_s = 9\nfounders = ["{KEY}"]\n'
    assert parse_config(text).hosting == Hosting(3, 64, 9, (KEY,))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[hosting", "not TOML"),
        ("[hosting]\nnetwork = 1\n", "network"),
        ("[other]\n", "other"),
        ('[hosting]\nnetworks = "many"\n', "networks"),
        ("[hosting]\nnetworks = -1\n", "networks"),
        ("[hosting]\nnetworks = 1000\n", "networks"),
        ('[hosting]\nnetworks = 1\nfounders = ["mesh"]\nstorage_mb = 0\n', "storage_mb"),
        ('[hosting]\nnetworks = 1\nfounders = ["anybody"]\n', "founders"),
        (f'[hosting]\nnetworks = 1\nfounders = ["{KEY}\\n"]\n', "founders"),
        ("[hosting]\nnetworks = 1\n", "no founders"),
        ("x = " + "[" * 10_000, "not TOML"),
    ],
)
def test_a_mistake_is_named(text: str, named: str):
    with pytest.raises(LocalFault, match=named) as caught:
        parse_config(text)
    assert caught.value.code == "config"
