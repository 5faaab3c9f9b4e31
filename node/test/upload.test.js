'use strict'

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { createReadStream, mkdtempSync, openAsBlob, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Readable } = require('node:stream')
const { test } = require('node:test')
const { pathToFileURL } = require('node:url')
const { Client, SvctokenError } = require('svctoken')
const { space } = require('./sandbox.js')

const BODY = Buffer.from(Uint8Array.from({ length: 700_000 }, (_, index) => index % 251))
const TAKEN = { length: BODY.length, sha256: createHash('sha256').update(BODY).digest('hex') }

const fails = (code) => (error) => error instanceof SvctokenError && error.code === code

const upload = (client, options) => client.request('PUT', '/upload', options)

async function * slowly(pieces) {
  for (const piece of pieces) {
    await new Promise(setImmediate)
    yield piece
  }
}

/** An iterable that counts how often it was told to end. */
function counting(next) {
  const source = { ended: 0, [Symbol.asyncIterator]: () => ({ next, return: async () => { source.ended++ } }) }
  return source
}

test('what a body may be that is read while it is sent', async (t) => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const folder = mkdtempSync(join(tmpdir(), 'svctoken-upload-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'body')
  writeFileSync(path, BODY)
  const pieces = [BODY.subarray(0, 300_000), new Uint8Array(0), BODY.buffer.slice(300_000, 300_001), BODY.subarray(300_001)]
  const length = String(BODY.length)
  for (const [given, framing] of [
    [{ bodyFile: path }, { 'content-length': length }],
    [{ bodyFile: pathToFileURL(path) }, { 'content-length': length }],
    [{ body: new Blob([BODY], { type: 'image/png' }) }, { 'content-length': length, 'content-type': 'image/png' }],
    [{ body: await openAsBlob(path), contentType: 'text/plain' }, { 'content-length': length, 'content-type': 'text/plain' }],
    [{ body: ReadableStream.from(pieces) }, { 'transfer-encoding': 'chunked' }],
    [{ body: createReadStream(path) }, { 'transfer-encoding': 'chunked' }],
    [{ body: slowly(pieces), contentLength: BODY.length }, { 'content-length': length }],
    [{ body: pieces }, { 'transfer-encoding': 'chunked' }],
    [{ body: new Set([BODY]) }, { 'transfer-encoding': 'chunked' }],
  ]) {
    const response = await upload(client, given)
    assert.deepEqual(await response.json(), TAKEN)
    const headers = Object.fromEntries((await report()).log.at(-1).headers)
    for (const [name, value] of Object.entries(framing)) assert.equal(headers[name], value)
  }
  const text = await client.request('POST', '/echo', { body: slowly(['é', 'x']) })
  assert.equal((await text.json()).body, 'éx')
})

test('a Blob and a file are sent again, other bodies only if nothing was read', async (t) => {
  const { options, patch } = await space()
  const client = Client.atlas(options)
  const folder = mkdtempSync(join(tmpdir(), 'svctoken-upload-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'body')
  writeFileSync(path, BODY)
  for (const given of [{ body: new Blob([BODY]) }, { bodyFile: path }]) {
    await patch({ rules: [{ path: '/upload', nth: [1], do: { status: 503 } }] })
    const response = await upload(client, given)
    assert.deepEqual(await response.json(), TAKEN)
    assert.equal(response.attempts, 2)
  }
  await patch({ rules: [{ path: '/upload', nth: [1], do: { status: 503 } }] })
  assert.equal((await upload(client, { body: slowly([BODY]) })).status, 503)
})

test('wrong bodies name the fix', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const locked = ReadableStream.from([BODY])
  locked.getReader()
  for (const [given, fix] of [
    [{ body: locked }, /reads already/],
    [{ body: new FormData() }, /FormData/],
    [{ body: {} }, /iterable, not/],
    [{ body: 7 }, /iterable, not/],
    [{ body: [7] }, /bytes or strings/],
    [{ body: 'text', contentLength: 4 }, /contentLength/],
    [{ body: new Blob(['x']), contentLength: 1 }, /contentLength/],
    [{ body: slowly([]), contentLength: -1 }, /contentLength/],
    [{ bodyFile: '/', contentLength: 1 }, /contentLength/],
    [{ bodyFile: '/' }, /folder/],
    [{ bodyFile: new URL('https://example.com/') }, /file: URL/],
    [{ bodyFile: '/x', json: 1 }, /another body/],
    [{ json: 1, body: slowly([]) }, /both/],
  ]) {
    await assert.rejects(upload(client, given), (error) => fails('SVCTOKEN_INVALID_ARGUMENT')(error) && fix.test(error.message))
  }
})

test('what a source throws is what the call rejects with, and every source is ended once', async () => {
  const { options, patch } = await space()
  const client = Client.atlas(options)
  const mine = new Error('no more paper')
  await assert.rejects(upload(client, { body: counting(async () => { throw mine }) }), (error) => error === mine)
  const stream = new ReadableStream({ pull(controller) { controller.error(mine) } })
  await assert.rejects(upload(client, { body: stream }), (error) => error === mine)

  const source = counting(async () => ({ value: BODY, done: false }))
  await patch({ rules: [{ path: '/upload', do: { body_bytes: 0, status: 413 } }] })
  assert.equal((await upload(client, { body: source })).status, 413)
  assert.equal(source.ended, 1, 'though it was not begun')
  await patch({ rules: [{ path: '/upload', do: { body_bytes: 1000, status: 413 } }] })
  let cancelled
  const unwanted = new ReadableStream({ pull: (to) => to.enqueue(BODY), cancel: () => { cancelled = true } })
  assert.equal((await upload(client, { body: unwanted })).status, 413)
  assert.equal(cancelled, true)
})

test('abort rejects at once, though the source or the server stalls, and ends the source', async () => {
  const { options, patch, wait } = await space()
  const client = Client.atlas(options)
  await client.getToken()
  const reason = new Error('changed my mind')
  for (const body of [
    counting(() => new Promise(() => {})),
    new ReadableStream({ pull: () => new Promise(() => {}) }),
    new Readable({ read() {} }),
  ]) {
    const controller = new AbortController()
    const call = upload(client, { body, signal: controller.signal })
    setTimeout(() => controller.abort(reason), 20)
    await assert.rejects(call, (error) => error === reason)
    await new Promise(setImmediate)
    if (body instanceof Readable) assert.ok(body.destroyed)
    if ('ended' in body) assert.equal(body.ended, 1)
  }
  await patch({ rules: [{ path: '/upload', do: { hold_body: { after_bytes: 1000, gate: 'g' } } }] })
  const controller = new AbortController()
  const call = upload(client, { body: counting(async () => ({ value: BODY, done: false })), signal: controller.signal })
  await wait({ held: { g: 1 } })
  controller.abort(reason)
  await assert.rejects(call, (error) => error === reason)
})

test('a source may use its own client', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  async function * source() {
    yield * await client.request('GET', '/bytes/300000', { stream: true })
    yield (await client.request('GET', `/bytes/${BODY.length}`).then((response) => response.bytes())).subarray(300_000)
  }
  assert.deepEqual(await (await upload(client, { body: source() })).json(), TAKEN)
})
