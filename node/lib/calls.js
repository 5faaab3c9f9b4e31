'use strict'

const native = require('../native.js')
const { SvctokenError, invalidArgument, typeName, valueOf } = require('./error.js')

const inProgress = new Map()
let last = 0

const calls = native.createCalls((number, failure, result) => {
  const call = inProgress.get(number)
  // An aborted call was settled by its signal.
  if (call === undefined) return
  remove(number, call)
  if (failure) call.reject(new SvctokenError(failure))
  else call.resolve(result)
})

/**
 * Starts a call and promises its result. `begin(calls, number, cancellable)` starts the native call and returns its
 * result if that is there already, else nothing.
 */
function start(signal, begin) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw signal.reason
    last = last === 0xffffffff ? 1 : last + 1
    const number = last
    const result = valueOf(begin(calls, number, signal !== undefined))
    if (result != null) return resolve(result)
    const call = { signal, resolve, reject, onAbort: undefined }
    if (signal) {
      call.onAbort = () => {
        remove(number, call)
        reject(signal.reason)
        native.cancel(calls, number)
      }
      // Not by `onabort`, which is the user's.
      signal.addEventListener('abort', call.onAbort, { once: true })
    }
    inProgress.set(number, call)
    if (inProgress.size === 1) native.keepAlive(calls, true)
  })
}

function remove(number, call) {
  inProgress.delete(number)
  if (inProgress.size === 0) native.keepAlive(calls, false)
  call.signal?.removeEventListener('abort', call.onAbort)
}

/** A call's `signal`, checked. */
function signalOf(signal) {
  if (signal == null) return undefined
  if (typeof signal !== 'object' || typeof signal.addEventListener !== 'function' || !('aborted' in signal)) {
    throw invalidArgument(`signal must be an AbortSignal, not ${typeName(signal)}`)
  }
  return signal
}

module.exports = { signalOf, start }
