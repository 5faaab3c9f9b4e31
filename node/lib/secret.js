'use strict'

const { invalidArgument } = require('./error.js')

/** The functions that return secrets, by the emitters of their clients. */
const callbacks = new WeakMap()
/** Whose function is running; loaded when there is the first. */
let running

function keepSecretCallback(emitter, callback) {
  if (typeof callback !== 'function') return
  callbacks.set(emitter, callback)
  running ??= new (require('node:async_hooks').AsyncLocalStorage)()
}

/** Calls the client's function, and `answer(secret)` with what it returns, or `answer(undefined, why)`. */
async function giveSecret(emitter, answer) {
  try {
    const callback = callbacks.get(emitter)
    if (callback === undefined) throw new Error('its client is gone')
    const secret = await running.run(emitter, () => callback())
    // Its type alone: the value may be the secret in another form.
    if (typeof secret !== 'string') throw new TypeError(`it returned no string but a value of type ${typeof secret}`)
    answer(secret)
  } catch (error) {
    answer(undefined, wordsOf(error))
  }
}

function wordsOf(error) {
  try {
    return String(error)
  } catch {
    return 'it threw what has no words'
  }
}

/** Refuses a call of the client from its own function, which it would wait for. */
function refuseFromOwnCallback(emitter) {
  if (running?.getStore() === emitter) {
    throw invalidArgument('clientSecretCallback calls the client that waits for its answer')
  }
}

module.exports = { giveSecret, keepSecretCallback, refuseFromOwnCallback }
