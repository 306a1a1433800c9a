"""What a node keeps on disk: its log of blocks, its commits, the state's buckets and a few records.

`store.Store` is the interface; `lmdb_store.LmdbStore` keeps it sealed on disk and
`memory_store.MemoryStore` in memory, for simulation.
"""
