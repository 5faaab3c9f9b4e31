'use strict'

const { EventEmitter } = require('node:events')
const { inspect } = require('node:util')
const native = require('../native.js')
const {
  bodyOf, optionalCount, optionalFlag, optionalFunction, optionalNumber, optionalText, optionsOf, pairs, pathOf, text,
} = require('./arguments.js')
const { createClient, signalOf, start } = require('./calls.js')
const { SvctokenError, invalidConfiguration, typeName, valueOf } = require('./error.js')
const { handOver } = require('./log.js')
const { Response } = require('./response.js')
const { refuseFromOwnCallback } = require('./secret.js')
const { StreamingResponse } = require('./stream.js')

const TOKEN_OPTIONS = ['timeout', 'signal']
const REQUEST_OPTIONS = [
  'query', 'headers', 'json', 'form', 'body', 'bodyFile', 'contentType',
  'contentLength', 'accept', 'timeout', 'maxResponseBytes',
  'maxAttempts', 'idempotent', 'stream', 'idleTimeout', 'signal',
]
const DOWNLOAD_OPTIONS = [...REQUEST_OPTIONS.filter((name) => name !== 'stream'), 'progress']
const PAGES_OPTIONS = [
  'query', 'headers', 'accept', 'timeout', 'maxResponseBytes', 'maxAttempts', 'maxPages', 'signal',
]
const ITEMS_OPTIONS = [...PAGES_OPTIONS, 'member']

/** Which constructor a client is made by; what a user hands over is never an instance of it. */
class Preset {
  constructor(facts, options) {
    this.facts = facts
    this.options = options
  }
}

function mustBeStrings(given) {
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== 'string') throw invalidConfiguration(`${name} must be a string, not ${typeName(value)}`)
  }
}

class TokenInfo {
  #token

  constructor(facts) {
    this.#token = facts.token
    this.tokenType = facts.tokenType
    this.scope = facts.scope ?? null
    this.expiresIn = facts.expiresIn
    this.expiresAt = new Date(facts.expiresAt)
  }

  get token() {
    return this.#token
  }
}

class Client {
  #native
  // The token of a generation, promised once: a fresh token costs one native call and no copy.
  #generation = 0
  #promised
  #emitter = new EventEmitter()
  beforeSend = null
  afterReceive = null

  constructor(options) {
    const preset = options instanceof Preset ? options : new Preset({ preset: 'plain' }, options)
    this.#native = create(preset, this.#emitter)
    handOver(this.#native, this.#emitter)
  }

  static atlas(options) {
    return new this(new Preset({ preset: 'atlas' }, options))
  }

  static keycloak(serverUrl, realm, options) {
    mustBeStrings({ serverUrl, realm })
    return new this(new Preset({ preset: 'keycloak', serverUrl, realm }, options))
  }

  static issuer(url, options) {
    mustBeStrings({ url })
    return new this(new Preset({ preset: 'issuer', issuer: url }, options))
  }

  static fromEnv(options) {
    return new this(new Preset({ preset: 'from_env' }, options))
  }

  getToken(options) {
    if (options === undefined) {
      const generation = native.freshGeneration(this.#native)
      if (generation !== 0 && generation === this.#generation) return this.#promised
    }
    return this.#token(options).then((facts) => {
      if (facts.generation !== this.#generation) {
        this.#promised = Promise.resolve(facts.token)
        this.#generation = facts.generation
      }
      return this.#promised
    })
  }

  async getTokenInfo(options) {
    return new TokenInfo(await this.#token(options))
  }

  async #token(options) {
    refuseFromOwnCallback(this.#emitter)
    const { timeout, signal } = optionsOf(options, TOKEN_OPTIONS)
    const milliseconds = optionalNumber('timeout', timeout)
    return start(signalOf(signal), (calls, number, cancellable) =>
      native.getToken(calls, this.#native, number, milliseconds, cancellable))
  }

  invalidateToken(token) {
    return valueOf(native.invalidateToken(this.#native, text('token', token)))
  }

  async revoke(options) {
    refuseFromOwnCallback(this.#emitter)
    const { timeout, signal } = optionsOf(options, TOKEN_OPTIONS)
    const milliseconds = optionalNumber('timeout', timeout)
    return start(signalOf(signal), (calls, number, cancellable) =>
      native.revoke(calls, this.#native, number, milliseconds, cancellable))
  }

  async introspect(token, options) {
    refuseFromOwnCallback(this.#emitter)
    const given = optionalText('token', token)
    const { timeout, signal } = optionsOf(options, TOKEN_OPTIONS)
    const milliseconds = optionalNumber('timeout', timeout)
    return JSON.parse(await start(signalOf(signal), (calls, number, cancellable) =>
      native.introspect(calls, this.#native, number, given, milliseconds, cancellable)))
  }

  async clearCache() {
    return start(undefined, (calls, number) => native.clearCache(calls, this.#native, number))
  }

  async request(method, url, options) {
    refuseFromOwnCallback(this.#emitter)
    return this.#request(method, url, optionsOf(options, REQUEST_OPTIONS))
  }

  async download(method, url, path, options) {
    refuseFromOwnCallback(this.#emitter)
    const given = optionsOf(options, DOWNLOAD_OPTIONS)
    const onProgress = optionalFunction('progress', given.progress)
    return this.#request(method, url, given, { path: pathOf('path', path), onProgress })
  }

  #request(method, url, given, download) {
    const { body, bodyFile, upload, contentType } = bodyOf(given)
    const facts = {
      ...factsOf(method, url, given),
      form: pairs('form', given.form),
      body,
      bodyFile,
      upload: upload?.facts,
      contentType,
      idempotent: optionalFlag('idempotent', given.idempotent),
      stream: optionalFlag('stream', given.stream),
      idleTimeout: optionalNumber('idleTimeout', given.idleTimeout),
      download: download?.path,
      progress: download?.onProgress !== undefined,
    }
    const exchange = this.#exchange(facts, signalOf(given.signal), { upload, download })
    return upload ? ending(upload, exchange) : exchange
  }

  async *pages(url, options) {
    yield* this.#pages(url, optionsOf(options, PAGES_OPTIONS), cursorOf(options))
  }

  async *items(url, options) {
    const cursor = cursorOf(optionsOf(options, ITEMS_OPTIONS))
    const member = valueOf(native.itemsMember(cursor))
    for await (const page of this.#pages(url, options ?? {}, cursor)) {
      const error = await page.error()
      if (error !== null) throw error
      const body = await page.json()
      const items = Array.isArray(body) ? body : body?.[member]
      if (!Array.isArray(items)) throw new SvctokenError(native.noItems(cursor, page.status))
      yield* items
    }
  }

  async *#pages(url, given, cursor) {
    const facts = factsOf('GET', url, given)
    const signal = signalOf(given.signal)
    for (let next = facts.url; next != null; next = valueOf(native.nextPage(cursor))) {
      yield await this.#exchange({ ...facts, url: next }, signal, { cursor })
    }
  }

  async #exchange(facts, signal, { cursor, upload, download }) {
    if (this.beforeSend != null) {
      facts.defaultHeaders = pairs('what beforeSend returns', await this.beforeSend(facts.method, facts.url))
    }
    const answer = await start(signal, (calls, number, cancellable) =>
      native.request(calls, this.#native, number, facts, cancellable, cursor), upload, download)
    const response = facts.stream ? new StreamingResponse(answer, signal) : new Response(answer)
    if (this.afterReceive != null) await this.afterReceive(response)
    return response
  }

  stats() {
    return Object.fromEntries(valueOf(native.stats(this.#native)).map(({ name, count }) => [camelCase(name), count]))
  }

  close() {
    valueOf(native.close(this.#native))
    this.#generation = 0
    this.#promised = undefined
  }

  on(name, listener) {
    this.#emitter.on(name, listener)
    return this
  }

  once(name, listener) {
    this.#emitter.once(name, listener)
    return this
  }

  off(name, listener) {
    this.#emitter.off(name, listener)
    return this
  }

  [inspect.custom](depth, options) {
    return `Client ${inspect(valueOf(native.describe(this.#native)), options)}`
  }
}
const alias = (name, value) => {
  Object.defineProperty(Client.prototype, name, { value, configurable: true, writable: true })
}
alias(Symbol.dispose, Client.prototype.close)
// The names by which `once` and `on` of node:events know an emitter.
alias('addListener', Client.prototype.on)
alias('removeListener', Client.prototype.off)

/** The outcome of a call whose body was read while it was sent: what reading it threw, if it did. */
async function ending(upload, exchange) {
  try {
    return await exchange
  } catch (error) {
    throw upload.failure ? upload.failure.error : error
  } finally {
    upload.end()
  }
}

/** What all requests say. */
function factsOf(method, url, given) {
  return {
    method: text('method', method),
    url: url instanceof URL ? url.href : text('url', url),
    query: pairs('query', given.query),
    headers: pairs('headers', given.headers),
    accept: optionalText('accept', given.accept),
    timeout: optionalNumber('timeout', given.timeout),
    maxResponseBytes: optionalCount('maxResponseBytes', given.maxResponseBytes),
    maxAttempts: optionalCount('maxAttempts', given.maxAttempts),
  }
}

/** Before the first page of a list. */
function cursorOf(given) {
  const most = optionalCount('maxPages', given?.maxPages)
  return valueOf(native.createPages(most, optionalText('member', given?.member)))
}

function create({ facts, options }, emitter) {
  if (options != null && (typeof options !== 'object' || Array.isArray(options))) {
    throw invalidConfiguration(`the options must be an object, not ${typeName(options)}`)
  }
  const given = Object.entries(options ?? {}).map(([name, value]) => [name, listed(value)])
  // A worker's environment is its own, not the process's.
  return createClient(emitter, facts, Object.fromEntries(given), { ...process.env })
}

/** A Headers, URLSearchParams, Map or Set as an array, which the native half reads. */
function listed(value) {
  const iterable = value !== null && typeof value === 'object' && typeof value[Symbol.iterator] === 'function'
  return iterable && !ArrayBuffer.isView(value) ? Array.from(value) : value
}

const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())

module.exports = { Client, TokenInfo }
