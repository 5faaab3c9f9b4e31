'use strict'

const { inspect } = require('node:util')
const { SvctokenError, errorOf } = require('./error.js')

/** What every answer tells of itself. */
class Head {
  #facts
  #headers

  constructor(facts) {
    this.#facts = facts
  }

  get status() {
    return this.#facts.status
  }

  get ok() {
    return this.#facts.status >= 200 && this.#facts.status < 300
  }

  get url() {
    return this.#facts.url
  }

  get attempts() {
    return this.#facts.attempts
  }

  get headers() {
    this.#headers ??= headersOf(this.#facts.headers)
    return this.#headers
  }

  async error() {
    return this.#facts.error ? new SvctokenError(this.#facts.error) : null
  }

  [inspect.custom](depth, options) {
    const { status, url, attempts } = this
    return `${this.constructor.name} ${inspect({ status, url, attempts }, options)}`
  }
}

/** As the answer of `fetch`, but read whole: its body may be asked for any number of times. */
class Response extends Head {
  #facts

  constructor(facts) {
    super(facts)
    this.#facts = facts
  }

  async bytes() {
    return Uint8Array.from(this.#facts.body)
  }

  async arrayBuffer() {
    return Uint8Array.from(this.#facts.body).buffer
  }

  async text() {
    return this.#facts.text ?? decoderOf(this.#facts.charset ?? 'utf-8').decode(this.#facts.body)
  }

  async json() {
    try {
      return JSON.parse(new TextDecoder().decode(this.#facts.body))
    } catch (error) {
      throw errorOf('bad_answer', 'answer', `the answer's body is not JSON: ${error.message}`, error)
    }
  }
}

function decoderOf(charset) {
  try {
    return new TextDecoder(charset)
  } catch (error) {
    throw errorOf('bad_answer', 'answer', `the answer's body is in the charset "${charset}", which is unknown here`, error)
  }
}

function headersOf(lines) {
  const headers = new Headers()
  for (const line of lines.split('\n')) {
    if (line === '') continue
    const colon = line.indexOf(': ')
    // Headers takes bytes as Latin-1, as fetch hands them out.
    headers.append(line.slice(0, colon), Buffer.from(line.slice(colon + 2)).toString('latin1'))
  }
  return headers
}

module.exports = { Head, Response }
