'use strict'
// Log events, as a client's listeners get them.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { Client } = require('svctoken')
const { advanceClock } = require('svctoken/testing')
const { program } = require('./program.js')
const { hold, space } = require('./sandbox.js')

/** The names of what happens to a client, as they come. */
function listen(client) {
  const names = []
  client.on('log', ({ name }) => names.push(name))
  return names
}

test('a first token tells its story in order, before its promise is kept; a fresh one tells nothing', async () => {
  const { options, url } = await space()
  const client = Client.atlas(options)
  const events = []
  assert.equal(client.on('log', (event) => events.push(event)), client)
  const token = await client.getToken()
  const facts = events.map(({ severity, name }) => [severity, name])
  assert.deepEqual(facts, [['debug', 'token_requested'], ['info', 'token_received'], ['debug', 'token_waited']])
  const [requested, received] = events
  assert.ok(requested.message.startsWith(`requesting a token from ${url}`), requested.message)
  assert.deepEqual(requested.fields, { reason: 'no_token', attempt: '1', server: url })
  assert.equal(received.fields.lifetime_ms, '3600000')
  assert.ok(Object.isFrozen(received) && Object.isFrozen(received.fields))
  assert.equal(await client.getToken(), token)
  assert.equal(client.invalidateToken(token), true)
  // Later, even what happens on this very thread.
  assert.equal(events.length, 3)
  await once(client, 'log')
  assert.deepEqual([events[3].severity, events[3].name], ['warning', 'token_condemned'])
})

test('once and off listen no longer, and an event goes to the client that it happened to', async () => {
  const { options } = await space()
  const [client, other] = [Client.atlas(options), Client.atlas({ ...options, scope: 'other' })]
  const [names, others, first] = [listen(client), listen(other), []]
  client.once('log', ({ name }) => first.push(name))
  const listener = () => assert.fail('it was taken off')
  client.on('log', listener).off('log', listener)
  await client.getToken()
  assert.deepEqual([names.length, first, others], [3, ['token_requested'], []])
  await other.getToken()
  assert.deepEqual([names.length, others.length], [3, 3])
})

test('without listeners nothing is handed over', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const names = []
  const listener = ({ name }) => names.push(name)
  client.on('log', listener)
  await client.getToken()
  client.off('log', listener)
  advanceClock(4000_000)
  await client.getToken()
  client.on('log', listener)
  client.invalidateToken(await client.getToken())
  await once(client, 'log')
  assert.deepEqual(names, ['token_requested', 'token_received', 'token_waited', 'token_condemned'])
})

test('P8: a listener keeps no process alive', async () => {
  const { options } = await space()
  const source = `
    const client = Client.atlas(options).on('log', ({ name }) => console.log(name))
    client.getToken()`
  const printed = 'token_requested\ntoken_received\ntoken_waited\n'
  assert.deepEqual(await program(source, options).ended, { code: 0, signal: null, printed })
})

test('a listener that throws is an uncaught exception, and no call is lost by it', async () => {
  const { options } = await space()
  const source = `
    const caught = []
    process.on('uncaughtException', (error) => caught.push(error.message))
    const client = Client.atlas(options).on('log', ({ name }) => { throw new Error(name) })
    client.request('GET', '/echo').then((r) => console.log(r.status, caught.join()))`
  const printed = '200 token_requested,token_received,token_waited\n'
  assert.deepEqual(await program(source, options).ended, { code: 0, signal: null, printed })
})

test('a client that is listened to is collected when nobody has it any more', async () => {
  const { options } = await space()
  const source = `
    require('node:v8').setFlagsFromString('--expose-gc')
    const collect = require('node:vm').runInNewContext('gc')
    let client = Client.atlas(options).on('log', () => {})
    const collected = new WeakRef(client)
    client.getToken().then(() => {
      client = undefined
      setImmediate(() => { collect(); setImmediate(() => { collect(); console.log(collected.deref()) }) })
    })`
  assert.deepEqual(await program(source, options).ended, { code: 0, signal: null, printed: 'undefined\n' })
})

test('P8: a worker may be terminated while events are on their way', async () => {
  const { options, wait, release } = await space({ rules: [hold('/api/oauth/token', 'gate')] })
  const source = `
    const { Client } = require('svctoken')
    const options = ${JSON.stringify(options)}
    for (let i = 0; i < 8; i += 1) {
      const client = Client.atlas({ ...options, scope: String(i) }).on('log', () => {})
      client.getToken()
    }
    // The worker does not come to its events any more.
    setTimeout(() => { for (;;); })`
  const workers = Array.from({ length: 4 }, () => new Worker(source, { eval: true }))
  await wait({ held: { gate: 8 } })
  await release('gate')
  await Promise.all(workers.map((worker) => worker.terminate()))
  const client = Client.atlas({ ...options, scope: 'here' })
  const names = listen(client)
  assert.ok(await client.getToken())
  assert.deepEqual(names, ['token_requested', 'token_received', 'token_waited'])
})
