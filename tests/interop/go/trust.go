// Section 4 of docs/protocol.md: what a client checks before it trusts a node.

package main

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

type welcome struct {
	_msgpack        struct{} `msgpack:",as_array"`
	Genesis         []byte
	Records         [][]byte
	Node            []byte
	Sealing         []byte
	Evidence        []byte
	NodeAddresses   []string
	ClientAddresses []string
	Policy          string
}

type genesis struct {
	_msgpack   struct{} `msgpack:",as_array"`
	Name       string
	Kind       string
	App        string
	Policy     string
	Parameters parameters
	Governors  [][]byte
	Threshold  int
	FirstNode  []byte
	Founders   int
	MemberInvite,
	NodeInvite,
	FounderInvite []byte
	CreatedMs uint64
}

type parameters struct {
	_msgpack           struct{} `msgpack:",as_array"`
	CoinLength         int
	CoinDelay          int
	CommitWaves        []int
	SlotsPerRound      int
	GcDepth            int
	MinRoundDelayMs    int
	MaxRoundDelayMs    int
	CheckpointInterval int
	Aead               string
	AtRest             string
	Resume             string
	Protocol           int
	CommitteeMax       int
	RotationIntervalMs int
	SubnetSeats        int
}

// The policy's sections that matter to simulated networks.
type policy struct {
	Simulated *struct {
		Measurements   []string `toml:"measurements"`
		AnyMeasurement bool     `toml:"any_measurement"`
		Vendors        []string `toml:"vendors"`
		MinimumTcb     int      `toml:"minimum_tcb"`
		AllowDebug     bool     `toml:"allow_debug"`
	} `toml:"simulated"`
	Caps struct {
		Vendor string `toml:"vendor"`
	} `toml:"caps"`
}

// A signed body: of evidence, and of the certificate of its chip.
type signed struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Body      []byte
	Signature []byte
}

type bundle struct {
	_msgpack     struct{} `msgpack:",as_array"`
	Tee          string
	Evidence     []byte
	Endorsements [][]byte
}

type certificate struct {
	_msgpack struct{} `msgpack:",as_array"`
	Chip     []byte
	Vendor   string
}

type report struct {
	_msgpack    struct{} `msgpack:",as_array"`
	Magic       string
	Chip        []byte
	Measurement []byte
	ReportData  []byte
	Debug       bool
	Tcb         int
}

// What the client knows: the ticket's network, the key that Noise has shown, its own nonce, and the
// digest of a known record (or nothing).
type expectation struct {
	network, remote, nonce, pinned []byte
	allowSimulated                 bool
}

type trusted struct {
	place
	node, epochKey []byte
}

func require(holds bool, problem string) error {
	if holds {
		return nil
	}
	return fmt.Errorf("the node is not to be trusted: %s", problem)
}

func verifyWelcome(shown *welcome, expected expectation) (*trusted, error) {
	var what genesis
	err := errors.Join(
		require(bytes.Equal(digest("ccp2p.genesis", shown.Genesis), expected.network),
			"another network"),
		require(bytes.Equal(shown.Node, expected.remote), "another key than the connection showed"),
		msgpack.Unmarshal(shown.Genesis, &what),
		require(what.Parameters.Protocol == 1, "a protocol that this client does not know"),
	)
	if err != nil {
		return nil, err
	}
	newest, err := verifyRecords(shown.Records, &what, expected)
	if err != nil {
		return nil, err
	}
	inForce := cmp.Or(shown.Policy, what.Policy)
	rules, err := readPolicy(inForce)
	first, problem := readPolicy(what.Policy)
	if err = errors.Join(err, problem); err != nil {
		return nil, err
	}
	err = errors.Join(
		require(bytes.Equal(policyDigest(inForce), newest.PolicyDigest),
			"another policy than is in force"),
		require(rules.Simulated != nil && first.Simulated != nil,
			"hardware evidence, which this example cannot verify"),
		require(expected.allowSimulated, "simulated TEEs are NOT confidential"),
	)
	if err != nil {
		return nil, err
	}
	bound := sha512.Sum512(join([]byte("ccp2p.reportdata"), expected.network, shown.Node,
		shown.Sealing, expected.nonce))
	if err := verifySimulated(shown.Evidence, rules, bound[:]); err != nil {
		return nil, err
	}
	for _, seat := range newest.Seats {
		if bytes.Equal(seat.Node, shown.Node) && !bytes.Equal(seat.Sealing, shown.Sealing) {
			return nil, require(false, "another sealing key than its seat")
		}
	}
	where := place{expected.network, newest.Epoch, what.Parameters.Aead}
	return &trusted{where, shown.Node, newest.EpochKey}, nil
}

// 4.3 Evidence of a simulated TEE
func verifySimulated(data []byte, rules *policy, bound []byte) error {
	rootSeed := digest("ccp2p.simulated", []byte("published: NOT confidential"))
	root := ed25519.NewKeyFromSeed(rootSeed).Public().(ed25519.PublicKey)
	var shown bundle
	var endorsement, evidence signed
	var chip certificate
	var said report
	err := msgpack.Unmarshal(data, &shown)
	if err != nil || shown.Tee != "simulated" || len(shown.Endorsements) != 1 {
		return errors.Join(err, errors.New("not simulated evidence"))
	}
	err = errors.Join(
		msgpack.Unmarshal(shown.Endorsements[0], &endorsement),
		msgpack.Unmarshal(endorsement.Body, &chip),
		msgpack.Unmarshal(shown.Evidence, &evidence),
		msgpack.Unmarshal(evidence.Body, &said),
	)
	if err != nil {
		return err
	}
	accepted := rules.Simulated
	vendors := accepted.Vendors
	return errors.Join(
		require(verify(root, endorsement.Signature,
			join([]byte("ccp2p.simulated.chip"), endorsement.Body)), "an unknown chip"),
		require(said.Magic == "ccp2p-simulated" && bytes.Equal(said.Chip, chip.Chip),
			"another chip"),
		require(verify(chip.Chip, evidence.Signature,
			join([]byte("ccp2p.simulated.report"), evidence.Body)), "forged evidence"),
		require(bytes.Equal(said.ReportData, bound), "evidence that is bound to something else"),
		require(accepted.AnyMeasurement ||
			slices.Contains(accepted.Measurements, hex.EncodeToString(said.Measurement)),
			"a program that the policy does not accept"),
		require(len(vendors) == 0 || slices.Contains(vendors, chip.Vendor), "a vendor not accepted"),
		require(accepted.AllowDebug || !said.Debug, "debug is on"),
		require(said.Tcb >= accepted.MinimumTcb, "its TCB is too low"),
	)
}
