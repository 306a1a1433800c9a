// The bytes of docs/protocol.md: hashing, sealing, sessions, events. Section numbers are that file's.

import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { decode, encode } from '@msgpack/msgpack'
import { ed25519 } from '@noble/curves/ed25519.js'
import { blake2b } from '@noble/hashes/blake2.js'
import sodium from 'libsodium-wrappers'
import { base32 } from 'multiformats/bases/base32'

await sodium.ready

export { decode, encode }

export const EMPTY = new Uint8Array()
export const ascii = text => new TextEncoder().encode(text)
export const fromHex = text => new Uint8Array(Buffer.from(text, 'hex'))
export const toHex = bytes => Buffer.from(bytes).toString('hex')
export const isEqual = (a, b) => Buffer.compare(a, b) === 0
export const join = (...parts) => new Uint8Array(Buffer.concat(parts))
export const random = size => crypto.getRandomValues(new Uint8Array(size))

export function u32 (number) {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

export function u64 (number) {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number))
  return bytes
}

// 1. Notation

const domainOf = text => {
  const person = new Uint8Array(16)
  person.set(ascii(text))
  return person
}

export const digest = (domain, ...parts) =>
  blake2b(join(...parts), { dkLen: 32, personalization: domainOf(domain) })

export const keyed = (domain, key, ...parts) =>
  blake2b(join(...parts), { dkLen: 32, personalization: domainOf(domain), key })

export const sign = (seed, message) => ed25519.sign(message, seed)
export const publicKeyOf = seed => ed25519.getPublicKey(seed)

export function verify (key, signature, message) {
  try {
    return ed25519.verify(signature, message, key) // by ZIP-215
  } catch {
    return false // of a wrong length
  }
}

// 2. Messages and their frames

export const wrap = (type, body) => encode([type, 1, body])

export function unwrap (bytes) {
  const [type, version, body] = decode(bytes)
  if (version !== 1) throw new Error(`${type} has the unknown version ${version}`)
  return [type, body]
}

export const frame = message => join(u32(message.length), message)

// 3. Tickets

export function parseTicket (text) {
  const compact = text.replace(/\s+/g, '')
  if (!compact.startsWith('ccp2p1')) throw new Error('a ticket starts with ccp2p1')
  const bytes = base32.baseDecode(compact.slice('ccp2p1'.length))
  const body = bytes.slice(0, -4)
  if (!isEqual(digest('ccp2p.ticket', body).slice(0, 4), bytes.slice(-4))) {
    throw new Error('the ticket is cut short or altered')
  }
  const [network, name, role, simulated, record, addresses, secret, expiresMs] = decode(body)
  return { network, name, role, simulated, record, addresses, secret, expiresMs }
}

// 5. Sessions

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305()
})

const openingInfo = (network, epoch) =>
  join(u32(13), ascii('ccp2p session'), ascii('open'), network, u64(epoch))

export async function openOpening (secret, opening, network, epoch) {
  const context = await suite.createRecipientContext({
    recipientKey: await suite.kem.importKey('raw', secret, false),
    enc: opening.slice(0, 32),
    info: openingInfo(network, epoch)
  })
  return decode(new Uint8Array(await context.open(opening.slice(32))))
}

const CIPHERS = {
  aegis256: [32, sodium.crypto_aead_aegis256_encrypt, sodium.crypto_aead_aegis256_decrypt],
  xchacha20: [
    24,
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt,
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt
  ]
}

export function seal (aead, key, plaintext, associated, nonce = random(CIPHERS[aead][0])) {
  return join(nonce, CIPHERS[aead][1](plaintext, associated, null, nonce, key))
}

export function unseal (aead, key, sealed, associated) {
  const [nonceBytes, , open] = CIPHERS[aead]
  return open(null, sealed.slice(nonceBytes), associated, sealed.slice(0, nonceBytes), key)
}

const BUCKETS = [256, 1024, 4096, 16384, 65536]

export function pad (bytes) {
  const bucket = BUCKETS.find(size => bytes.length + 4 <= size)
  if (bucket === undefined) throw new Error('larger than an event may be')
  const padded = new Uint8Array(bucket)
  padded.set(join(u32(bytes.length), bytes))
  return padded
}

export const eventId = (network, member, sequence, body) =>
  digest('ccp2p.event', network, member, u64(sequence), body)

export class Session {
  // `place` is where it is valid: { network, epoch, aead }.
  constructor (place, key, opening) {
    this.place = place
    this.opening = opening
    this.id = digest('ccp2p.session', opening.slice(0, 32)).slice(0, 16)
    this.tagKey = keyed('ccp2p.session', key, ascii('tag'))
    this.upKey = keyed('ccp2p.session', key, ascii('up'))
    this.downKey = keyed('ccp2p.session', key, ascii('down'))
  }

  static async create (place, epochKey, invite) {
    const key = random(32)
    const sender = await suite.createSenderContext({
      recipientPublicKey: await suite.kem.importKey('raw', epochKey, true),
      info: openingInfo(place.network, place.epoch)
    })
    const ciphertext = await sender.seal(encode([key, invite]))
    return new Session(place, key, join(new Uint8Array(sender.enc), new Uint8Array(ciphertext)))
  }

  tagOf (sequence) {
    return keyed('ccp2p.envelope', this.tagKey, u64(sequence)).slice(0, 16)
  }

  // 6. Events: the envelope of a signed event, its tag and its event's id.
  envelope (seed, sequence, body, opening = EMPTY, nonce = undefined) {
    const member = publicKeyOf(seed)
    const id = eventId(this.place.network, member, sequence, body)
    const event = [member, sequence, body, sign(seed, join(ascii('ccp2p.event'), id))]
    const tag = this.tagOf(sequence)
    const sealed = seal(
      this.place.aead, this.upKey, pad(encode(event)), this.#associated('event', tag), nonce)
    return { id, tag, bytes: encode([this.place.epoch, tag, opening, sealed]) }
  }

  openOutcome (tag, sealed) {
    const bytes = unseal(this.place.aead, this.downKey, sealed, this.#associated('outcome', tag))
    const [event, status, commit, position, body] = decode(bytes)
    return { event, status, commit, position, body }
  }

  // 7. Reads
  sealQuestion (number, question, nonce = undefined) {
    const associated = this.#associated('query', this.id, u64(number))
    return seal(this.place.aead, this.upKey, pad(encode([question])), associated, nonce)
  }

  openAnswer (number, sealed) {
    const associated = this.#associated('reply', this.id, u64(number))
    const [refusal, answer] = decode(unseal(this.place.aead, this.downKey, sealed, associated))
    if (refusal) throw new Error(`the network refuses the read: ${refusal}`)
    return answer
  }

  #associated (purpose, ...names) {
    return join(ascii(purpose), this.place.network, u64(this.place.epoch), ...names)
  }
}
