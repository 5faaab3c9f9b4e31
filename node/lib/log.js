'use strict'

const native = require('../native.js')

/** Has a client's log events handed over while its emitter has listeners. */
function handOver(client, emitter) {
  emitter.on('newListener', (name) => {
    if (name === 'log') native.listen(client, true)
  })
  // Also after a listener of `once` was called.
  emitter.on('removeListener', () => native.listen(client, emitter.listenerCount('log') > 0))
}

/** A log event as listeners get it. */
function eventOf({ severity, name, message, fields }) {
  const facts = {}
  for (let i = 0; i < fields.length; i += 2) facts[fields[i]] = fields[i + 1]
  return Object.freeze({ severity, name, message, fields: Object.freeze(facts) })
}

module.exports = { eventOf, handOver }
