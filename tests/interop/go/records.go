// Section 4.4 of docs/protocol.md: the chain of epoch records.

package main

import (
	"bytes"
	"errors"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"
	"github.com/vmihailenco/msgpack/v5"
)

type seat struct {
	_msgpack struct{} `msgpack:",as_array"`
	Node     []byte
	Sealing  []byte
	Platform []byte
	Vendor   string
}

type record struct {
	_msgpack     struct{} `msgpack:",as_array"`
	Network      []byte
	Epoch        uint64
	Predecessor  []byte
	Seats        []seat
	PolicyDigest []byte
	Governors    [][]byte
	Threshold    int
	Measurements [][]byte
	CoinAnchor   []byte
	EpochKey     []byte
	CloseCommit  uint64
	CloseChain   []byte
	StateRoot    []byte
	OutcomesRoot []byte
	TimeMs       uint64
	Protocol     int
	Amendment    []byte
	Recovery     *recovery
	Shares       [][]byte
}

type recovery struct {
	_msgpack struct{} `msgpack:",as_array"`
	Commit   uint64
	Chain    []byte
	Fallen   []seat
}

type amendment struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Network   []byte
	Epoch     uint64
	Policy    string
	Governors [][]byte
	Threshold int
	Evict     [][]byte
}

// By whom: the index of a seat, or of a governor.
type signature struct {
	_msgpack struct{} `msgpack:",as_array"`
	Index    int
	Bytes    []byte
}

type signedRecord struct {
	_msgpack   struct{} `msgpack:",as_array"`
	Record     []byte
	Signatures []signature
	Amendment  []byte
	Approvals  []signature
}

// A record that was read, its digest, and what comes with it; `amended` is empty without an amendment.
type link struct {
	record
	signedRecord
	digest  []byte
	amended amendment
}

// The newest record, of one page: this example does not ask for more of a very long chain.
func verifyRecords(chain [][]byte, what *genesis, expected expectation) (*record, error) {
	var newest *link
	isPinned := len(expected.pinned) == 0
	for _, data := range chain {
		next, err := readLink(data)
		if err != nil {
			return nil, err
		}
		err = require(bytes.Equal(next.Network, expected.network), "a record of another network")
		if newest != nil && next.Recovery != nil {
			err = errors.Join(err, verifyFollows(next, newest), verifyRecovery(next, newest))
		} else if newest != nil {
			changed, problem := verifyAmendment(next, newest)
			problem = errors.Join(problem, verifyFollows(next, newest))
			err = errors.Join(err, problem, verifySuccessor(next, newest, changed))
		} else if !bytes.Equal(next.digest, expected.pinned) {
			err = errors.Join(err, verifyRecordZero(next, what))
		}
		if err != nil {
			return nil, err
		}
		isPinned = isPinned || bytes.Equal(next.digest, expected.pinned)
		newest = next
	}
	if newest == nil || !isPinned {
		return nil, require(false, "no records, older ones than ours, or of another history")
	}
	return &newest.record, nil
}

func policyDigest(text string) []byte { return digest("ccp2p.policy", []byte(text)) }

func readPolicy(text string) (*policy, error) {
	var rules policy
	_, err := toml.Decode(text, &rules)
	return &rules, err
}

func readLink(data []byte) (*link, error) {
	var next link
	if err := msgpack.Unmarshal(data, &next.signedRecord); err != nil {
		return nil, err
	}
	next.digest = digest("ccp2p.epoch", next.Record)
	if len(next.signedRecord.Amendment) > 0 {
		if err := msgpack.Unmarshal(next.signedRecord.Amendment, &next.amended); err != nil {
			return nil, err
		}
	}
	return &next, msgpack.Unmarshal(next.Record, &next.record)
}

func verifyRecordZero(first *link, what *genesis) error {
	if len(first.Seats) != what.Founders || len(first.Signatures) != what.Founders {
		return require(false, "not as many seats and signatures as founders")
	}
	zero := make([]byte, 32)
	for _, founder := range first.Seats {
		if len(founder.Platform) == 0 {
			return require(false, "a founder without a hardware id")
		}
	}
	rules, err := readPolicy(what.Policy)
	if err != nil {
		return err
	}
	signers, err := countSeats(first, first.Seats)
	return errors.Join(
		err,
		require(bytes.Equal(first.Seats[0].Node, what.FirstNode), "the first seat is another node"),
		require(bytes.Equal(first.PolicyDigest, policyDigest(what.Policy)) &&
			reflect.DeepEqual(first.Governors, what.Governors) &&
			first.Threshold == what.Threshold && len(first.record.Amendment) == 0 &&
			first.Recovery == nil &&
			first.Protocol == what.Parameters.Protocol && first.TimeMs == what.CreatedMs &&
			first.Epoch == 0 && first.CloseCommit == 0 &&
			bytes.Equal(first.Predecessor, zero) && bytes.Equal(first.CloseChain, zero) &&
			bytes.Equal(first.StateRoot, zero) && bytes.Equal(first.OutcomesRoot, zero),
			"record 0 does not follow from the genesis"),
		verifySeats(first.Seats),
		verifyVendors(first.Seats, rules.Caps.Vendor),
		require(signers == len(first.Seats), "record 0 is not signed by all founders"),
	)
}

// What governors of the epoch before changed; without an amendment what there was.
func verifyAmendment(next, before *link) (amendment, error) {
	changed := amendment{Governors: before.Governors, Threshold: before.Threshold}
	data := next.signedRecord.Amendment
	if len(next.record.Amendment)+len(data)+len(next.Approvals) == 0 {
		return changed, nil
	}
	said := &next.amended
	name := digest("ccp2p.amendment", data)
	message := join([]byte("ccp2p.amendment"), said.Network, name)
	agreed, err := countSigners(next.Approvals, before.Governors, message)
	changed.Policy, changed.Evict = said.Policy, said.Evict
	if len(said.Governors) > 0 {
		changed.Governors, changed.Threshold = said.Governors, said.Threshold
	}
	return changed, errors.Join(
		err,
		require(bytes.Equal(next.record.Amendment, name), "another amendment than it names"),
		require(bytes.Equal(said.Network, before.Network) && said.Epoch == before.Epoch,
			"an amendment of elsewhere"),
		require(agreed >= max(1, before.Threshold), "an amendment without enough governors"),
		require(len(said.Governors) == 0 || 2*said.Threshold > len(said.Governors),
			"too few governors rule"),
	)
}

func verifyFollows(next, before *link) error {
	return errors.Join(
		require(next.Epoch == before.Epoch+1 && bytes.Equal(next.Predecessor, before.digest) &&
			next.TimeMs >= before.TimeMs && !bytes.Equal(next.CoinAnchor, before.CoinAnchor) &&
			!bytes.Equal(next.EpochKey, before.EpochKey),
			"a record that does not follow from the one before"),
		verifySeats(next.Seats),
	)
}

func verifySuccessor(next, before *link, changed amendment) error {
	wanted := before.PolicyDigest
	if changed.Policy != "" {
		wanted = policyDigest(changed.Policy)
	}
	for _, one := range next.Seats {
		for _, evicted := range changed.Evict {
			if bytes.Equal(one.Node, evicted) {
				return require(false, "a seat for an evicted node")
			}
		}
	}
	signers, err := countSeats(next, before.Seats)
	faulty := (len(before.Seats) - 1) / 3
	return errors.Join(
		err,
		require(bytes.Equal(next.PolicyDigest, wanted) &&
			reflect.DeepEqual(next.Governors, changed.Governors) &&
			next.Threshold == changed.Threshold, "a record that changes rules on its own"),
		require(signers >= len(before.Seats)-faulty, "a record that is not signed by a quorum"),
	)
}

func verifyRecovery(next, before *link) error {
	kept, fallen := []seat{}, []seat{}
	for place, one := range before.Seats {
		isSigner := func(by signature) bool { return by.Index == place }
		if slices.ContainsFunc(next.Signatures, isSigner) {
			kept = append(kept, one)
		} else {
			fallen = append(fallen, one)
		}
	}
	plan := next.record
	plan.CoinAnchor, plan.EpochKey = make([]byte, 32), make([]byte, 32)
	plan.Shares = [][]byte{}
	message := join([]byte("ccp2p.recovery"), digest("ccp2p.recovery", pack(&plan)))
	agreed, err := countSigners(next.Approvals, before.Governors, message)
	signers, problem := countSeats(next, before.Seats)
	return errors.Join(
		err, problem,
		require(signers == len(next.Seats) && signers > 0 && reflect.DeepEqual(kept, next.Seats),
			"a recovery that not all who go on signed"),
		require(bytes.Equal(pack(fallen), pack(next.Recovery.Fallen)) &&
			next.Recovery.Commit <= next.CloseCommit &&
			bytes.Equal(next.PolicyDigest, before.PolicyDigest) &&
			reflect.DeepEqual(next.Governors, before.Governors) &&
			next.Threshold == before.Threshold && next.Protocol == before.Protocol &&
			reflect.DeepEqual(next.Measurements, before.Measurements) &&
			len(next.record.Amendment)+len(next.signedRecord.Amendment) == 0,
			"a recovery that changes more than it may"),
		require(agreed >= max(1, before.Threshold), "a recovery without enough governors"),
	)
}

func countSeats(signed *link, seats []seat) (int, error) {
	keys := make([][]byte, len(seats))
	for index, one := range seats {
		keys[index] = one.Node
	}
	return countSigners(signed.Signatures, keys, join([]byte("ccp2p.epoch"), signed.digest))
}

// How many of the signatures, in ascending order of their keys, hold.
func countSigners(signatures []signature, keys [][]byte, message []byte) (int, error) {
	count, last := 0, -1
	for _, one := range signatures {
		if one.Index <= last || one.Index >= len(keys) {
			return 0, require(false, "impossible signers")
		}
		if verify(keys[one.Index], one.Bytes, message) {
			count++
		}
		last = one.Index
	}
	return count, nil
}

func verifySeats(seats []seat) error {
	nodes, platforms := map[string]bool{}, map[string]bool{}
	for _, one := range seats {
		nodes[string(one.Node)], platforms[string(one.Platform)] = true, true
	}
	return require(len(nodes) == len(seats) && len(platforms) == len(seats),
		"one platform with two votes")
}

func verifyVendors(seats []seat, vendorCap string) error {
	if vendorCap == "" || vendorCap == "none" || len(seats) < 2 {
		return nil
	}
	faulty := (len(seats) - 1) / 3
	most := len(seats) - 2*faulty - 1
	if vendorCap == "f" {
		most = faulty
	}
	held := map[string]int{}
	for _, one := range seats {
		held[one.Vendor]++
		if held[one.Vendor] > most {
			return require(false, "a vendor holds too many seats")
		}
	}
	return nil
}
