// A member of a network in JavaScript, by docs/protocol.md: verifies a node, opens a session, posts to
// a room and reads it back.
//
//   echo '{"ticket": "ccp2p1...", "carrier": "tcp", "room": "lobby", "name": "js", "texts": ["Hello"]}' |
//     node talk.mjs
//
// `carrier` is "tcp" or "ws"; `pause_s` (optional) waits before it talks. One JSON object tells what
// came of it.

import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import * as p from './protocol.mjs'
import { verifyWelcome } from './trust.mjs'

const PROTOCOL = '/ccp2p/member/1'
const MAX_FRAME_BYTES = 1024 * 1024

// 2. Transport: one stream of frames to one node. Answers are awaited by what they answer.
class Connection {
  #stream
  #waiting = new Map()
  #number = Math.floor(Math.random() * 2 ** 48)

  constructor (remote, stream) {
    this.remote = remote
    this.#stream = stream
    this.#read().then(() => new Error('the node closed the stream'), error => error)
      .then(error => this.#waiting.forEach(({ reject }) => reject(error)))
  }

  static async dial (node, address) {
    const connection = await node.dial(multiaddr(address))
    const stream = await connection.newStream(PROTOCOL)
    return new Connection(connection.remotePeer.publicKey.raw, stream)
  }

  async hello (nonce, pinned, network) {
    const welcome = this.#ask('welcome', p.wrap('hello', [nonce, pinned, network]))
    this.#waiting.set(p.toHex(network), this.#waiting.get('welcome')) // what a refusal names
    return welcome
  }

  // The session's answer to an event, from its number on: an outcome, or an error.
  async submit (session, envelope) {
    const sealed = await this.#ask(p.toHex(envelope.tag), p.wrap('submit', [[envelope.bytes]]))
    const outcome = session.openOutcome(envelope.tag, sealed)
    if (!p.isEqual(outcome.event, envelope.id)) throw new Error("another event's outcome")
    return outcome
  }

  async read (session, after, body) {
    const number = this.#number++
    const sealed = session.sealQuestion(number, ['read', after, body])
    const [answer, refusal] = await this.#ask(number, p.wrap('query', [number, session.id, sealed]))
    if (refusal) throw new Error(`the node refuses the read: ${refusal}`)
    return session.openAnswer(number, answer)
  }

  async #ask (name, message) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(name, { resolve, reject })
      this.#stream.send(p.frame(message))
    })
  }

  async #read () {
    let pending = p.EMPTY
    for await (const chunk of this.#stream) {
      pending = p.join(pending, chunk.subarray())
      while (pending.length >= 4) {
        const end = 4 + new DataView(pending.buffer, pending.byteOffset).getUint32(0)
        if (end > 4 + MAX_FRAME_BYTES) throw new Error('a frame that is too large')
        if (pending.length < end) break
        if (end > 4) this.#take(...p.unwrap(pending.slice(4, end)))
        pending = pending.slice(end)
      }
    }
  }

  #take (type, body) {
    if (type === 'welcome') this.#answer(type, body)
    if (type === 'reply') this.#answer(body[0], [body[1], body[2]])
    if (type === 'outcomes') body[0].forEach(([tag, sealed]) => this.#answer(p.toHex(tag), sealed))
    if (type === 'refused') {
      for (const [tag, code, message] of body[0]) {
        this.#waiting.get(p.toHex(tag))?.reject(new Error(`${code}: ${message}`))
      }
    }
  }

  #answer (name, value) {
    this.#waiting.get(name)?.resolve(value)
    this.#waiting.delete(name)
  }
}

// 6. A member: its key, its session, its numbers.
class Member {
  constructor (connection, session, seed) {
    this.connection = connection
    this.session = session
    this.seed = seed
    this.last = 0
    this.seen = 0
  }

  async open () {
    const first = this.session.envelope(this.seed, 0, p.random(16), this.session.opening)
    const outcome = await this.connection.submit(this.session, first)
    if (outcome.status !== 'ok') throw new Error(`refused: ${Buffer.from(outcome.body)}`)
    this.last = Number(Buffer.from(outcome.body).readBigUInt64BE())
    this.seen = outcome.commit
  }

  async submit (operation) {
    this.last += 1
    const envelope = this.session.envelope(this.seed, this.last, p.encode([operation]))
    const outcome = await this.connection.submit(this.session, envelope)
    this.seen = Math.max(this.seen, outcome.commit)
    return outcome
  }

  async ask (question) {
    return p.decode(await this.connection.read(this.session, this.seen, p.encode([question])))
  }
}

function executed (outcome, accepted = []) {
  const code = outcome.status === 'ok' ? '' : Buffer.from(outcome.body).toString()
  if (code && !accepted.includes(code)) throw new Error(`${outcome.status}: ${code}`)
  return outcome
}

// 8. Rooms
async function talk (member, { room, name, texts }) {
  const created = executed(await member.submit(['create', room, false, name]), ['room-exists'])
  if (created.status !== 'ok') executed(await member.submit(['join', room, name]))
  for (const text of texts) executed(await member.submit(['post', room, text]))
  const messages = []
  for (let next = 0, end = 1; next < end;) {
    const [page, ...place] = await member.ask(['read', room, next, 100])
    messages.push(...page.map(([position, , name, text]) => ({ position, name, text })))
    ;[next, end] = place
  }
  return { messages }
}

async function main () {
  const wanted = JSON.parse(await readText(process.stdin))
  const ticket = p.parseTicket(wanted.ticket)
  const node = await createLibp2p({
    transports: [tcp(), webSockets()], connectionEncrypters: [noise()], streamMuxers: [yamux()]
  })
  const address = wanted.carrier === 'ws'
    ? ticket.addresses[0].replace('/p2p/', '/ws/p2p/')
    : ticket.addresses[0]
  const connection = await Connection.dial(node, address)
  const nonce = p.random(32)
  const welcome = await connection.hello(nonce, ticket.record, ticket.network)
  const network = verifyWelcome(welcome, {
    network: ticket.network, remote: connection.remote, nonce, pinned: ticket.record,
    allowSimulated: true
  })
  const session = await p.Session.create(network, network.epochKey, ticket.secret)
  const member = new Member(connection, session, p.random(32))
  await member.open()
  await sleep(1000 * (wanted.pause_s ?? 0))
  const said = await talk(member, wanted)
  console.log(JSON.stringify({
    address, network: p.toHex(network.network), node: p.toHex(network.node),
    epoch: network.epoch, aead: network.aead, ...said
  }))
  await node.stop()
}

await main()
