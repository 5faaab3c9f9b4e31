'use strict'
// Calls in progress: which threads they use, how they end, and that they harm nobody else.

const assert = require('node:assert/strict')
const { getEventListeners } = require('node:events')
const { readFile, readdir } = require('node:fs/promises')
const { test } = require('node:test')
const { Client } = require('svctoken')
const { advanceClock } = require('svctoken/testing')
const { hold, space } = require('./sandbox.js')

const TOKEN = '/api/oauth/token'

/** How many threads of this process have that name. */
async function threads(name) {
  const ids = await readdir('/proc/self/task')
  const names = await Promise.all(ids.map((id) => readFile(`/proc/self/task/${id}/comm`, 'utf8').catch(() => '')))
  return names.filter((comm) => comm.trim() === name).length
}

const rejection = (promise) => promise.then(() => assert.fail('it did not fail'), (error) => error)

async function milliseconds(work) {
  const start = performance.now()
  await work()
  return performance.now() - start
}

test('P8: the pool of libuv is left alone', async () => {
  const { options, wait, release } = await space({ rules: [hold('/echo/held', 'gate')] })
  const client = Client.atlas(options)
  const requests = Array.from({ length: 16 }, () => client.request('GET', '/echo/held'))
  await wait({ held: { gate: 16 } })
  // Four requests on libuv's threads would keep this waiting until the gate opens, which is never if it waits.
  assert.ok((await milliseconds(() => readFile(__filename))) < 1000)
  await release('gate')
  for (const { status } of await Promise.all(requests)) assert.equal(status, 200)
})

test('P9: a call that finds every thread busy ends at its own deadline', async () => {
  const { options, wait, release } = await space({ rules: [hold('/echo/held', 'gate')] })
  const client = Client.atlas(options)
  const busy = Array.from({ length: 256 }, () => client.request('GET', '/echo/held', { timeout: 30_000 }))
  await wait({ held: { gate: 256 } })
  const took = await milliseconds(async () => {
    const errors = await Promise.all([300, 100, 200].map((timeout) =>
      rejection(client.request('GET', '/echo', { timeout }))))
    for (const { code } of errors) assert.equal(code, 'SVCTOKEN_TIMEOUT')
  })
  assert.ok(took < 3000, `${took} ms`)
  const queued = client.request('GET', '/echo', { timeout: 30_000 })
  await release('gate')
  for (const { status } of await Promise.all([...busy, queued])) assert.equal(status, 200)
})

test('P1: any number of callers wait for a token on one thread, and get the same', async (t) => {
  const { options, wait, release, report } = await space({ rules: [hold(TOKEN, 'gate')] })
  const clients = [Client.atlas(options), Client.atlas(options)]
  const tokens = Array.from({ length: 64 }, (_, i) => {
    return clients[0].getToken(i % 2 ? { timeout: 60_000 + i, signal: new AbortController().signal } : undefined)
  })
  await wait({ held: { gate: 1 } })
  if (process.platform === 'linux') assert.equal(await threads('svctoken-token'), 1)
  else t.diagnostic('threads are not counted on this system')
  tokens.push(clients[1].getToken())
  await release('gate')
  assert.equal(new Set(await Promise.all(tokens)).size, 1)
  assert.equal((await report()).token_requests, 1)
})

test('P9: each caller has its own deadline', async () => {
  const { options, wait, release, report } = await space({ rules: [hold(TOKEN, 'gate')] })
  const client = Client.atlas(options)
  const patient = client.getToken({ timeout: 50_000 })
  await wait({ held: { gate: 1 } })
  const impatient = [100, 50, 70].map((timeout) => rejection(client.getToken({ timeout })))
  for (const [i, error] of (await Promise.all(impatient)).entries()) {
    assert.equal(error.code, 'SVCTOKEN_TIMEOUT')
    assert.match(error.message, [/timeout \(0\.1 s\)/, /timeout \(0\.05 s\)/, /timeout \(0\.07 s\)/][i])
  }
  await release('gate')
  assert.equal(await patient, await client.getToken())
  assert.equal((await report()).token_requests, 1)
})

test('P4: while one caller refreshes a stale token, the others get it at once', async () => {
  const { options, wait, release } = await space({ rules: [{ ...hold(TOKEN, 'gate'), nth: [2] }] })
  const client = Client.atlas(options)
  const old = await client.getToken()
  advanceClock(3600_000 - 200_000)
  const [first, ...others] = Array.from({ length: 10 }, () => client.getToken())
  assert.deepEqual(new Set(await Promise.all(others)), new Set([old]))
  await wait({ held: { gate: 1 } })
  assert.equal(await client.getToken(), old)
  await release('gate')
  assert.notEqual(await first, old)
})

test('P8: an abort ends a call within 100 ms with the reason of its signal', async () => {
  const rules = [hold('/echo/held', 'gate'), { path: '/echo/body', do: { stall: { after_body_bytes: 3 } } }]
  const { options, wait } = await space({ rules })
  const client = Client.atlas(options)
  await client.getToken()
  for (const [path, counts] of [['/echo/held', { held: { gate: 1 } }], ['/echo/body', { requests: 3 }]]) {
    const controller = new AbortController()
    const { signal } = controller
    let handled = 0
    const onabort = () => { handled += 1 }
    signal.onabort = onabort
    const request = client.request('GET', path, { signal })
    await wait(counts)
    const reason = new Error('enough')
    const took = await milliseconds(async () => {
      controller.abort(reason)
      assert.equal(await rejection(request), reason)
    })
    assert.ok(took < 100, `${took} ms`)
    assert.deepEqual([handled, signal.onabort === onabort], [1, true])
    assert.equal(getEventListeners(signal, 'abort').length, 1, "only the user's own is left")
  }
  // The threads have left too: both connections are gone.
  await wait({ closed_connections: 2 })
})

test('P9: an abort of one who waits for a token harms nobody else', async () => {
  const { options, wait, release, report } = await space({ rules: [hold(TOKEN, 'gate')] })
  const client = Client.atlas(options)
  const controller = new AbortController()
  const aborted = client.getToken({ signal: controller.signal })
  const other = client.getToken()
  await wait({ held: { gate: 1 } })
  controller.abort()
  assert.equal((await rejection(aborted)).name, 'AbortError')
  await release('gate')
  await other
  assert.equal((await report()).token_requests, 1)
})

test('a signal that was aborted before ends a call before any work', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const signal = AbortSignal.abort()
  assert.equal(await rejection(client.request('GET', '/echo', { signal })), signal.reason)
  assert.equal(await rejection(client.getToken({ signal })), signal.reason)
  assert.equal((await report()).requests, 0)
  await client.getToken()
  assert.equal(await rejection(client.getToken({ signal })), signal.reason)
})

test('a signal that outlives its calls keeps none of their handlers', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const { signal } = new AbortController()
  await client.getToken({ signal })
  await client.request('GET', '/echo', { signal })
  await rejection(client.request('GET', 'nowhere', { signal }))
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('more requests than there are threads wait for one, and their deadline counts that', async () => {
  const { options, wait, release } = await space({ rules: [hold('/echo/held', 'gate')] })
  const client = Client.atlas(options)
  const held = Array.from({ length: 256 }, () => client.request('GET', '/echo/held'))
  await wait({ held: { gate: 256 } })
  const late = rejection(client.request('GET', '/echo', { timeout: 50 }))
  // A token is not behind the requests: they may be waiting for it.
  assert.equal(await client.getToken(), await client.getToken())
  assert.ok(client.invalidateToken(await client.getToken()))
  await client.getToken()
  const start = performance.now()
  while (performance.now() - start < 60) await new Promise(setImmediate)
  await release('gate')
  for (const { status } of await Promise.all(held)) assert.equal(status, 200)
  assert.match((await late).message, /timeout \(0\.05 s\) was over/)
})
