'use strict'
// The Node.js driver: one command a line in, one answer a line out, as tests/drivers/README.md says. It judges nothing.

const { readFile } = require('node:fs/promises')
const { inspect } = require('node:util')
const { serialize } = require('node:v8')
const { readFileSync, writeFileSync } = require('node:fs')
const readline = require('node:readline')
const { Client, SvctokenError } = require('../../../node')
const { advanceClock } = require('../../../node/testing.js')
const { withUpload } = require('./upload.js')

/** The test is wrong, not the library. */
class Broken extends Error {}

const NUMBERS = [
  'timeout', 'connect_timeout', 'idle_timeout', 'token_timeout', 'max_attempts', 'max_pages', 'mint_budget',
  'max_response_bytes', 'take', 'stop_after', 'cancel_after', 'measure', 'upload', 'upload_length', 'upload_fails',
  'upload_cancel',
]
const LISTS = ['allowed_origins', 'resource', 'client_secret_command']

const LOUD = process.env.SVCTOKEN_DRIVER_LOUD !== undefined

/** Shows on standard error what a program might print of a value, for the runner to search for secrets. */
function show(value) {
  if (!LOUD) return
  const forms = [
    inspect(value), inspect(value, { depth: 10, showHidden: true, compact: false }), String(value), JSON.stringify(value),
  ]
  if (value instanceof Error) {
    forms.push(value.stack, JSON.stringify(value, Object.getOwnPropertyNames(value)), serialize({ ...value }).toString('latin1'))
  }
  process.stderr.write(`${forms.join('\n')}\n`)
}

const clients = new Map()
const calls = new Map()
/** The answers that a client's hook was given. */
const received = []
/** The log events of each client that `events` has not taken yet. */
const events = new Map()

const commands = {
  client(fields) {
    const id = text(fields.shift())
    return settled(async () => {
      const client = makeClient(fields.map(pair))
      show(client)
      clients.set(id, client)
      events.set(id, [])
      client.on('log', (event) => {
        show(event)
        events.get(id).push(event)
      })
      return []
    })
  },
  get_token: (fields) => startCall(fields, async (client, signal, given) => {
    return [['token', await client.getToken({ ...callOptions(given), signal })]]
  }),
  get_token_info: (fields) => startCall(fields, async (client, signal, given) => {
    const info = await client.getTokenInfo({ ...callOptions(given), signal })
    show(info)
    const answer = [['token', info.token], ['token_type', info.tokenType], ['expires_in_ms', info.expiresIn]]
    return info.scope === null ? answer : [...answer, ['scope', info.scope]]
  }),
  revoke: (fields) => startCall(fields, async (client, signal, given) => {
    return [['result', await client.revoke({ ...callOptions(given), signal })]]
  }),
  introspect: (fields) => startCall(fields, async (client, signal, given) => {
    const { token, ...options } = callOptions(given)
    const answer = await client.introspect(token, { ...options, signal })
    show(answer)
    return [['body', JSON.stringify(answer)]]
  }),
  request: (fields) => startCall(fields, async (client, signal, [method, url, ...given], cancel) => {
    const { then, upload, ...options } = withUpload(requestOptions(given), cancel)
    if (upload) {
      const { measure, done } = upload
      const call = async () => answerOf(await client.request(text(method), text(url), { ...options, signal }), then)
      return measured(measure, call).finally(done)
    }
    if (options.download !== undefined) return downloaded(client, text(method), text(url), then, { ...options, signal })
    if (options.stream) return readStream(client, text(method), text(url), then, { ...options, signal }, cancel)
    return answerOf(await client.request(text(method), text(url), { ...options, signal }), then)
  }),
  pages: (fields) => startCall(fields, async (client, signal, [url, ...given]) => {
    const { take, ...options } = requestOptions(given)
    const pages = await taken(client.pages(text(url), { ...options, signal }), take)
    const urls = pages.map((page) => page.url).join(' ')
    const answer = [['count', pages.length], ['urls', urls]]
    if (pages.length > 0) answer.push(['status', pages.at(-1).status], ['body', await pages.at(-1).bytes()])
    if (received.length > 0) answer.push(['received', received.length])
    return answer
  }),
  items: (fields) => startCall(fields, async (client, signal, [url, ...given]) => {
    const { take, ...options } = requestOptions(given)
    const items = await taken(client.items(text(url), { ...options, signal }), take)
    return [['count', items.length], ['body', JSON.stringify(items)]]
  }),
  async wait([id]) {
    const { answer } = known(calls, id)
    calls.delete(text(id))
    return answer
  },
  async cancel([id]) {
    known(calls, id).controller.abort()
    return line('ok')
  },
  invalidate_token: async ([id, token]) => line('ok', [['result', known(clients, id).invalidateToken(text(token))]]),
  clear_cache: ([id]) => settled(async () => {
    await known(clients, id).clearCache()
    return []
  }),
  async advance([milliseconds]) {
    advanceClock(Number(milliseconds))
    return line('ok')
  },
  async stats([id]) {
    return line('ok', Object.entries(known(clients, id).stats()).map(([name, count]) => [snakeCase(name), count]))
  },
  async events([id]) {
    const taken = known(events, id).splice(0)
    return line('ok', taken.flatMap(({ fields, ...facts }, index) =>
      Object.entries({ ...facts, ...fields }).map(([key, value]) => [`${index}.${key}`, value])))
  },
  async close([id]) {
    known(clients, id).close()
    return line('ok')
  },
  describe: async ([id]) => line('ok', [['text', inspect(known(clients, id))]]),
  quit: async () => line('ok'),
}

function makeClient(given) {
  const arguments_ = { constructor: 'plain' }
  const options = {}
  const environment = {}
  for (const [key, value] of given) {
    if (['constructor', 'server_url', 'realm'].includes(key)) arguments_[key] = text(value)
    else if (key === 'issuer' && arguments_.constructor === 'issuer') arguments_.issuer = text(value)
    else if (key.startsWith('env.')) environment[key.slice(4)] = text(value)
    else addOption(options, key, value)
  }
  for (const name of Object.keys(process.env)) {
    if (/^(SVCTOKEN|MONGODB_ATLAS)_/.test(name)) delete process.env[name]
  }
  Object.assign(process.env, environment)
  const { hook, ...others } = options
  const client = madeClient(arguments_, others)
  if (hook) {
    client.beforeSend = async () => hook
    client.afterReceive = (response) => { received.push(response) }
  }
  return client
}

function madeClient(arguments_, options) {
  switch (arguments_.constructor) {
    case 'plain': return new Client(options)
    case 'atlas': return Client.atlas(options)
    case 'keycloak': return Client.keycloak(arguments_.server_url, arguments_.realm, options)
    case 'issuer': return Client.issuer(arguments_.issuer, options)
    case 'from_env': return Client.fromEnv(options)
    default: throw new Broken(`unknown constructor ${arguments_.constructor}`)
  }
}

function addOption(options, key, value) {
  const [, name, type] = key.match(/^(.*?)(?:!(\w+))?$/s)
  const [option, ...rest] = name.split('.')
  const camel = camelCase(option)
  if (type) options[camel] = ofType(type, value)
  else if (option === 'client_secret_callback') options[camel] = () => secretOf(text(value))
  else if (rest.length > 0) (options[camel] ??= []).push([rest.join('.'), text(value)])
  else if (LISTS.includes(option)) (options[camel] ??= []).push(text(value))
  else if (NUMBERS.includes(option)) options[camel] = Number(text(value))
  else if (option === 'allow_http') options[camel] = text(value) === 'true'
  else options[camel] = text(value)
}

async function secretOf(path) {
  const [line] = await readFile(path, 'utf8').then((content) => content.split('\n'), () => [''])
  if (!line) throw new Error('there is no secret today')
  return line
}

function ofType(type, value) {
  switch (type) {
    case 'number': return Number(text(value))
    case 'flag': return text(value) === 'true'
    case 'null': return null
    case 'list': return [text(value)]
    case 'bytes': return text(value)
    default: throw new Broken('not expressible')
  }
}

function callOptions(fields) {
  const options = {}
  for (const [key, value] of fields.map(pair)) options[camelCase(key)] = key === 'token' ? text(value) : Number(text(value))
  return options
}

function requestOptions(fields) {
  const options = { query: [], headers: [] }
  for (const [key, value] of fields.map(pair)) {
    if (key.startsWith('query.')) options.query.push([key.slice(6), text(value)])
    else if (key.startsWith('header.')) options.headers.push([key.slice(7), text(value)])
    else if (key.startsWith('form.')) (options.form ??= []).push([key.slice(5), text(value)])
    else if (key === 'json') options.json = JSON.parse(text(value))
    else if (key === 'body') options.body = value
    else if (NUMBERS.includes(key)) options[camelCase(key)] = Number(text(value))
    else if (key === 'stream') options.stream = true
    else if (key === 'idempotent') options.idempotent = text(value) === 'true'
    else options[camelCase(key)] = text(value)
  }
  return options
}

async function answerOf(response, then) {
  show(response)
  const error = await response.error()
  show(error)
  if (then === 'check' && error) throw error
  const answer = [
    ['status', response.status], ['attempts', response.attempts], ['url', response.url], ['body', await response.bytes()],
  ]
  if (received.length > 0) answer.push(['received', received.length])
  if (then === 'text') answer.push(['text', await response.text()])
  // Headers hands out bytes as Latin-1.
  const headers = [...response.headers].map(([name, value]) => [`header.${name}`, Buffer.from(value, 'latin1')])
  return [...answer, ...headers]
}

async function downloaded(client, method, url, then, { download, progressStop, measure, ...options }) {
  const told = []
  const progress = ({ received, total }) => {
    told.push(`${received}/${total ?? '-'}`)
    if (received >= progressStop) throw new Error('that is enough')
  }
  const facts = () => (told.length > 0 ? [['progress_first', told[0]], ['progress_last', told.at(-1)]] : [])
  const call = async () => answerOf(await client.download(method, url, download, { ...options, progress }), then)
  return measured(measure, call, facts)
}

/** What a call came to, with the memory that it took if that is to be measured, and with `more` facts. */
async function measured(measure, call, more = () => []) {
  const growth = measure ? memoryGrowth() : () => []
  const facts = () => [...more(), ...growth()]
  try {
    return [...await call(), ...facts()]
  } catch (cause) {
    throw new Streamed(facts(), cause)
  }
}

/** A stream that ended by an error, with these facts. */
class Streamed extends Error {
  constructor(facts, cause) {
    super('', { cause })
    this.facts = facts
  }
}

/** What was resident at most in any call before, in KiB: what V8 allowed itself once it gives back and takes again. */
let mostResident = 0

/** A function that tells by how much the resident memory has grown since. */
function memoryGrowth() {
  // The peak begins anew.
  writeFileSync('/proc/self/clear_refs', '5')
  const before = Math.max(memory('VmRSS'), mostResident)
  return () => {
    mostResident = Math.max(mostResident, memory('VmHWM'))
    return [['growth_kib', mostResident - before]]
  }
}

/** A number of /proc/self/status, in KiB. */
function memory(name) {
  return Number(readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1])
}

/** What the sandbox's bodies are made of, enough for any piece of one. */
const PATTERN = Buffer.from(Uint8Array.from({ length: 256 * 1024 + 251 }, (_, index) => index % 251))

async function readStream(client, method, url, then, { stopAfter, cancelAfter, measure, ...options }, cancel) {
  const response = await client.request(method, url, options)
  show(response)
  const error = await response.error()
  show(error)
  if (then === 'check' && error) throw error
  const pieces = []
  let length = 0
  let matches = true
  const growth = measure ? memoryGrowth() : () => []
  const measured = () => [['streamed', length], ...(measure ? [['matches', matches], ...growth()] : [])]
  try {
    for await (const piece of response) {
      if (measure) matches &&= PATTERN.subarray(length % 251, length % 251 + piece.length).equals(piece)
      else pieces.push(piece)
      length += piece.length
      if (length >= cancelAfter) cancel()
      if (length >= stopAfter) break
    }
  } catch (cause) {
    throw new Streamed(measured(), cause)
  }
  const headers = [...response.headers].map(([name, value]) => [`header.${name}`, Buffer.from(value, 'latin1')])
  const facts = [['status', response.status], ['attempts', response.attempts], ['url', response.url]]
  return [...facts, ['body', Buffer.concat(pieces)], ...measured(), ...headers]
}

async function startCall([id, clientId, ...fields], work) {
  const client = known(clients, clientId)
  const controller = new AbortController()
  const start = performance.now()
  const elapsed = () => [['elapsed_ms', performance.now() - start]]
  const answer = settled(() => work(client, controller.signal, fields, () => controller.abort()), elapsed, controller.signal)
  calls.set(text(id), { controller, answer })
  return line('ok')
}

/** A list that ended with an error after so many pages or items. */
class Failed extends Error {
  constructor(cause, count) {
    super('', { cause })
    this.count = count
  }
}

async function taken(list, most = Infinity) {
  const found = []
  try {
    for await (const one of list) {
      show(one)
      if (found.push(one) === most) break
    }
  } catch (error) {
    throw new Failed(error, found.length)
  }
  return found
}

/** The answer of what was called: its fields, or its error. */
async function settled(work, more = () => [], signal = undefined) {
  try {
    const fields = await work()
    return line('ok', [...fields, ...more()])
  } catch (thrown) {
    if (thrown instanceof Failed) {
      const { cause, count } = thrown
      return settled(() => { throw cause }, () => [...more(), ['count', count]], signal)
    }
    const error = thrown
    if (error instanceof Broken) return broken(error)
    if (error instanceof Streamed) {
      return settled(async () => { throw error.cause }, () => [...error.facts, ...more()], signal)
    }
    show(error)
    if (error instanceof SvctokenError) return line('error', [...errorFields(error), ...more()])
    // As everywhere in JavaScript, a cancelled call fails with what its signal says.
    if (signal?.aborted && error === signal.reason) {
      return line('error', [['code', 21], ['name', 'cancelled'], ['message', error.message], ...more()])
    }
    return line('foreign', [['type', error?.constructor?.name], ['message', error?.message ?? error]])
  }
}

function errorFields(error) {
  const optional = {
    status: error.status,
    oauth_error: error.oauthError,
    oauth_error_description: error.oauthErrorDescription,
    api_error_code: error.apiErrorCode,
    retry_after_ms: error.retryAfter,
  }
  const classes = []
  for (let of = error; of !== Object.prototype; of = Object.getPrototypeOf(of)) {
    if (Object.hasOwn(of, 'constructor')) classes.push(of.constructor.name)
  }
  return [
    ['code', error.number],
    ['name', error.code.replace(/^SVCTOKEN_/, '').toLowerCase()],
    ['message', error.message],
    ['stage', error.stage],
    ...Object.entries(optional),
    ['class', classes.join(',')],
  ].filter(([, value]) => value !== undefined)
}

function known(map, id) {
  if (!map.has(text(id))) throw new Broken(`unknown ${map === calls ? 'call' : 'client'} ${id}`)
  return map.get(text(id))
}

const broken = (error) => line('broken', [['message', error.stack]])

function line(word, fields = []) {
  return [word, ...fields.map(([key, value]) => `${encode(key)}=${encode(value)}`)].join('\t')
}

/** A field as bytes; its text by `text`. */
function decode(field) {
  return Buffer.from(field.replace(/%([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))), 'latin1')
}

function encode(value) {
  const bytes = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value))
  return bytes.toString('latin1').replace(/[^A-Za-z0-9\-._~:/?,;@$*()! ]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}

/** `key=value` as a text and bytes. */
function pair(field) {
  const at = field.indexOf('=')
  if (at < 0) throw new Broken(`${field} is not key=value`)
  return [text(field.slice(0, at)), decode(field.slice(at + 1))]
}

const text = (field) => (typeof field === 'string' ? decode(field) : field).toString('utf8')
const camelCase = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())
const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

async function answer(command) {
  const [word, ...fields] = command.split('\t')
  try {
    if (!Object.hasOwn(commands, word)) throw new Broken(`unknown command ${word}`)
    return await commands[word](fields)
  } catch (error) {
    return broken(error)
  }
}

async function main() {
  for await (const command of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${await answer(command)}\n`)
    if (command === 'quit') process.exit(0)
  }
}

main()
