// A connection to one node, and a member that talks over it: sections 2, 6, 7 and 8 of
// docs/protocol.md.

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/vmihailenco/msgpack/v5"
)

const (
	protocolID    = "/ccp2p/member/1"
	maxFrameBytes = 1024 * 1024
)

func newHost() (host.Host, error) {
	return libp2p.New(
		libp2p.NoListenAddrs,
		libp2p.DisableRelay(),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(websocket.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
	)
}

// One question at a time: answers to earlier ones that come late are passed over.
type connection struct {
	stream network.Stream
	reader *bufio.Reader
	remote []byte
	number uint64
}

func dial(ctx context.Context, from host.Host, address string) (*connection, error) {
	target, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	if err := from.Connect(ctx, *target); err != nil {
		return nil, err
	}
	stream, err := from.NewStream(ctx, target.ID, protocolID)
	if err != nil {
		return nil, err
	}
	remote, err := stream.Conn().RemotePublicKey().Raw()
	number := rand.Uint64N(1 << 48)
	return &connection{stream, bufio.NewReader(stream), remote, number}, err
}

func (c *connection) send(message []byte) error {
	_, err := c.stream.Write(frame(message))
	return err
}

// The body of the next message of one of these kinds, and its kind.
func (c *connection) receive(kinds ...string) (string, []byte, error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(c.reader, head[:]); err != nil {
			return "", nil, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrameBytes {
			return "", nil, errors.New("a frame that is too large")
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(c.reader, data); err != nil {
			return "", nil, err
		}
		if size == 0 {
			continue // a heartbeat
		}
		var heard message
		if err := msgpack.Unmarshal(data, &heard); err != nil {
			return "", nil, err
		}
		if heard.Version != 1 {
			return "", nil, fmt.Errorf("%s has the unknown version %d", heard.Kind, heard.Version)
		}
		if slices.Contains(kinds, heard.Kind) {
			return heard.Kind, heard.Body, nil
		}
	}
}

func (c *connection) hello(nonce, pinned, network []byte) (*welcome, error) {
	if err := c.send(wrap("hello", nonce, pinned, network)); err != nil {
		return nil, err
	}
	kind, body, err := c.receive("welcome", "refused")
	if err != nil {
		return nil, err
	}
	if kind == "refused" {
		return nil, refusal(body)
	}
	var shown welcome
	return &shown, msgpack.Unmarshal(body, &shown)
}

type outcomes struct {
	_msgpack struct{} `msgpack:",as_array"`
	Outcomes []struct {
		_msgpack struct{} `msgpack:",as_array"`
		Tag      []byte
		Sealed   []byte
	}
}

type refused struct {
	_msgpack struct{} `msgpack:",as_array"`
	Refusals []struct {
		_msgpack struct{} `msgpack:",as_array"`
		Tag      []byte
		Code     string
		Message  string
	}
}

func refusal(body []byte) error {
	var why refused
	if err := msgpack.Unmarshal(body, &why); err != nil {
		return err
	}
	if len(why.Refusals) == 0 {
		return errors.New("refused without a reason")
	}
	return fmt.Errorf("%s: %s", why.Refusals[0].Code, why.Refusals[0].Message)
}

func (c *connection) submit(s *session, sent *envelope, id []byte) (*outcome, error) {
	if err := c.send(wrap("submit", [][]byte{pack(sent)})); err != nil {
		return nil, err
	}
	for {
		kind, body, err := c.receive("outcomes", "refused")
		if err != nil {
			return nil, err
		}
		if kind == "refused" {
			return nil, refusal(body)
		}
		var told outcomes
		if err := msgpack.Unmarshal(body, &told); err != nil {
			return nil, err
		}
		for _, one := range told.Outcomes {
			if !bytes.Equal(one.Tag, sent.Tag) {
				continue
			}
			opened, err := s.openOutcome(one.Tag, one.Sealed)
			if err == nil && !bytes.Equal(opened.Event, id) {
				err = errors.New("another event's outcome")
			}
			return opened, err
		}
	}
}

type reply struct {
	_msgpack struct{} `msgpack:",as_array"`
	Number   uint64
	Sealed   []byte
	Refusal  string
}

func (c *connection) read(s *session, after uint64, body []byte) ([]byte, error) {
	c.number++
	sealed := s.sealQuestion(c.number, []any{"read", after, body}, nil)
	if err := c.send(wrap("query", c.number, s.id, sealed)); err != nil {
		return nil, err
	}
	for {
		_, data, err := c.receive("reply")
		if err != nil {
			return nil, err
		}
		var heard reply
		if err := msgpack.Unmarshal(data, &heard); err != nil {
			return nil, err
		}
		if heard.Number != c.number {
			continue
		}
		if heard.Refusal != "" {
			return nil, fmt.Errorf("the node refuses the read: %s", heard.Refusal)
		}
		return s.openAnswer(c.number, heard.Sealed)
	}
}

// A member: its key, its session, its numbers.
type member struct {
	connection *connection
	session    *session
	key        ed25519.PrivateKey
	last, seen uint64
}

func (m *member) open() error {
	first, id := m.session.envelope(m.key, 0, random(16), m.session.opening, nil)
	told, err := m.connection.submit(m.session, first, id)
	if err != nil {
		return err
	}
	if told.Status != "ok" {
		return fmt.Errorf("refused: %s", told.Body)
	}
	m.last, m.seen = binary.BigEndian.Uint64(told.Body), told.Commit
	return nil
}

// Order an event of the app; codes that are `accepted` are no errors.
func (m *member) submit(accepted string, operation ...any) (*outcome, error) {
	m.last++
	body := pack([]any{operation})
	sent, id := m.session.envelope(m.key, m.last, body, []byte{}, nil)
	told, err := m.connection.submit(m.session, sent, id)
	if err != nil {
		return nil, err
	}
	m.seen = max(m.seen, told.Commit)
	if told.Status != "ok" && string(told.Body) != accepted {
		return nil, fmt.Errorf("%s: %s", told.Status, told.Body)
	}
	return told, nil
}

// 8. Rooms

type roomMessage struct {
	_msgpack struct{} `msgpack:",as_array"`
	Position uint64   `json:"position"`
	Member   []byte   `json:"-"`
	Name     string   `json:"name"`
	Text     string   `json:"text"`
	TimeMs   uint64   `json:"-"`
}

type messages struct {
	_msgpack struct{} `msgpack:",as_array"`
	Messages []roomMessage
	Next     uint64
	End      uint64
}

func (m *member) enter(room, name string) error {
	told, err := m.submit("room-exists", "create", room, false, name)
	if err == nil && told.Status != "ok" {
		_, err = m.submit("", "join", room, name)
	}
	return err
}

func (m *member) readAll(room string) ([]roomMessage, error) {
	var found []roomMessage
	for page := (messages{End: 1}); page.Next < page.End; {
		question := pack([]any{[]any{"read", room, page.Next, 100}})
		answer, err := m.connection.read(m.session, m.seen, question)
		if err != nil {
			return nil, err
		}
		if err := msgpack.Unmarshal(answer, &page); err != nil {
			return nil, err
		}
		found = append(found, page.Messages...)
	}
	return found, nil
}
