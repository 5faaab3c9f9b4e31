'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { Worker } = require('node:worker_threads')
const { Client, SvctokenError } = require('svctoken')
const { space } = require('./sandbox.js')

const fails = (code, ...parts) => (error) => {
  assert.ok(error instanceof SvctokenError, inspect(error))
  assert.equal(error.code, code)
  for (const part of parts) assert.match(error.message, part)
  return true
}

/** A client of the space, whose secret `callback` returns. */
function clientOf({ options, url }, callback) {
  const { clientSecret, ...others } = options
  return new Client({ ...others, tokenUrl: `${url}/api/oauth/token`, clientSecretCallback: callback })
}

test('a function is called once for all calls, and may be asynchronous', async () => {
  const server = await space()
  for (const answer of [(secret) => secret, async (secret) => secret]) {
    let count = 0
    const client = clientOf(server, () => {
      count++
      return answer(server.options.clientSecret)
    })
    assert.equal(count, 0, 'not before a token is needed')
    const tokens = await Promise.all(Array.from({ length: 20 }, () => client.getToken()))
    assert.equal(new Set(tokens).size, 1)
    assert.equal((await client.request('GET', '/echo')).status, 200)
    assert.equal(count, 1)
  }
})

test('P13: what a function throws or returns instead of a secret is told', async () => {
  const server = await space()
  const cases = [
    [() => { throw new RangeError('the vault is sealed') }, /RangeError: the vault is sealed/],
    [() => Promise.reject(new Error('the vault is away')), /the vault is away/],
    [() => undefined, /type undefined/],
    [() => Buffer.from(server.options.clientSecret), /type object/],
    [() => '', /empty/],
    [() => Promise.reject(Object.create(null)), /no words/],
  ]
  for (const [callback, words] of cases) {
    await assert.rejects(clientOf(server, callback).getToken(), fails('SVCTOKEN_CREDENTIAL_UNAVAILABLE', words))
  }
  assert.throws(() => clientOf(server, 'no function'), fails('SVCTOKEN_INVALID_CONFIGURATION', /client_secret_callback/))
})

test('a function that calls its own client is refused at once, and one that calls another is not', async () => {
  const server = await space()
  const other = Client.atlas(server.options)
  const own = clientOf(server, async () => {
    assert.equal((await other.request('GET', '/echo')).status, 200)
    await Promise.resolve()
    return own.getToken()
  })
  await assert.rejects(own.getToken(), fails('SVCTOKEN_CREDENTIAL_UNAVAILABLE', /calls the client/))
})

test('P9: a function that hangs keeps no call beyond its time, and a signal ends the wait', async () => {
  const server = await space()
  let release
  const gate = new Promise((resolve) => { release = resolve })
  const client = clientOf(server, () => gate)
  await assert.rejects(client.getToken({ timeout: 50 }), fails('SVCTOKEN_TIMEOUT', /client_secret_callback/))
  await assert.rejects(client.getToken({ signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  release(server.options.clientSecret)
  assert.ok(await client.getToken())
})

test('a worker may end while its function has not answered', async () => {
  const { options, url } = await space()
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Client } = require('svctoken')
    const client = new Client({ ...workerData, clientSecretCallback: () => {
      parentPort.postMessage('asked')
      return new Promise(() => {})
    } })
    client.getToken().catch(() => {})
  `
  const { clientSecret, ...others } = options
  const workerData = { ...others, tokenUrl: `${url}/api/oauth/token` }
  const worker = new Worker(source, { eval: true, workerData })
  const [said] = await once(worker, 'message')
  assert.equal(said, 'asked')
  assert.equal(await worker.terminate(), 1)
})
