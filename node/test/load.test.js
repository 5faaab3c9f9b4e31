'use strict'
// Many requests at once while the network and the server fail at random: every call ends, and nothing is left over.

const assert = require('node:assert/strict')
const { readdirSync } = require('node:fs')
const { test } = require('node:test')
const { Client } = require('..')
const { space } = require('./sandbox.js')

const REQUESTS = Number(process.env.SVCTOKEN_LOAD ?? 1000)
const AT_ONCE = 64
const FAULTS = [
  { status: 503 },
  { status: 429, headers: [['Retry-After', '0']] },
  { html: true },
  { reset: 'before_answer' },
  { reset: 'after_head' },
  { reset: { after_body_bytes: 20 } },
  { close: 'before_answer' },
  { close: 'after_answer' },
  { status: 200, body: 'half', content_length: 500 },
  { delay_ms: 30 },
  { drip_ms: 1 },
]

const threads = () => readdirSync('/proc/self/task').length

test('P9: every call ends while everything fails', async (t) => {
  const seed = Number(process.env.SVCTOKEN_SEED ?? Math.floor(Math.random() * 1e9))
  let state = seed
  // A linear congruential generator: which requests are struck is a matter of the seed alone.
  const below = (limit) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state % limit
  }
  const rules = FAULTS.map((fault) => ({ path: '/echo', nth: [], do: fault }))
  for (let number = 1; number <= REQUESTS; number++) {
    if (below(1000) < 125) rules[below(FAULTS.length)].nth.push(number)
  }
  const { options, report } = await space({ rules })
  const client = new Client({ ...options, tokenUrl: `${options.baseUrl}/api/oauth/token`, timeout: 30_000, maxAttempts: 10 })
  const threadsBefore = threads()
  await client.getToken()
  let next = 0
  const caller = async (end) => {
    while (next < end) {
      const number = next++
      const r = await client.request('GET', '/echo', { query: { number } })
      assert.equal(r.status, 200)
      assert.equal((await r.json()).query, `number=${number}`)
    }
  }
  const all = (end) => Promise.all(Array.from({ length: AT_ONCE }, () => caller(end)))
  const begin = performance.now()
  await all(REQUESTS / 4)
  const before = process.memoryUsage().rss
  await all(REQUESTS)
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  const took = (performance.now() - begin) / 1000
  const { open_connections: open, requests, mints } = await report()
  assert.ok(open <= AT_ONCE + 1, `${open} connections`)
  assert.ok(requests >= REQUESTS + 1 && mints === 1)
  const deadline = performance.now() + 20_000
  while (threads() > threadsBefore) {
    assert.ok(performance.now() < deadline, `${threads()} threads instead of ${threadsBefore}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(grown < 64, `${grown} MiB more after the first quarter`)
  const stats = client.stats()
  assert.ok(stats.requests === REQUESTS && stats.retries > 0)
  t.diagnostic(`${REQUESTS} requests, ${AT_ONCE} at once, ${stats.retries} retries, ${took.toFixed(1)} s, ${grown.toFixed(1)} MiB, seed ${seed}`)
})
