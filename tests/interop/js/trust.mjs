// Section 4 of docs/protocol.md: what a client checks before it trusts a node.

import { sha512 } from '@noble/hashes/sha2.js'
import { parse as parseToml } from 'smol-toml'
import {
  ascii, decode, digest, isEqual, join, publicKeyOf, toHex, verify
} from './protocol.mjs'
import { policyDigest, require, verifyRecords } from './records.mjs'

const SIMULATED_ROOT = publicKeyOf(
  digest('ccp2p.simulated', ascii('published: NOT confidential')))

// `expected` is { network, remote, nonce, pinned, allowSimulated }: the ticket's network, the key that
// Noise has shown, our nonce, and the digest of a known record (or empty).
export function verifyWelcome (welcome, expected) {
  const [genesisBytes, records, node, sealing, evidence, , , text] = welcome
  require(isEqual(digest('ccp2p.genesis', genesisBytes), expected.network), 'another network')
  require(isEqual(node, expected.remote), 'another key than the connection showed')
  const genesis = readGenesis(genesisBytes)
  require(genesis.protocol === 1, 'a protocol that this client does not know')
  const newest = verifyRecords(records, genesis, expected)
  const inForce = text || genesis.policy
  require(isEqual(policyDigest(inForce), newest.policyDigest), 'another policy than is in force')
  const policy = parseToml(inForce)
  require(policy.simulated && parseToml(genesis.policy).simulated, 'hardware evidence, which this example cannot verify')
  require(expected.allowSimulated, 'simulated TEEs are NOT confidential')
  const data = sha512(
    join(ascii('ccp2p.reportdata'), expected.network, node, sealing, expected.nonce))
  verifySimulated(evidence, policy.simulated, data)
  const seat = newest.seats.find(seat => isEqual(seat.node, node))
  require(seat === undefined || isEqual(seat.sealing, sealing), 'another sealing key than its seat')
  return { ...newest, network: expected.network, aead: genesis.aead, node }
}

function readGenesis (bytes) {
  const [, , , policy, parameters, governors, threshold, firstNode, founders, , , , createdMs] =
    decode(bytes)
  const aead = parameters[8]
  const protocol = parameters[11]
  return { policy, aead, protocol, governors, threshold, firstNode, founders, createdMs }
}

// 4.3 Evidence of a simulated TEE
function verifySimulated (bundle, section, reportData) {
  const [tee, evidence, endorsements] = decode(bundle)
  require(tee === 'simulated' && endorsements.length === 1, 'not simulated evidence')
  const [certificate, certified] = decode(endorsements[0])
  require(verify(SIMULATED_ROOT, certified, join(ascii('ccp2p.simulated.chip'), certificate)),
    'a chip that the root does not know')
  const [chip, vendor] = decode(certificate)
  const [body, signature] = decode(evidence)
  const [magic, reporter, measurement, bound, debug, tcb] = decode(body)
  require(magic === 'ccp2p-simulated' && isEqual(reporter, chip), 'another chip')
  require(verify(chip, signature, join(ascii('ccp2p.simulated.report'), body)), 'forged evidence')
  require(isEqual(bound, reportData), 'evidence that is bound to something else')
  require(section.any_measurement || section.measurements.includes(toHex(measurement)),
    'a program that the policy does not accept')
  require(!section.vendors?.length || section.vendors.includes(vendor), 'a vendor not accepted')
  require(section.allow_debug || !debug, 'debug is on')
  require(tcb >= (section.minimum_tcb ?? 0), 'its TCB is too low')
}
