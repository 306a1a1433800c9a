// Recomputes the published vectors: node vectors.mjs vectors.json. Exit code 1 where one differs.

import { sha512 } from '@noble/hashes/sha2.js'
import { readFileSync } from 'node:fs'
import * as p from './protocol.mjs'
import { verifyWelcome } from './trust.mjs'

const vectors = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const bytes = (section, name) => p.fromHex(section[name])
let checked = 0

function same (name, made, published) {
  const text = made instanceof Uint8Array ? p.toHex(made) : JSON.stringify(made)
  const wanted = typeof published === 'string' ? published : JSON.stringify(published)
  if (text !== wanted) throw new Error(`${name}: ${text} is not ${wanted}`)
  checked += 1
}

for (const { person, key, data, digest } of vectors.hashing) {
  const made = key
    ? p.keyed(person, p.fromHex(key), p.fromHex(data))
    : p.digest(person, p.fromHex(data))
  same('hashing', made, digest)
}

same('genesis', p.digest('ccp2p.genesis', bytes(vectors.genesis, 'bytes')), vectors.genesis.network)

const ticket = p.parseTicket(vectors.ticket.text)
for (const name of ['network', 'record', 'secret']) same(name, ticket[name], vectors.ticket[name])
same('ticket', [ticket.name, ticket.role, ticket.simulated, ticket.addresses, ticket.expiresMs],
  ['name', 'role', 'simulated', 'addresses', 'expires_ms'].map(name => vectors.ticket[name]))

const { evidence } = vectors
same('report data', sha512(p.join(p.ascii('ccp2p.reportdata'),
  ...['network', 'node', 'sealing', 'nonce'].map(name => bytes(evidence, name)))),
evidence.report_data)

for (const record of vectors.records) {
  same('record', p.digest('ccp2p.epoch', bytes(record, 'bytes')), record.digest)
}

// The welcome is accepted, from the founding on or from any record that was pinned, and no lie in it is.
const [, welcome] = p.unwrap(bytes(vectors.welcome, 'frame'))
const truth = {
  network: ticket.network, remote: bytes(vectors.welcome, 'remote'),
  nonce: bytes(vectors.welcome, 'nonce'), pinned: ticket.record, allowSimulated: true
}
for (let from = -1; from < vectors.records.length; from++) {
  const pinned = from < 0 ? p.EMPTY : bytes(vectors.records[from], 'digest')
  const shown = welcome.with(1, welcome[1].slice(Math.max(0, from)))
  same('welcome', verifyWelcome(shown, { ...truth, pinned }).epochKey, vectors.welcome.epoch_key)
}

function refused (name, lie, expected) {
  try {
    verifyWelcome(lie, expected)
  } catch {
    checked += 1
    return
  }
  throw new Error(`a false ${name} is accepted`)
}

const places = value => [...value.keys()].filter(at => at % 16 === 0)
const flipped = (value, at) => value.with(at, value[at] ^ 1)
for (const name of ['network', 'remote', 'nonce', 'pinned']) {
  refused(name, welcome, { ...truth, [name]: flipped(truth[name], 5) })
}
refused('TEE', welcome, { ...truth, allowSimulated: false })
for (const field of [0, 2, 3, 4]) {
  const value = welcome[field]
  for (const at of places(value)) {
    refused(`field ${field}`, welcome.with(field, flipped(value, at)), truth)
  }
}
welcome[1].forEach((record, place) => {
  for (const at of places(record)) {
    const lie = welcome[1].with(place, flipped(record, at))
    refused(`record ${place} at ${at}`, welcome.with(1, lie), { ...truth, pinned: p.EMPTY })
  }
})
refused('chain', welcome.with(1, welcome[1].slice(1)), { ...truth, pinned: p.EMPTY })
refused('chain', welcome.with(1, []), truth)
refused('policy', welcome.with(7, ''), truth)
refused('policy', welcome.with(7, `${welcome[7]} `), truth)

const { session } = vectors
const [key, invite] = await p.openOpening(
  bytes(vectors.hpke, 'private_key'), bytes(session, 'opening'), bytes(session, 'network'), session.epoch)
same('session key', key, session.key)
same('invite', invite, session.invite)

const { event } = vectors
for (const { aead, ...vector } of vectors.envelopes) {
  const place = { network: bytes(session, 'network'), epoch: session.epoch, aead }
  const made = new p.Session(place, key, bytes(session, 'opening'))
  same('session', made.id, session.session)
  session.tags.forEach((tag, number) => same('tag', made.tagOf(number), tag))
  const seed = bytes(event, 'seed')
  const nonce = bytes(vector, 'nonce')
  const first = made.envelope(seed, 0, bytes(vector, 'first_body'), made.opening, nonce)
  same('first envelope', first.bytes, vector.first_envelope)
  const second = made.envelope(seed, event.sequence, bytes(event, 'body'), p.EMPTY, nonce)
  same('event id', second.id, event.id)
  same('envelope', second.bytes, vector.envelope)
  const outcome = made.openOutcome(second.tag, bytes(vector, 'sealed_outcome'))
  same('outcome', p.encode(Object.values(outcome)), vector.outcome)
  const question = p.decode(bytes(vector, 'question'))[0]
  same('question', made.sealQuestion(vector.query_number, question, nonce), vector.sealed_question)
  const answer = made.openAnswer(vector.query_number, bytes(vector, 'sealed_answer'))
  same('answer', answer, p.toHex(p.decode(bytes(vector, 'answer'))[1]))
}

same('post', p.encode([['post', 'lobby', 'Hello']]), vectors.rooms.post)
const hello = p.wrap('hello', [truth.nonce, p.EMPTY, ticket.network])
same('hello', p.frame(hello), vectors.frames.hello)
same('submit', p.frame(p.wrap('submit', [[p.ascii('an envelope')]])), vectors.frames.submit)

console.log(JSON.stringify({ checked, skipped: [] }))
