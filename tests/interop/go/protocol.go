// The bytes of docs/protocol.md: hashing, sealing, sessions, events. Section numbers are that file's.

package main

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/blake2b-simd"
	"github.com/vmihailenco/msgpack/v5"
	"golang.org/x/crypto/chacha20poly1305"
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func u32(number int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(number)) }

func u64(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func random(size int) []byte {
	data := make([]byte, size)
	rand.Read(data)
	return data
}

// 1. Notation

func pack(value any) []byte {
	var buffer bytes.Buffer
	encoder := msgpack.NewEncoder(&buffer)
	encoder.UseCompactInts(true)
	must(encoder.Encode(value))
	return buffer.Bytes()
}

func digest(domain string, parts ...[]byte) []byte { return keyed(domain, nil, parts...) }

func keyed(domain string, key []byte, parts ...[]byte) []byte {
	hash, err := blake2b.New(&blake2b.Config{Size: 32, Key: key, Person: []byte(domain)})
	must(err)
	hash.Write(join(parts...))
	return hash.Sum(nil)
}

func verify(key, signature, message []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}

// 2. Messages and their frames

func wrap(kind string, body ...any) []byte { return pack([]any{kind, 1, body}) }

type message struct {
	_msgpack struct{} `msgpack:",as_array"`
	Kind     string
	Version  int
	Body     msgpack.RawMessage
}

func frame(data []byte) []byte { return join(u32(len(data)), data) }

// 3. Tickets

type ticket struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Network   []byte
	Name      string
	Role      string
	Simulated bool
	Record    []byte
	Addresses []string
	Secret    []byte
	ExpiresMs uint64
	Purpose   string // "group" or "mesh"
}

func parseTicket(text string) (*ticket, error) {
	compact, found := strings.CutPrefix(strings.Join(strings.Fields(text), ""), "ccp2p1")
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	data, err := encoding.DecodeString(strings.ToUpper(compact))
	if err != nil || !found || len(data) < 4 {
		return nil, errors.New("this is no ticket")
	}
	body, check := data[:len(data)-4], data[len(data)-4:]
	if !bytes.Equal(digest("ccp2p.ticket", body)[:4], check) {
		return nil, errors.New("the ticket is cut short or altered")
	}
	var parsed ticket
	return &parsed, msgpack.Unmarshal(body, &parsed)
}

// 5. Sessions

// A place is where a session is valid.
type place struct {
	network []byte
	epoch   uint64
	aead    string
}

func (where place) associated(purpose string, names ...[]byte) []byte {
	return join([]byte(purpose), where.network, u64(where.epoch), join(names...))
}

func (where place) openingInfo() []byte {
	return join(u32(13), []byte("ccp2p session"), where.associated("open"))
}

// The opening of a session, from the inside.
type agreed struct {
	_msgpack struct{} `msgpack:",as_array"`
	Key      []byte
	Invite   []byte
}

func sealOpening(where place, epochKey []byte, inside agreed) ([]byte, error) {
	recipient, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(epochKey)
	if err != nil {
		return nil, err
	}
	info := where.openingInfo()
	return hpke.Seal(recipient, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, pack(&inside))
}

func openOpening(where place, secret, opening []byte) (inside agreed, err error) {
	recipient, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(secret)
	if err != nil {
		return inside, err
	}
	info := where.openingInfo()
	data, err := hpke.Open(recipient, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, opening)
	if err != nil {
		return inside, err
	}
	return inside, msgpack.Unmarshal(data, &inside)
}

func cipherOf(algorithm string, key []byte) (cipher.AEAD, error) {
	if algorithm != "xchacha20" {
		return nil, fmt.Errorf("no Go library for %s is in use here", algorithm)
	}
	return chacha20poly1305.NewX(key)
}

func seal(algorithm string, key, plaintext, associated, nonce []byte) []byte {
	aead, err := cipherOf(algorithm, key)
	must(err)
	if nonce == nil {
		nonce = random(aead.NonceSize())
	}
	return aead.Seal(bytes.Clone(nonce), nonce, plaintext, associated)
}

func unseal(algorithm string, key, sealed, associated []byte) ([]byte, error) {
	aead, err := cipherOf(algorithm, key)
	if err != nil || len(sealed) < aead.NonceSize() {
		return nil, errors.Join(err, errors.New("nothing sealed"))
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], associated)
}

func pad(data []byte) []byte {
	for _, bucket := range []int{256, 1024, 4096, 16384, 65536} {
		if len(data)+4 <= bucket {
			return join(u32(len(data)), data, make([]byte, bucket-len(data)-4))
		}
	}
	panic("larger than an event may be")
}

type session struct {
	place
	id, opening            []byte
	tagKey, upKey, downKey []byte
}

func newSession(where place, key, opening []byte) *session {
	return &session{
		place:   where,
		id:      digest("ccp2p.session", opening[:32])[:16],
		opening: opening,
		tagKey:  keyed("ccp2p.session", key, []byte("tag")),
		upKey:   keyed("ccp2p.session", key, []byte("up")),
		downKey: keyed("ccp2p.session", key, []byte("down")),
	}
}

func (s *session) tagOf(sequence uint64) []byte {
	return keyed("ccp2p.envelope", s.tagKey, u64(sequence))[:16]
}

// 6. Events

type event struct {
	_msgpack  struct{} `msgpack:",as_array"`
	Member    []byte
	Sequence  uint64
	Body      []byte
	Signature []byte
}

type envelope struct {
	_msgpack struct{} `msgpack:",as_array"`
	Epoch    uint64
	Tag      []byte
	Opening  []byte
	Sealed   []byte
}

type outcome struct {
	_msgpack struct{} `msgpack:",as_array"`
	Event    []byte
	Status   string
	Commit   uint64
	Position uint64
	Body     []byte
}

func eventID(network, member []byte, sequence uint64, body []byte) []byte {
	return digest("ccp2p.event", network, member, u64(sequence), body)
}

// The envelope of a signed event, and its event's id. `nonce` is nil but for vectors.
func (s *session) envelope(
	key ed25519.PrivateKey, sequence uint64, body, opening, nonce []byte,
) (*envelope, []byte) {
	member := []byte(key.Public().(ed25519.PublicKey))
	id := eventID(s.network, member, sequence, body)
	signature := ed25519.Sign(key, join([]byte("ccp2p.event"), id))
	inside := pack(&event{Member: member, Sequence: sequence, Body: body, Signature: signature})
	tag := s.tagOf(sequence)
	sealed := seal(s.aead, s.upKey, pad(inside), s.associated("event", tag), nonce)
	return &envelope{Epoch: s.epoch, Tag: tag, Opening: opening, Sealed: sealed}, id
}

func (s *session) openOutcome(tag, sealed []byte) (*outcome, error) {
	data, err := unseal(s.aead, s.downKey, sealed, s.associated("outcome", tag))
	if err != nil {
		return nil, err
	}
	var opened outcome
	return &opened, msgpack.Unmarshal(data, &opened)
}

// 7. Reads

func (s *session) sealQuestion(number uint64, question any, nonce []byte) []byte {
	associated := s.associated("query", s.id, u64(number))
	return seal(s.aead, s.upKey, pad(pack([]any{question})), associated, nonce)
}

type result struct {
	_msgpack struct{} `msgpack:",as_array"`
	Refusal  string
	Answer   []byte
}

func (s *session) openAnswer(number uint64, sealed []byte) ([]byte, error) {
	data, err := unseal(s.aead, s.downKey, sealed, s.associated("reply", s.id, u64(number)))
	if err != nil {
		return nil, err
	}
	var opened result
	if err := msgpack.Unmarshal(data, &opened); err != nil {
		return nil, err
	}
	if opened.Refusal != "" {
		return nil, fmt.Errorf("the network refuses the read: %s", opened.Refusal)
	}
	return opened.Answer, nil
}
