'use strict'

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { test } = require('node:test')
const { pathToFileURL } = require('node:url')
const { Client, Response, SvctokenError } = require('svctoken')
const { space } = require('./sandbox.js')

const pattern = (length) => Buffer.from(Uint8Array.from({ length }, (_, index) => index % 251))

function folderOf(t) {
  const folder = mkdtempSync(join(tmpdir(), 'svctoken-download-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

test('a download is a file, its answer a Response without a body, and progress numbers', async (t) => {
  const { options } = await space()
  const client = Client.atlas(options)
  const folder = folderOf(t)
  const told = []
  const path = join(folder, 'file')
  const response = await client.download('GET', '/bytes/100000', path, { progress: (so) => { told.push(so) } })
  assert.ok(response instanceof Response && response.ok)
  assert.equal((await response.bytes()).length, 0)
  assert.deepEqual(readFileSync(path), pattern(100_000))
  assert.deepEqual([told[0], told.at(-1)], [{ received: 0, total: 100_000 }, { received: 100_000, total: 100_000 }])
  await client.download('GET', '/bytes/10', pathToFileURL(path))
  assert.deepEqual(readFileSync(path), pattern(10))
  assert.deepEqual(readdirSync(folder), ['file'])
})

test('wrong arguments name the fix', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  for (const [path, given, fix] of [
    [undefined, {}, /path/], [7, {}, /path/], [new URL('https://x.example/'), {}, /file: URL/],
    ['x', { progress: 1 }, /progress/], ['x', { stream: true }, /stream/], ['/', {}, /something else than a file/],
  ]) {
    await assert.rejects(client.download('GET', '/bytes/1', path, given), (error) =>
      error instanceof SvctokenError && error.code === 'SVCTOKEN_INVALID_ARGUMENT' && fix.test(error.message))
  }
})

test('what progress throws, and abort, reject with that when nothing is left behind', async (t) => {
  const { options, patch, wait } = await space({ rules: [{ path: '/bytes/*', do: { stall: { after_body_bytes: 1000 } } }] })
  const client = Client.atlas(options)
  const folder = folderOf(t)
  const path = join(folder, 'file')
  writeFileSync(path, 'old')
  await client.getToken()
  const mine = new Error('that is enough')
  let calls = 0
  const progress = () => { calls++; throw mine }
  await assert.rejects(client.download('GET', '/bytes/5000', path, { progress }), (error) => error === mine)
  assert.equal(calls, 1)
  assert.deepEqual(readdirSync(folder), ['file'])
  const controller = new AbortController()
  const call = client.download('GET', '/bytes/5000', path, { signal: controller.signal })
  await wait({ requests: 3 })
  controller.abort(mine)
  await assert.rejects(call, (error) => error === mine)
  assert.deepEqual(readdirSync(folder), ['file'])
  assert.equal(readFileSync(path, 'utf8'), 'old')
  await patch({ rules: [] })
  await client.download('GET', '/bytes/5', path)
  assert.deepEqual(readFileSync(path), pattern(5))
})

test('the example shows its progress', { timeout: 60_000 }, async (t) => {
  const { options } = await space()
  const folder = folderOf(t)
  const file = join(folder, 'file')
  const environment = {
    MONGODB_ATLAS_BASE_URL: options.baseUrl,
    MONGODB_ATLAS_CLIENT_ID: options.clientId,
    MONGODB_ATLAS_CLIENT_SECRET: options.clientSecret,
  }
  for (const [path, code, shown] of [['/bytes/2000000', 0, /100\.0 %\s+2\.0 MB/], ['/api/atlas/v2/nothing', 1, /404/]]) {
    const example = join(__dirname, '..', 'examples', 'download.mjs')
    const ended = spawnSync(process.execPath, [example, path, file], { env: { ...process.env, ...environment } })
    assert.equal(ended.status, code, ended.stderr)
    assert.match(ended.stderr.toString(), shown)
    assert.deepEqual(readFileSync(file), pattern(2_000_000))
  }
})
