// Recomputes the published vectors, but for those of AEGIS-256.

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/vmihailenco/msgpack/v5"
)

// Bytes that JSON shows in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(text)
	*h = decoded
	return err
}

type vectorFile struct {
	Hashing []struct {
		Person            string
		Key, Data, Digest hexBytes
	}
	Genesis struct{ Bytes, Network hexBytes }
	Ticket  struct {
		Text, Name              string
		Addresses               []string
		Network, Record, Secret hexBytes
	}
	Evidence struct {
		Network, Node, Sealing, Nonce hexBytes
		ReportData                    hexBytes `json:"report_data"`
	}
	Records []struct{ Bytes, Digest hexBytes }
	Welcome struct {
		Nonce, Remote, Frame hexBytes
		EpochKey             hexBytes `json:"epoch_key"`
	}
	Hpke struct {
		PrivateKey hexBytes `json:"private_key"`
	}
	Session struct {
		Network, Key, Invite, Opening, Session hexBytes
		Epoch                                  uint64
		Tags                                   []hexBytes
	}
	Event struct {
		Seed, Body, ID hexBytes
		Sequence       uint64
	}
	Envelopes []struct {
		Aead                     string
		Nonce, Envelope, Outcome hexBytes
		FirstBody                hexBytes `json:"first_body"`
		FirstEnvelope            hexBytes `json:"first_envelope"`
		SealedOutcome            hexBytes `json:"sealed_outcome"`
		QueryNumber              uint64   `json:"query_number"`
		Question, Answer         hexBytes
		SealedQuestion           hexBytes `json:"sealed_question"`
		SealedAnswer             hexBytes `json:"sealed_answer"`
	}
	Rooms  struct{ Post hexBytes }
	Frames struct{ Hello, Submit hexBytes }
}

type checker struct {
	Checked  int      `json:"checked"`
	Skipped  []string `json:"skipped"`
	problems []string
}

func (c *checker) same(name string, made, published []byte) {
	c.Checked++
	if !bytes.Equal(made, published) {
		c.problems = append(c.problems, fmt.Sprintf("%s: %x is not %x", name, made, published))
	}
}

func (c *checker) holds(name string, holds bool) {
	c.Checked++
	if !holds {
		c.problems = append(c.problems, name)
	}
}

func checkVectors(path string) (any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file vectorFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	check := &checker{Skipped: []string{}}
	check.basics(&file)
	check.welcome(&file)
	check.sessions(&file)
	if len(check.problems) > 0 {
		return nil, fmt.Errorf("%d of %d: %q", len(check.problems), check.Checked, check.problems)
	}
	return check, nil
}

func (c *checker) basics(file *vectorFile) {
	for _, one := range file.Hashing {
		made := digest(one.Person, one.Data)
		if len(one.Key) > 0 {
			made = keyed(one.Person, one.Key, one.Data)
		}
		c.same("hashing", made, one.Digest)
	}
	c.same("genesis", digest("ccp2p.genesis", file.Genesis.Bytes), file.Genesis.Network)
	invited, err := parseTicket(file.Ticket.Text)
	must(err)
	c.same("ticket", invited.Network, file.Ticket.Network)
	c.same("ticket", invited.Record, file.Ticket.Record)
	c.same("ticket", invited.Secret, file.Ticket.Secret)
	c.holds("ticket", invited.Name == file.Ticket.Name &&
		invited.Addresses[0] == file.Ticket.Addresses[0] && invited.Simulated)
	evidence := &file.Evidence
	bound := sha512.Sum512(join([]byte("ccp2p.reportdata"), evidence.Network, evidence.Node,
		evidence.Sealing, evidence.Nonce))
	c.same("report data", bound[:], evidence.ReportData)
	for _, one := range file.Records {
		c.same("record", digest("ccp2p.epoch", one.Bytes), one.Digest)
	}
	c.same("post", pack([]any{[]any{"post", "lobby", "Hello"}}), file.Rooms.Post)
	hello := wrap("hello", []byte(file.Welcome.Nonce), []byte{}, []byte(file.Genesis.Network))
	c.same("hello", frame(hello), file.Frames.Hello)
	c.same("submit", frame(wrap("submit", [][]byte{[]byte("an envelope")})), file.Frames.Submit)
}

// The welcome is accepted, from the founding on or from a pinned record, and no lie in it is.
func (c *checker) welcome(file *vectorFile) {
	var heard message
	must(msgpack.Unmarshal(file.Welcome.Frame, &heard))
	shown := func() *welcome {
		var fresh welcome
		must(msgpack.Unmarshal(heard.Body, &fresh))
		return &fresh
	}
	truth := expectation{
		file.Genesis.Network, file.Welcome.Remote, file.Welcome.Nonce, file.Records[0].Digest, true,
	}
	for from := -1; from < len(file.Records); from++ {
		known, honest := truth, shown()
		known.pinned = nil
		if from >= 0 {
			known.pinned = file.Records[from].Digest
		}
		honest.Records = honest.Records[max(0, from):]
		trusted, err := verifyWelcome(honest, known)
		c.holds(fmt.Sprintf("the true welcome: %v", err), err == nil)
		if err == nil {
			c.same("epoch key", trusted.epochKey, file.Welcome.EpochKey)
		}
	}
	lie := func(name string, told *welcome, known expectation) {
		_, err := verifyWelcome(told, known)
		c.holds("a false "+name+" is accepted", err != nil)
	}
	for _, part := range []*[]byte{&truth.network, &truth.remote, &truth.nonce, &truth.pinned} {
		(*part)[5] ^= 1
		lie("expectation", shown(), truth)
		(*part)[5] ^= 1
	}
	unwilling := truth
	unwilling.allowSimulated = false
	lie("TEE", shown(), unwilling)
	told := shown()
	told.Policy = ""
	lie("policy", told, truth)
	truth.pinned = nil
	told = shown()
	parts := [][]byte{told.Genesis, told.Node, told.Sealing, told.Evidence}
	for _, part := range append(parts, told.Records...) {
		for at := 0; at < len(part); at += 16 {
			part[at] ^= 1
			lie(fmt.Sprintf("byte %d", at), told, truth)
			part[at] ^= 1
		}
	}
	told.Records = told.Records[1:]
	lie("chain", told, truth)
	told.Records = nil
	lie("chain", told, truth)
}

func (c *checker) sessions(file *vectorFile) {
	for _, one := range file.Envelopes {
		where := place{file.Session.Network, file.Session.Epoch, one.Aead}
		inside, err := openOpening(where, file.Hpke.PrivateKey, file.Session.Opening)
		must(err)
		c.same("session key", inside.Key, file.Session.Key)
		c.same("invite", inside.Invite, file.Session.Invite)
		if _, err := cipherOf(one.Aead, inside.Key); err != nil {
			c.Skipped = append(c.Skipped, one.Aead)
			continue
		}
		s := newSession(where, inside.Key, file.Session.Opening)
		c.same("session", s.id, file.Session.Session)
		for number, tag := range file.Session.Tags {
			c.same("tag", s.tagOf(uint64(number)), tag)
		}
		key := ed25519.NewKeyFromSeed(file.Event.Seed)
		first, _ := s.envelope(key, 0, one.FirstBody, s.opening, one.Nonce)
		c.same("first envelope", pack(first), one.FirstEnvelope)
		second, id := s.envelope(key, file.Event.Sequence, file.Event.Body, []byte{}, one.Nonce)
		c.same("event id", id, file.Event.ID)
		c.same("envelope", pack(second), one.Envelope)
		told, err := s.openOutcome(second.Tag, one.SealedOutcome)
		must(err)
		c.same("outcome", pack(told), one.Outcome)
		var question []any
		must(msgpack.Unmarshal(one.Question, &question))
		c.same("question", s.sealQuestion(one.QueryNumber, question[0], one.Nonce), one.SealedQuestion)
		answer, err := s.openAnswer(one.QueryNumber, one.SealedAnswer)
		must(err)
		c.same("answer", pack(&result{Answer: answer}), one.Answer)
	}
}
