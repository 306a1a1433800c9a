// Section 4.4 of docs/protocol.md: the chain of epoch records.

import { parse as parseToml } from 'smol-toml'
import { ascii, decode, digest, encode, isEqual, join, toHex, verify } from './protocol.mjs'

const ZERO = new Uint8Array(32)

export function require (holds, message) {
  if (!holds) throw new Error(`the node is not to be trusted: ${message}`)
}

// The newest record, of one page: this example does not ask for more of a very long chain.
export function verifyRecords (signedRecords, genesis, expected) {
  require(signedRecords.length > 0, 'the network is still being founded')
  const chain = []
  for (const bytes of signedRecords) {
    const [recordBytes, signatures, amendment, approvals] = decode(bytes)
    const record = readRecord(recordBytes)
    const before = chain.at(-1)
    require(isEqual(record.network, expected.network), 'a record of another network')
    if (before !== undefined) {
      verifyFollows(record, before)
      if (record.recovery !== null) verifyRecovery(record, signatures, amendment, approvals, before)
      else {
        const amended = verifyAmendment(record, before, amendment, approvals)
        verifySuccessor(record, signatures, before, amended)
      }
    } else if (!isEqual(record.digest, expected.pinned)) {
      verifyRecordZero(record, signatures, genesis)
    }
    chain.push(record)
  }
  require(expected.pinned.length === 0 || chain.some(r => isEqual(r.digest, expected.pinned)),
    'its records are older than ours, or of another history')
  return chain.at(-1)
}

export const policyDigest = text => digest('ccp2p.policy', ascii(text))

function readRecord (bytes) {
  const fields = decode(bytes)
  const [network, epoch, predecessor, seats, policyDigest, governors, threshold, measurements,
    coinAnchor, epochKey, closeCommit, closeChain, stateRoot, outcomesRoot, timeMs, protocol,
    amendment, recovery, shares] = fields
  return {
    network, epoch, predecessor, policyDigest, governors, threshold, measurements, coinAnchor,
    epochKey, closeCommit, closeChain, stateRoot, outcomesRoot, timeMs, protocol, amendment,
    recovery, shares,
    seats: seats.map(([node, sealing, platform, vendor]) => ({ node, sealing, platform, vendor })),
    digest: digest('ccp2p.epoch', bytes),
    plan: encode(fields.with(8, ZERO).with(9, ZERO).with(18, [])) // without its secrets, for a recovery
  }
}

// What governors of the epoch before changed: the policy's text (or ''), governors, evicted nodes.
function verifyAmendment (record, before, bytes, approvals) {
  const unchanged = { policy: '', governors: before.governors, threshold: before.threshold, evict: [] }
  if (record.amendment.length + bytes.length + approvals.length === 0) return unchanged
  const name = digest('ccp2p.amendment', bytes)
  const [network, epoch, policy, governors, threshold, evict] = decode(bytes)
  require(isEqual(record.amendment, name), 'another amendment than the record names')
  require(isEqual(network, before.network) && epoch === before.epoch, 'an amendment of elsewhere')
  const message = join(ascii('ccp2p.amendment'), network, name)
  const agreed = countSigners(approvals, before.governors, message)
  require(agreed >= Math.max(1, before.threshold), 'an amendment without enough governors')
  require(governors.length === 0 || 2 * threshold > governors.length, 'too few governors rule')
  return governors.length > 0
    ? { policy, governors, threshold, evict }
    : { ...unchanged, policy, evict }
}

function verifyRecordZero (record, signatures, genesis) {
  require(record.seats.length === genesis.founders, 'not as many seats as founders')
  require(isEqual(record.seats[0].node, genesis.firstNode), 'the first seat is another node')
  require(isEqual(record.policyDigest, policyDigest(genesis.policy)) &&
    sameList(record.governors, genesis.governors) && record.threshold === genesis.threshold &&
    record.protocol === genesis.protocol && record.amendment.length === 0 &&
    record.recovery === null &&
    record.timeMs === genesis.createdMs && record.epoch === 0 && record.closeCommit === 0 &&
    [record.predecessor, record.closeChain, record.stateRoot, record.outcomesRoot]
      .every(bytes => isEqual(bytes, ZERO)), 'record 0 does not follow from the genesis')
  verifySeats(record.seats)
  require(record.seats.every(seat => seat.platform.length > 0), 'a founder without a hardware id')
  verifyVendors(record.seats, parseToml(genesis.policy).caps?.vendor ?? 'none')
  require(signatures.length === record.seats.length, 'record 0 is not signed by all founders')
  require(countSeats(record, signatures, record.seats) === record.seats.length,
    'a signature on record 0 is wrong')
}

function verifyFollows (record, before) {
  require(record.epoch === before.epoch + 1 && isEqual(record.predecessor, before.digest) &&
    record.timeMs >= before.timeMs && !isEqual(record.coinAnchor, before.coinAnchor) &&
    !isEqual(record.epochKey, before.epochKey), 'a record that does not follow from the one before')
  verifySeats(record.seats)
}

function verifySuccessor (record, signatures, before, amended) {
  const policy = amended.policy ? policyDigest(amended.policy) : before.policyDigest
  require(isEqual(record.policyDigest, policy) && sameList(record.governors, amended.governors) &&
    record.threshold === amended.threshold, 'a record that changes rules on its own')
  require(!record.seats.some(seat => amended.evict.some(node => isEqual(node, seat.node))),
    'a seat for an evicted node')
  const faulty = Math.floor((before.seats.length - 1) / 3)
  require(countSeats(record, signatures, before.seats) >= before.seats.length - faulty,
    'a record that is not signed by a quorum')
}

function verifyRecovery (record, signatures, amendment, approvals, before) {
  const [commit, , fallen] = record.recovery
  const nodes = record.seats.map(seat => toHex(seat.node))
  const goesOn = seat => nodes.includes(toHex(seat.node))
  const rows = seats => encode(seats.map(s => [s.node, s.sealing, s.platform, s.vendor]))
  require(record.seats.length > 0 && commit >= 0 && commit <= record.closeCommit &&
    isEqual(rows(record.seats), rows(before.seats.filter(goesOn))) &&
    isEqual(encode(fallen), rows(before.seats.filter(seat => !goesOn(seat)))) &&
    isEqual(rules(record), rules(before)) && record.amendment.length + amendment.length === 0,
  'a recovery that changes more than it may')
  const message = join(ascii('ccp2p.recovery'), digest('ccp2p.recovery', record.plan))
  require(countSigners(approvals, before.governors, message) >= Math.max(1, before.threshold),
    'a recovery without enough governors')
  require(signatures.every(([index]) => index < before.seats.length && goesOn(before.seats[index])) &&
    countSeats(record, signatures, before.seats) === record.seats.length,
  'a recovery that not all who go on signed')
}

const rules = r =>
  encode([r.policyDigest, r.governors, r.threshold, r.measurements, r.protocol])

const countSeats = (record, signatures, seats) => countSigners(
  signatures, seats.map(seat => seat.node), join(ascii('ccp2p.epoch'), record.digest))

// How many of the signatures, [[index of the key, signature], ...] in ascending order, hold.
function countSigners (signatures, keys, message) {
  signatures.forEach(([index], place) => require(
    index < keys.length && (place === 0 || index > signatures[place - 1][0]), 'impossible signers'))
  return signatures.filter(([index, signature]) => verify(keys[index], signature, message)).length
}

function verifySeats (seats) {
  const nodes = new Set(seats.map(seat => toHex(seat.node)))
  const platforms = new Set(seats.map(seat => toHex(seat.platform)))
  require(nodes.size === seats.length && platforms.size === seats.length,
    'one platform with two votes')
}

function verifyVendors (seats, cap) {
  if (cap === 'none' || seats.length < 2) return
  const faulty = Math.floor((seats.length - 1) / 3)
  const most = cap === 'f' ? faulty : seats.length - 2 * faulty - 1
  for (const { vendor } of seats) {
    const held = seats.filter(seat => seat.vendor === vendor).length
    require(held <= most, `vendor ${vendor} holds too many seats`)
  }
}

const sameList = (a, b) => a.length === b.length && a.every((item, at) => isEqual(item, b[at]))
