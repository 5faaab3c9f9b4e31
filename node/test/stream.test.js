'use strict'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { createWriteStream, mkdtempSync, readFileSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { Client, StreamingResponse, SvctokenError } = require('svctoken')
const { space } = require('./sandbox.js')

const STALLED = { rules: [{ path: '/bytes/*', do: { stall: { after_body_bytes: 1000 } } }] }

const pattern = (length) => Buffer.from(Uint8Array.from({ length }, (_, index) => index % 251))

const fails = (code) => (error) => error instanceof SvctokenError && error.code === code

async function read(response) {
  const pieces = []
  for await (const piece of response) pieces.push(piece)
  return Buffer.concat(pieces)
}

test('a stream is what fetch hands out: iterated, read by a reader, piped into a file', async (t) => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const response = await client.request('GET', '/bytes/300000', { stream: true })
  assert.ok(response instanceof StreamingResponse && response.body instanceof ReadableStream && response.ok)
  assert.equal(response.headers.get('content-length'), '300000')
  assert.equal(await response.error(), null)
  assert.match(inspect(response), /^StreamingResponse {\s+status: 200/)
  assert.deepEqual(await read(response), pattern(300_000))

  const { body } = await client.request('GET', '/bytes/1000', { stream: true })
  const reader = body.getReader()
  const { value } = await reader.read()
  assert.deepEqual(Buffer.from(value), pattern(1000))
  assert.equal((await reader.read()).done, true)

  const folder = mkdtempSync(join(tmpdir(), 'svctoken-stream-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'file')
  const download = await client.request('GET', '/bytes/1000000', { stream: true })
  await pipeline(Readable.fromWeb(download.body), createWriteStream(file))
  assert.deepEqual(readFileSync(file), pattern(1_000_000))
  assert.equal((await report()).connections, 1, 'every stream gave its connection back')
})

test('nothing is read before it is asked for', async () => {
  const { options, wait, report } = await space()
  const response = await Client.atlas(options).request('GET', '/bytes/1000000000', { stream: true })
  const reader = response.body.getReader()
  await reader.read()
  // The server is still sending: its answer fits into no buffer of the kernel's.
  assert.equal((await report()).open_connections, 1)
  await reader.cancel()
  await wait({ closed_connections: 1 })
})

test('a break, a close and a using each end a stream', async () => {
  const { options, wait } = await space(STALLED)
  const client = Client.atlas(options)
  for await (const piece of await client.request('GET', '/bytes/5000', { stream: true })) {
    assert.equal(piece.length, 1000)
    break
  }
  await wait({ closed_connections: 1 })
  const response = await client.request('GET', '/bytes/5000', { stream: true })
  const iterator = response[Symbol.asyncIterator]()
  await iterator.next()
  const waiting = assert.rejects(iterator.next(), fails('SVCTOKEN_CANCELLED'))
  response.close()
  response.close()
  await waiting
  await wait({ closed_connections: 2 })
  const unread = await client.request('GET', '/bytes/5000', { stream: true })
  unread[Symbol.dispose]()
  await wait({ closed_connections: 3 })
})

test('P9: a signal ends a stream at once, whether it is being read or not', async () => {
  const { options, wait } = await space(STALLED)
  const client = Client.atlas(options)
  for (const [index, reads] of [[1, true], [2, false]]) {
    const controller = new AbortController()
    const response = await client.request('GET', '/bytes/5000', { stream: true, signal: controller.signal })
    const reader = response.body.getReader()
    await reader.read()
    const waiting = reads ? assert.rejects(reader.read(), { message: 'enough' }) : undefined
    const start = performance.now()
    controller.abort(new Error('enough'))
    await waiting
    await assert.rejects(reader.read(), { message: 'enough' })
    assert.ok(performance.now() - start < 1000)
    await wait({ closed_connections: index })
  }
})

test('an abort in the moment of the head leaves no connection behind', async () => {
  const { options, wait } = await space({ rules: [{ path: '/bytes/*', do: { hold: 'gate', stall: 'after_head' } }] })
  const controller = new AbortController()
  const call = Client.atlas(options).request('GET', '/bytes/5000', { stream: true, signal: controller.signal })
  await wait({ held: { gate: 1 } })
  controller.abort()
  await assert.rejects(call, { name: 'AbortError' })
  await wait({ closed_connections: 1 })
})

test('what came before an error is handed out', async () => {
  const { options } = await space({ rules: [{ path: '/echo', do: { status: 200, body_size: 1000, content_length: 5000 } }] })
  const client = Client.atlas(options)
  let length = 0
  const all = async () => {
    for await (const piece of await client.request('GET', '/echo', { stream: true })) length += piece.length
  }
  await assert.rejects(all(), fails('SVCTOKEN_CONNECTION_LOST'))
  assert.equal(length, 1000)
})

test('hooks see a stream before its body', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const received = []
  client.beforeSend = (method, url) => ({ 'x-of-the-hook': url })
  client.afterReceive = (response) => { received.push(response) }
  const response = await client.request('GET', '/echo', { stream: true })
  assert.deepEqual(received, [response])
  assert.match((await read(response)).toString(), /"x-of-the-hook","\/echo"/)
})

test('wrong options are refused by name', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  for (const wrong of [{ stream: 1 }, { idleTimeout: 'x' }, { stream: true, idleTimeout: 0 }]) {
    await assert.rejects(client.request('GET', '/echo', wrong), fails('SVCTOKEN_INVALID_ARGUMENT'))
  }
})

test('a stream that nobody reads keeps no process alive', async () => {
  const { options } = await space(STALLED)
  const { spawn } = require('node:child_process')
  const program = `
    const { Client } = require('svctoken')
    Client.atlas(${JSON.stringify(options)}).request('GET', '/bytes/5000', { stream: true }).then(async (response) => {
      globalThis.kept = response
      await response.body.getReader().read()
    })`
  const child = spawn(process.execPath, ['-e', program], { cwd: __dirname, stdio: 'inherit', timeout: 20_000 })
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
})
