// A member of a network in Go, by docs/protocol.md: verifies a node, opens a session, posts to a room and
// reads it back.
//
//	echo '{"ticket": "ccp2p1...", "carrier": "tcp", "room": "lobby", "name": "go", "texts": ["Hello"]}' |
//	  interop talk
//	interop vectors vectors.json
//
// `carrier` is "tcp" or "ws"; `pause_s` (optional) waits before it talks. One JSON object tells what
// came of it.
package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

type wanted struct {
	Ticket  string   `json:"ticket"`
	Carrier string   `json:"carrier"`
	Room    string   `json:"room"`
	Name    string   `json:"name"`
	Texts   []string `json:"texts"`
	PauseS  int      `json:"pause_s"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var said any
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "talk":
		said, err = talk()
	case len(os.Args) == 3 && os.Args[1] == "vectors":
		said, err = checkVectors(os.Args[2])
	default:
		err = fmt.Errorf("usage: %s talk | vectors FILE", os.Args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	must(json.NewEncoder(os.Stdout).Encode(said))
}

func talk() (any, error) {
	var task wanted
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		return nil, err
	}
	invited, err := parseTicket(task.Ticket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	from, err := newHost()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	address := invited.Addresses[0]
	if task.Carrier == "ws" {
		address = strings.Replace(address, "/p2p/", "/ws/p2p/", 1)
	}
	to, err := dial(ctx, from, address)
	if err != nil {
		return nil, err
	}
	who, trusted, err := enterNetwork(to, invited)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(task.PauseS) * time.Second)
	if err := who.enter(task.Room, task.Name); err != nil {
		return nil, err
	}
	for _, text := range task.Texts {
		if _, err := who.submit("", "post", task.Room, text); err != nil {
			return nil, err
		}
	}
	found, err := who.readAll(task.Room)
	return map[string]any{
		"address": address, "network": hex.EncodeToString(trusted.network),
		"node": hex.EncodeToString(trusted.node), "epoch": trusted.epoch, "aead": trusted.aead,
		"messages": found,
	}, err
}

// Verify the node, then open a session as a new member.
func enterNetwork(to *connection, invited *ticket) (*member, *trusted, error) {
	nonce := random(32)
	shown, err := to.hello(nonce, invited.Record, invited.Network)
	if err != nil {
		return nil, nil, err
	}
	trusted, err := verifyWelcome(shown, expectation{
		invited.Network, to.remote, nonce, invited.Record, true,
	})
	if err != nil {
		return nil, nil, err
	}
	key := random(32)
	if _, err := cipherOf(trusted.aead, key); err != nil {
		return nil, nil, err
	}
	inside := agreed{Key: key, Invite: invited.Secret}
	opening, err := sealOpening(trusted.place, trusted.epochKey, inside)
	if err != nil {
		return nil, nil, err
	}
	_, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	who := &member{connection: to, session: newSession(trusted.place, key, opening), key: secret}
	return who, trusted, who.open()
}
