// Downloads from Atlas with a progress bar: node download.mjs PATH FILE [ACCEPT]
//
//   node download.mjs /api/atlas/v2/groups/ID/clusters/HOST/logs/mongodb.gz mongodb.gz application/vnd.atlas.2025-03-12+gzip
//
// Reads MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET. Ctrl-C leaves no part of the file behind.
import { Client } from 'svctoken'

const [path, file, accept] = process.argv.slice(2)
const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))

function progress({ received, total }) {
  const share = total ? `${(received / total * 100).toFixed(1)} %` : ''
  process.stderr.write(`\r${share.padStart(7)} ${(received / 1e6).toFixed(1).padStart(10)} MB`)
}

const client = Client.atlas()
const response = await client.download('GET', path, file, { accept, progress, signal: interrupted.signal })
process.stderr.write('\n')
if (!response.ok) throw await response.error()
