'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { Client, SvctokenError } = require('svctoken')
const { advanceClock } = require('svctoken/testing')
const { CLIENT, space } = require('./sandbox.js')

const fails = (code, ...parts) => (error) => {
  assert.ok(error instanceof SvctokenError, inspect(error))
  assert.equal(error.code, code)
  for (const part of parts) assert.match(error.message, part)
  return true
}

test('a token is requested once and then the same promise is handed out', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const token = await client.getToken()
  assert.equal(await client.getToken(), token)
  assert.equal(client.getToken(), client.getToken())
  assert.equal((await report()).token_requests, 1)
})

test('the kept token is given up as soon as it is not fresh, whoever made it so', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const other = Client.atlas(options)
  const first = await client.getToken()
  assert.equal(other.invalidateToken(first), true)
  assert.equal(other.invalidateToken(first), false)
  const second = await client.getToken()
  assert.notEqual(second, first)
  advanceClock(3600_000)
  const third = await client.getToken()
  assert.notEqual(third, second)
  client.close()
  await assert.rejects(client.getToken(), fails('SVCTOKEN_CLOSED'))
  assert.equal(await other.getToken(), third)
})

test('P7: neither a token nor a secret is shown by what a log would write', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const info = await client.getTokenInfo()
  const response = await client.request('GET', '/api/atlas/v2/groups')
  const error = await client.request('GET', '/api/atlas/v2/forbidden').then((r) => r.error())
  for (const value of [client, info, response, error]) {
    const shown = inspect(value, { depth: 10, showHidden: true }) + JSON.stringify(value) + String(value)
    assert.ok(!shown.includes(info.token) && !shown.includes(options.clientSecret), shown)
  }
  assert.ok(info.token.length > 100)
})

test('token facts: type, scope, and times in milliseconds', async () => {
  const { options } = await space({ expires_in: 600, token_fields: { scope: 'a b' } })
  const { tokenType, scope, expiresIn, expiresAt } = await Client.atlas(options).getTokenInfo()
  assert.deepEqual([tokenType, scope], ['Bearer', 'a b'])
  assert.ok(expiresIn > 500_000 && expiresIn <= 600_000, String(expiresIn))
  assert.ok(expiresAt instanceof Date)
})

test('query and headers may be objects, pairs, Map, URLSearchParams and Headers', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const echo = async (given) => (await client.request('GET', '/echo?z=0', given)).json()
  const values = { a: [1, 'ü'], b: true, c: null, d: undefined, e: 5n }
  for (const query of [values, Object.entries(values), new Map(Object.entries(values))]) {
    assert.equal((await echo({ query })).query, 'z=0&a=1&a=%C3%BC&b=true&e=5')
  }
  assert.equal((await echo({ query: new URLSearchParams('a=1&a=2') })).query, 'z=0&a=1&a=2')
  for (const headers of [{ 'X-One': 'two' }, [['X-One', 'two']], new Headers({ 'X-One': 'two' })]) {
    const sent = await echo({ headers })
    assert.deepEqual(sent.headers.filter(([name]) => name === 'x-one'), [['x-one', 'two']])
  }
})

test('a body may be JSON, text, bytes or a form', async () => {
  const { options } = await space()
  const client = Client.atlas(options)
  const sent = async (given) => {
    const echo = await (await client.request('POST', '/echo', given)).json()
    const type = echo.headers.find(([name]) => name === 'content-type')?.[1]
    return [Buffer.from(echo.body_base64, 'base64').toString('latin1'), type]
  }
  assert.deepEqual(await sent({ json: { a: [1, null] } }), ['{"a":[1,null]}', 'application/json'])
  assert.deepEqual(await sent({ json: null }), ['null', 'application/json'])
  assert.deepEqual(await sent({ body: 'text' }), ['text', undefined])
  assert.deepEqual(await sent({ body: '<a/>', contentType: 'application/xml' }), ['<a/>', 'application/xml'])
  const form = new URLSearchParams({ a: 'b c' })
  assert.deepEqual(await sent({ body: form }), ['a=b+c', 'application/x-www-form-urlencoded'])
  assert.deepEqual(await sent({ form: { a: ['1', 2], b: null, c: true } }), ['a=1&a=2&c=true', 'application/x-www-form-urlencoded'])
  await assert.rejects(sent({ form: { a: 1 }, json: {} }), { code: 'SVCTOKEN_INVALID_ARGUMENT' })
  const bytes = Uint8Array.from([1, 2, 3, 255])
  for (const body of [bytes.subarray(1), Buffer.from(bytes).subarray(1), bytes.buffer.slice(1)]) {
    assert.deepEqual(await sent({ body }), ['\x02\x03\xff', undefined])
  }
})

test('what a hook throws rejects the call', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const seen = []
  client.beforeSend = (method, url) => { seen.push([method, url]) }
  client.afterReceive = async (response) => { seen.push(response) }
  const r = await client.request('GET', '/echo')
  assert.deepEqual(seen, [['GET', '/echo'], r])
  client.afterReceive = () => { throw new RangeError('own') }
  await assert.rejects(client.request('GET', '/echo'), RangeError)
  const { requests } = await report()
  client.beforeSend = async () => { throw new RangeError('own') }
  await assert.rejects(client.request('GET', '/echo'), RangeError)
  client.beforeSend = () => 5
  await assert.rejects(client.request('GET', '/echo'), { code: 'SVCTOKEN_INVALID_ARGUMENT', message: /beforeSend/ })
  assert.equal((await report()).requests, requests)
})

test('P13: an argument of a wrong type is refused by name, before any network', async () => {
  const { options, report } = await space()
  const client = Client.atlas(options)
  const refused = 'SVCTOKEN_INVALID_ARGUMENT'
  const circle = {}
  circle.self = circle
  for (const [given, named] of [
    [{ timeout: '5' }, /timeout must be a number, not a string/],
    [{ timeout: 0 }, /timeout/],
    [{ timeout: NaN }, /timeout/],
    [{ signal: {} }, /signal must be an AbortSignal/],
    [{ query: 'a=b' }, /query must be an object or pairs, not a string/],
    [{ query: ['ab'] }, /query must hold pairs/],
    [{ query: { a: {} } }, /query "a" must be a string/],
    [{ headers: { a: Symbol('s') } }, /headers "a"/],
    [{ headers: { Authorization: 'x' } }, /authorization/i],
    [{ json: circle }, /json cannot be written/],
    [{ json: () => 1 }, /json cannot be written/],
    [{ json: 1, body: 'x' }, /json and body/],
    [{ body: 5 }, /body must be/],
    [{ contentType: 5 }, /contentType must be a string/],
    [{ accept: 5 }, /accept must be a string/],
    [{ maxResponseBytes: -1 }, /maxResponseBytes must be a whole number/],
    [{ params: {} }, /no option "params".*query/],
    [5, /options must be an object/],
  ]) {
    await assert.rejects(client.request('POST', '/echo', given), fails(refused, named))
  }
  await assert.rejects(client.request(5, '/echo'), fails(refused, /method must be a string/))
  await assert.rejects(client.request('GET'), fails(refused, /url must be a string, not undefined/))
  await assert.rejects(client.request('GET', 'echo'), fails(refused, /echo/))
  await assert.rejects(client.getToken({ timeout: -1 }), fails(refused, /timeout/))
  await assert.rejects(client.getToken({ timeuot: 1 }), fails(refused, /no option "timeuot"/))
  await assert.rejects(client.getTokenInfo(5), fails(refused, /options/))
  assert.throws(() => client.invalidateToken(5), fails(refused, /token must be a string/))
  assert.throws(() => advanceClock('5'), fails(refused, /milliseconds/))
  assert.equal((await report()).requests, 0)
})

test('P13: an option of a wrong type is refused by name', () => {
  const refused = 'SVCTOKEN_INVALID_CONFIGURATION'
  for (const [given, named] of [
    [{ clientId: 5 }, /client_id/],
    [{ clientSecret: Buffer.from('x') }, /client_secret/],
    [{ timeout: '5' }, /timeout/],
    [{ timeout: -1 }, /timeout/],
    [{ allowHttp: 'yes' }, /allow_http/],
    [{ allowedOrigins: [5] }, /allowed_origins/],
    [{ headers: { a: 5 } }, /headers/],
    [{ headers: { 'a\0': 'b' } }, /headers/],
    [{ extraParams: [['a']] }, /extra_params/],
    [{ scope: () => 1 }, /scope/],
    [{ clientSercet: 'x' }, /client_sercet.*Did you mean client_secret/],
    ['x', /options must be an object/],
    [[], /options must be an object/],
  ]) {
    const all = typeof given === 'object' && !Array.isArray(given) ? { ...CLIENT, ...given } : given
    assert.throws(() => Client.atlas(all), fails(refused, named))
  }
  assert.throws(() => Client.issuer(undefined, CLIENT), fails(refused, /url must be a string/))
  assert.throws(() => Client.issuer('https://a.example', { ...CLIENT, issuer: 'https://a.example' }), fails(refused, /twice/))
  assert.throws(() => Client.keycloak(5, 'demo', CLIENT), fails(refused, /serverUrl/))
  assert.throws(() => new Client(), fails(refused))
  Client.atlas({ ...CLIENT, scope: undefined, timeout: null, headers: new Headers({ a: 'b' }) })
})

test('an answer is read like one of fetch, as often as wanted', async () => {
  const headers = [['X-Name', 'Zürich €'], ['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2']]
  const rule = { path: '/answer', do: { status: 201, headers, body: '{"name":"ü"}' } }
  const { options, url } = await space({ rules: [rule] })
  const client = Client.atlas(options)
  const r = await client.request('GET', new URL('/answer?a=b', url))
  assert.deepEqual([r.status, r.ok, r.url, r.attempts], [201, true, `${url}/answer?a=b`, 1])
  assert.deepEqual(await r.json(), { name: 'ü' })
  assert.equal(await r.text(), '{"name":"ü"}')
  assert.deepEqual(new Uint8Array(await r.arrayBuffer()), await r.bytes())
  assert.deepEqual(r.headers.getSetCookie(), ['a=1', 'b=2'])
  assert.equal(Buffer.from(r.headers.get('x-name'), 'latin1').toString(), 'Zürich €')
  assert.equal(await r.error(), null)
})

test('an answer that is not JSON says so, and keeps the cause', async () => {
  const { options } = await space({ rules: [{ path: '/answer', do: { body: '<html>' } }] })
  const r = await Client.atlas(options).request('GET', '/answer')
  await assert.rejects(r.json(), (error) => {
    return fails('SVCTOKEN_BAD_ANSWER', /not JSON/)(error) && error.cause instanceof SyntaxError
  })
})

test('P13: an error carries its code, stage, status and retry time', async () => {
  const { options } = await space({ mints_per_minute: 0 })
  await assert.rejects(Client.atlas({ ...options, timeout: 500 }).getToken(), (error) => {
    fails('SVCTOKEN_RATE_LIMITED')(error)
    assert.deepEqual([error.name, error.number, error.status], ['SvctokenError', 43, 429])
    assert.ok(error.retryAfter > 0 && error.stage && error.what && error.nextStep, inspect(error))
    return true
  })
})

test('a client closes at the end of its scope', async () => {
  const client = Client.atlas(CLIENT)
  client[Symbol.dispose]()
  await assert.rejects(client.request('GET', '/echo'), fails('SVCTOKEN_CLOSED'))
})
