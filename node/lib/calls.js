'use strict'

const native = require('../native.js')
const { SvctokenError, invalidArgument, typeName, valueOf } = require('./error.js')
const { eventOf } = require('./log.js')
const { giveSecret, keepSecretCallback } = require('./secret.js')

const inProgress = new Map()
// The emitters of clients by the numbers that log events come with. Who is listened to may be collected even so.
const emitters = new Map()
const collected = new FinalizationRegistry((number) => emitters.delete(number))
let last = 0

const calls = native.createCalls((number, failure, result, event, question, begins, progress) => {
  if (event) {
    emitters.get(number)?.deref()?.emit('log', eventOf(event))
    return
  }
  if (begins != null) {
    giveBody(inProgress.get(number)?.upload, begins, (bytes, why) => native.answerBody(calls, question, bytes, why))
    return
  }
  if (question != null) {
    giveSecret(emitters.get(number)?.deref(), (secret, why) => native.answerSecret(calls, question, secret, why))
    return
  }
  const call = inProgress.get(number)
  // An aborted call was settled by its signal.
  if (call === undefined) {
    if (result?.stream) native.closeStream(result.stream, true)
    return
  }
  if (progress) {
    tell(number, call, progress)
    return
  }
  remove(number, call)
  if (failure) call.reject(call.ending ? call.ending.error : new SvctokenError(failure))
  else call.resolve(result)
})

/** What the user's function throws ends the call. */
function tell(number, call, { received, total }) {
  if (call.ending) return
  try {
    call.onProgress({ received, total: total ?? null })
  } catch (error) {
    end(number, call, error)
  }
}

/** Ends a call that leaves nothing behind when it rejects, and so does that when the native one has ended. */
function end(number, call, error) {
  call.ending = { error }
  native.cancel(calls, number)
}

/** Of a call that was settled by its signal, there is no body any more. */
function giveBody(upload, begins, answer) {
  if (upload) upload.give(begins, answer)
  else answer(undefined, 'the call has ended')
}

/** A number for a call or a client. */
function next() {
  last = last === 0xffffffff ? 1 : last + 1
  return last
}

/** Makes a native client, whose log events `emitter` emits. */
function createClient(emitter, constructor, options, environment) {
  const number = next()
  keepSecretCallback(emitter, options.clientSecretCallback)
  emitters.set(number, new WeakRef(emitter))
  collected.register(emitter, number)
  return valueOf(native.createClient(calls, number, constructor, options, environment))
}

/**
 * Starts a call and promises its result. `begin(calls, number, cancellable)` starts the native call and returns its
 * result if that is there already, else nothing. `upload` is its body, if that is read while it is sent; `download` has the
 * function that is told of its progress, if the answer goes to a file.
 */
function start(signal, begin, upload, download) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw signal.reason
    const number = next()
    const result = valueOf(begin(calls, number, signal !== undefined || download !== undefined))
    if (result != null) return resolve(result)
    const call = { signal, resolve, reject, upload, onProgress: download?.onProgress, ending: undefined, onAbort: undefined }
    if (signal) {
      call.onAbort = () => {
        if (download) return end(number, call, signal.reason)
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

module.exports = { createClient, signalOf, start }
