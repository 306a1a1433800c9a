"""Every bound in ccp2p, with its reason. A queue, size or loop without a name here is a bug."""

from typing import Final

# Committee and DAG
MAX_COMMITTEE: Final = 200  # sampling beyond this buys little (findings: bad-committee odds)
MAX_PARENTS: Final = MAX_COMMITTEE  # at most one parent per author
MAX_HEADER_BYTES: Final = 16 * 1024  # 200 parents of 40 bytes fit twice over
MAX_PAYLOAD_BYTES: Final = 1024 * 1024  # one block stays well under one transport window
MAX_BLOCK_BYTES: Final = MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES + 1024
MAX_ENVELOPES_PER_BLOCK: Final = 2048  # bounds the work of one block, whatever the sizes
MAX_VOTES_PER_BLOCK: Final = 16  # a node votes once a checkpoint; the rest catches up
MAX_MEMBERSHIP_EVENTS_PER_BLOCK: Final = 16  # rare and large, so few at a time
MAX_UNSOLICITED_PER_SLOT: Final = 2  # two prove equivocation; more only as an ancestor
MAX_SUSPENDED_BLOCKS: Final = 4096  # blocks that wait for ancestors; the oldest round is kept
MAX_ROUNDS_AHEAD: Final = 2000  # a live block further ahead waits for catch-up instead
MAX_EVIDENCE: Final = 1024  # equivocation proofs kept: one an author is enough
MAX_FETCH_REFERENCES: Final = 512  # ids in one fetch request
MAX_SNAPSHOT_PART_BYTES: Final = 256 * 1024 * 1024  # a state has 256 of them
MAX_FETCH_REPLY_BYTES: Final = 2 * 1024 * 1024  # one reply, so that others get their turn
FETCH_RETRY_MS: Final = 500  # first the sender, then two others
FETCH_PEERS: Final = 2
BULK_FETCH_ROUNDS: Final = 8  # further behind than this, ask for rounds instead of single blocks
BULK_RETRY_MS: Final = 2000  # a full reply takes a while on a slow line; then another peer
RESEND_MS: Final = 2000  # our newest block again, while no quorum follows: it may have been lost
PUSH_ROUNDS: Final = 4  # a peer further behind fetches its history instead of being sent it
PUSH_BYTES: Final = 16 * 1024  # history sent along with a block, per peer: larger is pulled
MAX_SUSPENDED_BYTES: Final = 64 * 1024 * 1024  # shared evenly among authors, as the count is
MAX_TIMESTAMP_MS: Final = 1 << 53  # any sane clock; keeps ledger time a small integer everywhere
VOTE_QUEUE: Final = 64  # checkpoint votes and membership events that wait for our next blocks
MEMBERSHIP_QUEUE: Final = 64
MAX_MEMBERSHIP_EVENT_BYTES: Final = 512 * 1024  # evidence with its endorsements, and room
MAX_SEALED_SECRET_BYTES: Final = 128  # an epoch secret sealed by HPKE has 80
RECORD_PAGE_BYTES: Final = 256 * 1024  # epoch records in one message; a full page has a next one
MAX_RECORD_PAGES: Final = 64  # of one chain: thousands of epochs, and as much as a receipt holds
MAX_OBSERVERS: Final = 1000  # nodes that follow without a seat
MAX_PROPOSALS: Final = MAX_COMMITTEE // 3 + 1  # a member makes one a change: f+1 hold a good one
PREKEY_ROUNDS: Final = 64  # leader rounds after FREEZE in which proposals wait for prekeys
PROPOSAL_INTERVAL_MS: Final = 60_000  # ledger time between rekey proposals of one change
CHANGE_PATIENCE_MS: Final = 300_000  # ledger time without a new proposal until a change is void
REGISTRATION_MS: Final = 10_000  # ledger time of an epoch in which candidates come before a draw
RENEWAL_PATIENCE_MS: Final = 60_000  # ledger time for fresh evidence before a policy comes in
MAX_JOIN_TRIES: Final = 3  # changes of one epoch that one platform may make void by its silence
MAX_LEFT_OUT: Final = 1000  # such cases remembered in an epoch
MAX_EXPELLED: Final = 1000  # equivocators whose keys stay barred; each cost a seat
ANCHORS_KEPT: Final = 64  # recent checkpoints that a joiner's evidence may be bound to

# Events
PADDING_BUCKETS: Final = (256, 1024, 4096, 16_384, 65_536)  # sizes that a host can tell apart
MAX_EVENT_BYTES: Final = PADDING_BUCKETS[-1] - 4  # the padded event keeps its length in front
MAX_ENVELOPE_BYTES: Final = PADDING_BUCKETS[-1] + 512
SEQUENCE_WINDOW: Final = 64  # events held ahead, and outcomes kept behind, per member
MAX_HELD_BYTES: Final = 256 * 1024  # events held ahead per member
MAX_OUTCOME_BYTES: Final = 1024  # an outcome is stored 64 deep per member
MAX_SESSIONS: Final = 65_536  # open sessions an epoch; each indexes 128 tags
SESSIONS_PER_MEMBER: Final = 4  # a member's devices; the oldest session makes room

# Governors and invites
MAX_GOVERNORS: Final = 32  # people who agree on policy; more would never gather
MAX_SHARE_BYTES: Final = 114  # a recovery share of 66 bytes, sealed to its governor
MAX_AMENDMENT_BYTES: Final = 60 * 1024  # with its signature it fits an event
AMENDMENTS_PER_GOVERNOR: Final = 4  # open at once: nobody keeps others from proposing
MAX_INVITES: Final = 1024  # kept at once; those that ended make room for new ones
MAX_INVITE_USES: Final = 100_000
MAX_INVITE_LIFETIME_MS: Final = 366 * 24 * 3600 * 1000  # a forgotten ticket ends some day
INVITE_BYTES: Final = 16  # of a secret: enough against guessing, short in a ticket

# Wire
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024  # one length-prefixed frame between nodes
MAX_CLIENT_FRAME_BYTES: Final = 1024 * 1024  # one frame on the client listener
MAX_EVIDENCE_BYTES: Final = 64 * 1024  # the largest genuine sample is a quarter of this
MAX_ENDORSEMENT_BYTES: Final = 256 * 1024  # certificate chains, collateral and lists
MAX_ENDORSEMENTS: Final = 16  # separate certificates, chains, lists and collateral
MAX_CERTIFICATES: Final = 10  # of one verdict, all endorsements together; genuine ones need 6
MAX_CERTIFICATE_BYTES: Final = 8 * 1024  # genuine ones have at most 2 KiB; parsed ones are kept
MAX_TICKET_CHARS: Final = 8192
TICKET_ADDRESSES: Final = 2  # the verified node names the others; a ticket should fit a message
MAX_POLICY_BYTES: Final = 64 * 1024
MAX_GENESIS_BYTES: Final = 128 * 1024
MAX_RECORD_BYTES: Final = 256 * 1024
MAX_SIGNED_RECORD_BYTES: Final = MAX_RECORD_BYTES + MAX_AMENDMENT_BYTES + 32 * 1024  # signatures
MAX_ADDRESSES: Final = 16
MAX_ADDRESS_CHARS: Final = 256
MAX_TOLD_ADDRESS_CHARS: Final = 1024 * 1024  # of all nodes together, told to who follows
OWN_ADDRESSES: Final = 4  # of one listener: those of a machine with several networks
SCORED_PEERS: Final = 1024  # nodes of which faults are remembered
FAULT_CODES: Final = 32  # kinds of faults told apart; there are fewer
FAULTS_BORNE: Final = 1000  # by one peer in a window, then it is cut and barred: each costs work
FAULT_WINDOW_MS: Final = 60_000
BARRED_MS: Final = 60_000
PEERS_SHOWN: Final = 512  # rows of one answer; at most so many are connected
BOOK_NODES: Final = 1024  # addresses of a network's nodes that one of them keeps
BOOK_ADDRESSES: Final = 8  # of one node: several networks, and where it was before
BOOK_SUBNET_NODES: Final = 64  # of one subnet, of those that were only heard of
NODES_ASKED: Final = 8  # by a newcomer, as different as can be had: one honest one is enough
MAX_ANNOUNCEMENT_BYTES: Final = 2048  # on the local network: eight addresses and a name
MESH_NODES_ASKED: Final = 32  # by one look around; lies must not make us dial without end
MESH_ORIGIN_ASKED: Final = 4  # of them in one subnet, of what is published beyond
ANNOUNCEMENTS_ASKED: Final = 16  # at once, of those that did not say everything by themselves
MAX_NAME_CHARS: Final = 64
HOSTED_NETWORKS: Final = 64  # of others on one node; each has stores, queues and caches
CONSENT_MS: Final = 60_000  # for a group to be placed after a node agreed to host it
PLACEMENT_MS: Final = 300_000  # for a placed group to be founded; then its place is given up
HOSTING_INTERVAL_MS: Final = 200  # on one client connection: each request costs two key agreements
MAX_HOSTING_BYTES: Final = MAX_GENESIS_BYTES + 16 * 1024  # a genesis, an invite and addresses

# Relays
RESERVATIONS: Final = 64  # nodes that one relay takes connections for
RESERVATION_MS: Final = 120_000  # then it must have been renewed
RENEWAL_MS: Final = 30_000  # between two renewals; it also keeps a NAT box's memory of us alive
CIRCUITS: Final = 128  # that one relay carries at once
CIRCUITS_OF_NODE: Final = 32  # to one node behind it
CIRCUITS_OF_HOST: Final = 32  # dialled from one address
CIRCUIT_BYTES: Final = 1024 * 1024 * 1024  # both ways together; then both dial again
CIRCUIT_MS: Final = 2 * 3600 * 1000
CIRCUIT_WAIT_MS: Final = 8_000  # for the node behind the relay to take a connection
CIRCUIT_FRAME_BYTES: Final = 64 * 1024
MAX_RELAY_MESSAGE_BYTES: Final = 512
PROBES: Final = 8  # dials at once to see whether somebody can be reached
PROBE_MS: Final = 2_000  # for one of its ports; who is reached later than that may as well relay
RELAYS_USED: Final = 2  # by one node: the second for when the first goes
RELAYS_ASKED: Final = 4

# Kademlia
NEAREST: Final = 20  # nodes that keep a record, and contacts of one bucket or answer (k)
ASKED_AT_ONCE: Final = 3  # by one lookup (alpha)
LOOKUP_QUERIES: Final = 64  # of one lookup; a million nodes are some twenty away
LOOKUP_CANDIDATES: Final = 1024  # nodes that one lookup keeps in mind
ORIGIN_CONTACTS: Final = 2  # of one subnet in a bucket or among the nearest: eclipse costs subnets
INTRODUCED: Final = 5  # untried nodes that one subnet's word brings among the nearest
LIES_BORNE: Final = 10  # nodes named by one subnet that were not there, in one lookup
CONTACT_FAILURES: Final = 3  # in a row; then a contact is dropped
CONTACTS_UNTRIED: Final = 64  # who asked us and may be a contact; tried one at a time
RECORD_LIFETIME_MS: Final = 2 * 3600 * 1000  # of a node's whereabouts in others' keeping
RECORD_INTERVAL_MS: Final = 30 * 60 * 1000  # between two publications, so that three may fail
CLOCK_SLACK_MS: Final = 10 * 60 * 1000  # a record that is dated further ahead is refused
MAX_RENDEZVOUS_BYTES: Final = 2560  # one record: an announcement, sealed
RECORDS_KEPT: Final = 4096  # for others; at most 10 MB
RECORDS_OF_KEY: Final = 32
RECORDS_OF_ORIGIN: Final = 256  # kept for one subnet
RECORDS_OF_KEY_AND_ORIGIN: Final = 4  # so that nobody drives a network's other nodes out
RECORDS_OF_NODE: Final = HOSTED_NETWORKS + 16  # where few nodes keep all records; a mesh has two
RECORDS_FOUND: Final = 256  # by one lookup
MAX_KADEMLIA_BYTES: Final = 128 * 1024  # one message: twenty contacts and all records of a key
KADEMLIA_REQUESTS: Final = 32  # on one stream, then it is closed: lookups need one or two
KADEMLIA_ANSWER_MS: Final = 5_000  # from dialling to the answer

# Queues
PEER_QUEUE_FRAMES: Final = 1024  # frames waiting for one peer; older blocks are fetched instead
PEER_QUEUE_BYTES: Final = 32 * 1024 * 1024
INBOX_FRAMES: Final = 4096  # frames from all peers that wait for the core
INBOX_BYTES: Final = 256 * 1024 * 1024  # what these frames may weigh together
PEER_INBOX_FRAMES: Final = 1024  # one peer's share of them, so that none starves the others
PEER_INBOX_BYTES: Final = 32 * 1024 * 1024
INBOX_PATIENCE_MS: Final = 2_000  # a full inbox stops the reader so long, then frames are dropped
ENVELOPE_QUEUE: Final = 16_384  # accepted by the API, waiting for a block
ENVELOPE_QUEUE_BYTES: Final = 64 * 1024 * 1024
ENVELOPE_FRAME_BYTES: Final = 256 * 1024  # envelopes in one frame, so that others get turns
HANDED_ON_PER_S: Final = 1000  # envelopes from one node without a vote, for its members
HELLO_INTERVAL_MS: Final = 200  # on one client connection: fresh evidence costs a quote
CLIENT_IN_FLIGHT: Final = 4096  # envelopes of one client connection without an outcome
MAX_CLIENT_CONNECTIONS: Final = 1024
MAX_CLIENT_STREAMS: Final = 4  # at once on one client connection; a client needs one
MAX_PEER_CONNECTIONS: Final = 512
MAX_HANDSHAKES: Final = 128  # inbound and unfinished: strangers take no place of a peer
HANDSHAKES_OF_HOST: Final = 32  # of them from one host, so that a slow crowd keeps nobody else out
CLIENTS_OF_HOST: Final = 256  # of the clients' places; a household shares one address
COMMIT_BACKLOG: Final = 256  # commits decided and not yet executed before ordering pauses

# Time
WRITE_TIMEOUT_MS: Final = 10_000  # a frozen peer is cut after this
HEARTBEAT_MS: Final = 4_000  # idle links send one at least so often
PEER_SILENCE_MS: Final = 10_000  # without a heartbeat: reconnect
HANDSHAKE_TIMEOUT_MS: Final = 10_000
CLIENT_IDLE_MS: Final = 600_000  # a client without a word so long dials again when it has one

# Execution
STATE_BUCKETS: Final = 65_536  # leaves of the state tree
MAX_KEY_BYTES: Final = 512
MAX_KV_KEY_BYTES: Final = 256  # of the kv app
MAX_VALUE_BYTES: Final = 128 * 1024
MAX_QUERY_REPLY_BYTES: Final = 256 * 1024
MAX_QUERY_ITEMS: Final = 500  # rows of one reply; 500 of the longest names fit
MAX_TEXT_BYTES: Final = 32 * 1024  # one message of a room, in UTF-8
MAX_BUCKET_BYTES: Final = 64 * 1024 * 1024  # placement is secret, so none gets near it
STATE_CACHE_BYTES: Final = 128 * 1024 * 1024  # decoded buckets kept in memory
MEMBER_CACHE_BYTES: Final = 32 * 1024 * 1024  # members' numbers kept decoded between commits
KEPT_CHECKPOINTS: Final = 16  # intervals of which receipts are given; the oldest make room
MAX_RECEIPT_BYTES: Final = 16 * 1024 * 1024  # a genesis, and thousands of epoch records
READ_PATIENCE_MS: Final = 5_000  # how long a read waits for the commit that it must not precede
MAX_OPEN_CHECKPOINTS: Final = 16  # checkpoints that may wait for votes; the oldest are given up

# Storage
DEFAULT_MAP_BYTES: Final = 16 * 1024 * 1024 * 1024  # address space, not disk
MAX_PRUNE_RECORDS: Final = 1024  # deletions in one transaction, so that commits are not held up
JOURNAL_BYTES: Final = 64 * 1024 * 1024  # changed buckets that wait for their turn in the file
READ_CHUNK_RECORDS: Final = 4096  # records opened by one call of the AEAD
READ_CHUNK_BYTES: Final = 8 * 1024 * 1024
LOG_CHUNK_BYTES: Final = 128 * 1024  # of blocks, at any time: a peer may ask for many
LOG_RETAINED_ROUNDS: Final = 20_000  # of an epoch, and of the one before: blocks for late peers
EVICTION_ROUNDS: Final = LOG_RETAINED_ROUNDS  # a seat further behind finds no peer with its log
LOG_RETAINED_COMMITS: Final = 200_000  # commit records kept for status and late peers
