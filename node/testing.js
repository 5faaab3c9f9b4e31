'use strict'

const { invalidArgument, typeName, valueOf } = require('./lib/error.js')
const native = require('./native.js')

function advanceClock(milliseconds) {
  if (typeof milliseconds !== 'number' || !(milliseconds >= 0)) {
    throw invalidArgument(`milliseconds must be a number, 0 or more, not ${typeName(milliseconds)}`)
  }
  valueOf(native.advanceClock(milliseconds))
}

module.exports = { advanceClock }
