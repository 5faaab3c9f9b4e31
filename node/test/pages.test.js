'use strict'
// Lists: that they are what `for await` wants; where their pages lead is in the scenarios.

const assert = require('node:assert/strict')
const { getEventListeners } = require('node:events')
const { test } = require('node:test')
const { Client, Response } = require('svctoken')
const { hold, space } = require('./sandbox.js')

const GROUPS = '/api/atlas/v2/groups'
const query = { itemsPerPage: 1 }

const asked = async (report) => (await report()).log.filter(({ path }) => path === GROUPS)

test('pages are asked for when the loop comes to them, and none after it was left', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const untouched = client.pages(GROUPS, { query })
  assert.equal((await report()).requests, 0)
  await untouched.return()
  for await (const page of client.pages(GROUPS, { query })) {
    assert.ok(page instanceof Response)
    assert.equal((await page.json()).results[0].name, 'project-1')
    break
  }
  assert.equal((await asked(report)).length, 1)
})

test('items are values of all pages', async () => {
  const { options, url, report } = await space()
  const names = []
  for await (const { name } of Client.atlas(options).items(new URL(url + GROUPS), { query: { itemsPerPage: 2 } })) {
    names.push([name, (await asked(report)).length])
  }
  assert.deepEqual(names, [['project-1', 1], ['project-2', 1], ['project-3', 2]])
})

test('hooks are given each page and its URL, and headers go with each', async () => {
  const { options, url, report } = await space()
  const client = Client.atlas(options)
  const before = []
  const after = []
  client.beforeSend = async (method, target) => ({ 'x-trace': String(before.push(`${method} ${target}`)) })
  client.afterReceive = (response) => { after.push(response.url) }
  for await (const page of client.pages(GROUPS, { query, headers: new Map([['X-Call', 'h']]) })) assert.ok(page.ok)
  assert.deepEqual(before, [`GET ${GROUPS}`, `GET ${after[1]}`, `GET ${after[2]}`])
  assert.ok(after[1].startsWith(`${url}${GROUPS}?`) && after[1].includes('pageNum=2'))
  const sent = (await asked(report)).map(({ headers }) => Object.fromEntries(headers))
  assert.deepEqual(sent.map((headers) => [headers['x-trace'], headers['x-call']]), [['1', 'h'], ['2', 'h'], ['3', 'h']])
})

test('an abort ends a list in a page and between pages, and leaves the signal alone', async () => {
  const { options, wait } = await space({ rules: [{ ...hold(GROUPS, 'gate'), nth: [2] }] })
  const client = Client.atlas(options)
  const inPage = new AbortController()
  const pages = client.pages(GROUPS, { query, signal: inPage.signal })
  assert.equal((await pages.next()).value.status, 200)
  const second = pages.next()
  await wait({ held: { gate: 1 } })
  inPage.abort(new Error('enough'))
  await assert.rejects(second, /enough/)
  assert.deepEqual(await pages.next(), { value: undefined, done: true })

  const between = new AbortController()
  const items = client.items(GROUPS, { query, signal: between.signal })
  assert.equal((await items.next()).value.name, 'project-1')
  between.abort(new Error('enough'))
  await assert.rejects(items.next(), /enough/)
  for (const { signal } of [inPage, between]) assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('what is wrong is named', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const wrong = { code: 'SVCTOKEN_INVALID_ARGUMENT' }
  for (const [given, message] of [
    [{ maxPages: 0 }, /maxPages/], [{ maxPages: '3' }, /maxPages/], [{ member: 'results' }, /"member"/], [{ json: 1 }, /"json"/],
  ]) {
    await assert.rejects(client.pages(GROUPS, given).next(), { ...wrong, message })
  }
  await assert.rejects(client.items(GROUPS, { member: 3 }).next(), { ...wrong, message: /member must be a string/ })
  await assert.rejects(client.items(GROUPS, { member: 'toString' }).next(), { code: 'SVCTOKEN_BAD_ANSWER', message: /toString/ })
  assert.equal((await asked(report)).length, 1)
})
