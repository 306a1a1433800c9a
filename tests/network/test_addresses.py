"""Addresses are read without libp2p, exactly as libp2p writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import MemberFault
from ccp2p.network.addresses import (
    format_address,
    node_of_peer_id,
    parse_address,
    peer_id_of_node,
)


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_names_its_key(node):
    assert node_of_peer_id(peer_id_of_node(node)) == node


def test_peer_ids_are_those_of_libp2p():
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    for seed in (bytes(range(32)), b"\xff" * 32):
        theirs = ID.from_pubkey(create_new_key_pair(seed).public_key).to_base58()
        assert peer_id_of_node(SigningKey(seed).public) == theirs


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1"])
def test_an_address_is_read_back(host):
    node = bytes(range(32))
    address = parse_address(format_address(host, 4001, node))
    assert (address.host, address.port, address.node) == (host, 4001, node)


def test_names_and_bare_addresses_are_read():
    assert parse_address("/dns4/node-1.example.org/tcp/80").host == "node-1.example.org"
    assert parse_address("/ip4/127.0.0.1/tcp/0").node is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:80",
        "/ip4/127.0.0.1/udp/80",
        "/ip4/300.0.0.1/tcp/80",
        "/ip4/::1/tcp/80",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/٣",
        "/dns4/a b/tcp/80",
        "/dns4/a..b/tcp/80",
        f"/dns4/{'a' * 64}/tcp/80",
        f"/dns4/{'abc.' * 63}ab/tcp/80",
        "/ip4/127.0.0.1/tcp/80/p2p/",
        "/ip4/127.0.0.1/tcp/80/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "/ip4/127.0.0.1/tcp/80/p2p/12D3KooWl0",
        "/ip4/127.0.0.1/tcp/80" + "/" * 300,
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(text):
    with pytest.raises(MemberFault, match="not a usable address"):
        parse_address(text)


@given(st.text())
def test_any_text_is_an_address_or_a_member_fault(text):
    for candidate in (text, f"/ip4/127.0.0.1/tcp/{text}", f"/ip4/127.0.0.1/tcp/1/p2p/{text}"):
        try:
            parse_address(candidate)
        except MemberFault:
            continue
