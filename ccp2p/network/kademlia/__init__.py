"""Kademlia: who of a network is where, kept by everybody for everybody, beyond the local network.

Maymounkov and Mazieres, "Kademlia", 2002, with two requests (find, store), and shares for subnets
so that whoever has many keys and few addresses surrounds nobody. Everything but `service` is pure:
time, randomness and bytes come in as arguments (decision 24 says why it is ours).
"""
