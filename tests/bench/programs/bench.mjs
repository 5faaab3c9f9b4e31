// A contestant in JavaScript: bench.mjs WHAT [--once], see tests/bench/README.md. Imports only what WHAT needs.

const PATH = '/bytes/1024?anonymous=1'
const LARGE_PATH = '/bytes/8388608?anonymous=1'
const LARGE = 8 * 1024 * 1024
const TOKEN = 'x'.repeat(700)
const AUTHORIZATION = { authorization: `Bearer ${TOKEN}` }

const client = async () => (await import('../../../node/index.mjs')).Client.atlas()

const OF = {
  /** What a program writes that keeps its token itself. */
  async cache() {
    const kept = { token: TOKEN, ends: Date.now() + 3_600_000 }
    return async () => {
      if (Date.now() < kept.ends) return kept.token
      throw new Error('the token has ended')
    }
  },
  async token() {
    const one = await client()
    return () => one.getToken()
  },
  async import() {
    const { Client } = await import('../../../node/index.mjs')
    return async () => Client
  },
  async request() {
    const one = await client()
    return async () => (await one.request('GET', PATH)).arrayBuffer()
  },
  async fetch() {
    return async () => (await fetch(process.env.MONGODB_ATLAS_BASE_URL + PATH, { headers: AUTHORIZATION })).arrayBuffer()
  },
  async http() {
    const send = await sender(PATH)
    return () => new Promise((resolve, reject) => {
      send((answer) => {
        const parts = []
        answer.on('data', (part) => parts.push(part))
        answer.on('end', () => resolve(Buffer.concat(parts)))
        answer.on('error', reject)
      }, reject)
    })
  },
  async stream() {
    const one = await client()
    return async () => count(await one.request('GET', LARGE_PATH, { stream: true }))
  },
  async fetch_stream() {
    return async () => count((await fetch(process.env.MONGODB_ATLAS_BASE_URL + LARGE_PATH, { headers: AUTHORIZATION })).body)
  },
  async http_stream() {
    const send = await sender(LARGE_PATH)
    return () => new Promise((resolve, reject) => send((answer) => count(answer).then(resolve, reject), reject))
  },
}

async function count(body) {
  let length = 0
  for await (const piece of body) length += piece.length
  if (length !== LARGE) throw new Error(`an answer of ${length} bytes`)
}

/** What sends a request by node:http or node:https. */
async function sender(path) {
  const url = process.env.MONGODB_ATLAS_BASE_URL + path
  const { Agent, request } = await import(url.startsWith('https:') ? 'node:https' : 'node:http')
  const agent = new Agent({ keepAlive: true })
  return (answered, failed) => {
    const sent = request(url, { agent, headers: AUTHORIZATION }, answered)
    sent.on('error', failed)
    sent.end()
  }
}

async function main() {
  const [what, only] = process.argv.slice(2)
  if (what === 'empty') return
  const once = await OF[what]()
  const got = await once()
  if (got?.byteLength !== undefined && got.byteLength !== 1024) throw new Error(`an answer of ${got.byteLength} bytes`)
  if (only) return process.exit(0)
  const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) * 1000 }
  const { createInterface } = await import('node:readline')
  console.log('ready')
  for await (const line of createInterface({ input: process.stdin })) {
    const times = Number(line)
    const [wallBefore, cpuBefore] = [process.hrtime.bigint(), cpu()]
    for (let i = 0; i < times; i += 1) await once()
    console.log(`${process.hrtime.bigint() - wallBefore} ${cpu() - cpuBefore}`)
  }
}

main()
