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

const calls = native.createCalls((what, number, value, question) => heard[what](number, value, question))

const heard = {
  kept(number, result) {
    const call = remove(number)
    if (call) call.resolve(result)
    else if (result?.stream) native.closeStream(result.stream, true)
  },
  failed(number, failure) {
    const call = remove(number)
    call?.reject(call.ending ? call.ending.error : new SvctokenError(failure))
  },
  logged(number, event) {
    emitters.get(number)?.deref()?.emit('log', eventOf(event))
  },
  asked_secret(number, _, question) {
    giveSecret(emitters.get(number)?.deref(), (secret, why) => native.answerSecret(calls, question, secret, why))
  },
  asked_body(number, begins, question) {
    giveBody(inProgress.get(number)?.upload, begins, (bytes, why) => native.answerBody(calls, question, bytes, why))
  },
  progressed(number, { received, total }, question) {
    const call = inProgress.get(number)
    try {
      if (!call.ending) call.onProgress({ received, total: total ?? null })
    } catch (error) {
      call.ending = { error }
    }
    native.answerProgress(calls, question, !call.ending)
  },
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
        // A download leaves nothing behind when it rejects, and so does that when the native one has ended.
        if (download) call.ending = { error: signal.reason }
        else remove(number).reject(signal.reason)
        native.cancel(calls, number)
      }
      // Not by `onabort`, which is the user's.
      signal.addEventListener('abort', call.onAbort, { once: true })
    }
    inProgress.set(number, call)
    if (inProgress.size === 1) native.keepAlive(calls, true)
  })
}

/** Nothing if the call was settled by its signal before. */
function remove(number) {
  const call = inProgress.get(number)
  if (call === undefined) return undefined
  inProgress.delete(number)
  if (inProgress.size === 0) native.keepAlive(calls, false)
  call.signal?.removeEventListener('abort', call.onAbort)
  return call
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
