// Verifies the signature of a decision with @sigstore/verify, an implementation that has nothing of ours.
//
//   node verify.js BUNDLE KEY.pem [HEX-SHA256]
//
// It prints what was signed and exits with 0, or prints why not and exits with 1. @sigstore/verify knows signatures and
// not what they are about, so the digest is compared here; time, place and revocation are for the gate.
'use strict';

const { createPublicKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const NOBODY = { mediaType: '', tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
const NONE = { ctlogThreshold: 0, tlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 };

function main([bundlePath, keyPath, digest]) {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, 'utf8')));
  const publicKey = createPublicKey(readFileSync(keyPath));
  const trusted = toTrustMaterial(NOBODY, () => ({ publicKey, validFor: () => true }));
  new Verifier(trusted, NONE).verify(toSignedEntity(bundle));
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString('utf8'));
  const digests = statement.subject.map((each) => each.digest.sha256);
  if (digest && !digests.includes(digest)) {
    throw new Error(`it is about ${digests}, not about ${digest}`);
  }
  const { verdict, scope, expiresAt } = statement.predicate;
  console.log(`verified: ${verdict} for ${scope.environment} until ${expiresAt}, about ${digests}`);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
