'use strict'
// What a process and its workers see: nothing keeps them alive but calls, and nothing that ends harms the others.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { Client } = require('svctoken')
const { program } = require('./program.js')
const { CLIENT, hold, space } = require('./sandbox.js')

/** A worker that runs `source`; what it posts comes by `once(worker, 'message')`. */
function worker(source, options, settings) {
  const script = `
    const { parentPort } = require('node:worker_threads')
    const { Client } = require('svctoken')
    const options = ${JSON.stringify(options)}
    ${source}`
  return new Worker(script, { eval: true, ...settings })
}

test('P8: a client with nothing to do keeps no process alive', async () => {
  const { options } = await space()
  const source = `
    const client = Client.atlas(options)
    client.request('GET', '/echo').then((r) => console.log(r.status))`
  assert.deepEqual(await program(source, options).ended, { code: 0, signal: null, printed: '200\n' })
})

test('a call in progress keeps its process alive, even when its client is collected', async () => {
  const { options, wait, release } = await space({ rules: [hold('/api/oauth/token', 'gate'), hold('/echo', 'gate')] })
  const source = `
    require('node:v8').setFlagsFromString('--expose-gc')
    const collect = require('node:vm').runInNewContext('gc')
    Client.atlas(options).getToken().then((token) => {
      console.log(token.length > 100)
      Client.atlas(options).request('GET', '/echo').then((r) => console.log(r.status))
      setImmediate(collect)
    })
    setImmediate(collect)`
  const { ended } = program(source, options)
  await wait({ held: { gate: 1 } })
  await release('gate')
  assert.deepEqual(await ended, { code: 0, signal: null, printed: 'true\n200\n' })
})

test('an aborted call keeps no process alive', async () => {
  const { options } = await space({ rules: [hold('/api/oauth/token', 'never')] })
  const source = `
    const controller = new AbortController()
    Client.atlas(options).getToken({ signal: controller.signal }).catch((error) => console.log(error.name))
    setImmediate(() => controller.abort())`
  assert.deepEqual(await program(source, options).ended, { code: 0, signal: null, printed: 'AbortError\n' })
})

test('process.exit ends a process in the middle of its calls', async () => {
  const { options, wait } = await space({ rules: [hold('/echo', 'never')] })
  const source = `
    const client = Client.atlas(options)
    for (let i = 0; i < 8; i += 1) client.request('GET', '/echo')
    process.once('SIGTERM', () => process.exit(7))`
  const { child, ended } = program(source, options)
  await wait({ held: { never: 8 } })
  child.kill('SIGTERM')
  assert.deepEqual(await ended, { code: 7, signal: null, printed: '' })
})

test('a failed call that is handled raises no unhandled rejection', async () => {
  const { options } = await space({ rules: [{ path: '/api/oauth/token', do: { status: 400, body: '{"error":"x"}' } }] })
  const source = `
    process.on('unhandledRejection', (error) => { console.log('unhandled', error); process.exit(1) })
    const client = Client.atlas(options)
    const both = [client.getToken(), client.getToken({ timeout: 5000 }), client.request('GET', '/echo')]
    Promise.allSettled(both).then((all) => console.log(all.map((one) => one.reason.code).join()))`
  const { code, printed } = await program(source, options).ended
  assert.deepEqual([code, printed], [0, `${Array(3).fill('SVCTOKEN_OAUTH_ERROR').join()}\n`])
})

test('workers share the token of the process', async () => {
  const { options, report } = await space()
  const source = `
    Client.atlas(options).getToken().then((token) => parentPort.postMessage(token))`
  const tokens = Array.from({ length: 4 }, () => once(worker(source, options), 'message'))
  tokens.push([await Client.atlas(options).getToken()])
  assert.equal(new Set((await Promise.all(tokens)).map(([token]) => token)).size, 1)
  assert.equal((await report()).token_requests, 1)
})

test('a worker may be terminated in the middle of its calls', async () => {
  const rules = [{ ...hold('/api/oauth/token', 'token'), nth: [2] }, hold('/echo/held', 'gate')]
  const { options, wait, release } = await space({ rules })
  const client = Client.atlas(options)
  await client.getToken()
  const source = `
    const { signal } = new AbortController()
    const client = Client.atlas(options)
    for (const given of [{}, { signal }]) client.request('GET', '/echo/held', given)
    const other = Client.atlas({ ...options, scope: 'other' })
    for (const given of [undefined, { signal }]) other.getToken(given)`
  const workers = Array.from({ length: 8 }, () => worker(source, options))
  await wait({ held: { gate: 16, token: 1 } })
  await Promise.all(workers.map((one) => one.terminate()))
  // Its threads have left the calls: their connections are gone.
  await wait({ closed_connections: 16 })
  await release('token')
  const other = await Client.atlas({ ...options, scope: 'other' }).getToken()
  assert.notEqual(other, await client.getToken())
  assert.equal((await client.request('GET', '/echo')).status, 200)
})

test('each worker has the environment it was given, not that of the process', async () => {
  const { url, report } = await space()
  const env = {
    MONGODB_ATLAS_CLIENT_ID: CLIENT.clientId,
    MONGODB_ATLAS_CLIENT_SECRET: CLIENT.clientSecret,
    MONGODB_ATLAS_BASE_URL: url,
  }
  const source = `
    let code = 'none'
    try { Client.fromEnv() } catch (error) { code = error.code }
    Object.assign(process.env, options)
    Client.fromEnv().getToken().then((token) => parentPort.postMessage([code, token.length > 100]))`
  const [message] = await once(worker(source, env, { env: {} }), 'message')
  assert.deepEqual(message, ['SVCTOKEN_INVALID_CONFIGURATION', true])
  assert.equal(process.env.MONGODB_ATLAS_CLIENT_ID, undefined)
  assert.throws(() => Client.fromEnv(), { code: 'SVCTOKEN_INVALID_CONFIGURATION' })
  assert.equal((await report()).token_requests, 1)
})
