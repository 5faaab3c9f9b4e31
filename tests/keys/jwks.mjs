// The public halves of the keys that `make` has made: as a list for servers in JavaScript, and, run as a program with the
// folder's name, as one line of JSON (a JWKS, RFC 7517 section 5).

import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export function publicKeys(folder) {
  return ['rsa', 'p256', 'p384', 'ed25519'].map((name) => ({
    ...createPublicKey(readFileSync(`${folder}/${name}.pub.pem`)).export({ format: 'jwk' }),
    kid: `${name}-key`,
    use: 'sig',
  }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify({ keys: publicKeys(process.argv[2]) }))
}
