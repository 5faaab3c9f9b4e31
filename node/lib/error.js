'use strict'

const native = require('../native.js')

const CODES = new Map(native.errorCodes().map((facts) => [facts.code, facts]))

class SvctokenError extends Error {
  constructor(facts, options) {
    super(facts.message, options)
    this.code = `SVCTOKEN_${facts.code.toUpperCase()}`
    this.number = facts.number
    this.what = facts.what
    this.nextStep = facts.nextStep
    for (const name of ['stage', 'status', 'oauthError', 'oauthErrorDescription', 'apiErrorCode', 'retryAfter']) {
      if (facts[name] != null) this[name] = facts[name]
    }
  }
}
// On the prototype, as of the errors of Node.js, so that a log does not list it beside the stack.
Object.defineProperty(SvctokenError.prototype, 'name', {
  value: 'SvctokenError', configurable: true, writable: true,
})

/** An error of this half of the binding, by the core's name of its code. */
function errorOf(code, stage, what, cause) {
  const { number, nextStep } = CODES.get(code)
  const facts = { code, number, stage, what, nextStep, message: `${what}. ${nextStep}` }
  return new SvctokenError(facts, cause && { cause })
}

const invalidArgument = (what, cause) => errorOf('invalid_argument', 'argument', what, cause)
const invalidConfiguration = (what) => errorOf('invalid_configuration', 'configuration', what)

/** What a native function returned, or throws what it returned in its place. */
function valueOf(returned) {
  if (returned !== null && typeof returned === 'object' && returned.nextStep !== undefined) {
    throw new SvctokenError(returned)
  }
  return returned
}

/** A value's type for an error's text: `a string`, `an object`. */
function typeName(value) {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : `the number ${value}`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

module.exports = { SvctokenError, errorOf, invalidArgument, invalidConfiguration, typeName, valueOf }
