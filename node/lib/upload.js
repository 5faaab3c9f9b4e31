'use strict'

const { invalidArgument, typeName } = require('./error.js')

/** The core is given as much at once, so that what is copied on the way is little. */
const PIECE = 256 * 1024

/** A body that is read while it is sent: each piece when the core asks for it. */
class Upload {
  #open
  #iterator
  #rest = new Uint8Array(0)
  #hasEnded = false
  /** What reading it threw, which is the call's error. */
  failure

  /** `open` begins to iterate over the body, and can be called again if the body can be `repeatable`. */
  constructor(open, length, repeatable) {
    this.#open = open
    this.facts = { length, repeatable }
  }

  /** Answers the core's question for the next bytes, or the first if it `begins`. */
  async give(begins, answer) {
    try {
      if (begins) await this.#begin()
      while (this.#rest.length === 0) {
        const { done, value } = await this.#iterator.next()
        if (done) return answer(new Uint8Array(0))
        this.#rest = bytesOf(value)
      }
      const piece = this.#rest.subarray(0, PIECE)
      this.#rest = this.#rest.subarray(PIECE)
      answer(piece)
    } catch (error) {
      this.failure ??= { error }
      answer(undefined, 'its source threw')
    }
  }

  async #begin() {
    this.#rest = new Uint8Array(0)
    await this.#iterator?.return?.()
    if (this.#hasEnded) throw new Error('the call has ended')
    this.#iterator = this.#open()
  }

  /** Lets go of it, whether it was read to its end, to some place, or not at all. */
  end() {
    this.#hasEnded = true
    // Who left does not care how it ends.
    new Promise((resolve) => resolve((this.#iterator ?? this.#open()).return?.())).catch(() => {})
  }
}

function bytesOf(piece) {
  if (typeof piece === 'string') return Buffer.from(piece)
  if (ArrayBuffer.isView(piece)) return new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
  if (piece instanceof ArrayBuffer) return new Uint8Array(piece)
  throw invalidArgument(`body must give bytes or strings, not ${typeName(piece)}`)
}

/** The upload that `body` is; nothing if it is none. */
function uploadOf(body, length) {
  if (body instanceof Blob) {
    if (length !== undefined) throw invalidArgument('contentLength is not for a Blob, whose size is known')
    return new Upload(() => piecesOf(body.stream()), body.size, true)
  }
  if (body instanceof ReadableStream) {
    if (body.locked) throw invalidArgument('body is a ReadableStream that somebody reads already')
    return new Upload(() => piecesOf(body), length, false)
  }
  if (body instanceof FormData) throw invalidArgument('body cannot be a FormData')
  const open = body[Symbol.asyncIterator] ?? body[Symbol.iterator]
  if (typeof open !== 'function') return undefined
  if (typeof body.destroy !== 'function') return new Upload(() => open.call(body), length, false)
  // The iterator of a Readable would end after the piece it waits for, which may never come.
  return new Upload(() => {
    const iterator = open.call(body)
    return { next: () => iterator.next(), return: () => body.destroy() }
  }, length, false)
}

/** As an iterator whose `return` does not wait for the piece that is read. */
function piecesOf(stream) {
  const reader = stream.getReader()
  return { next: () => reader.read(), return: () => reader.cancel() }
}

module.exports = { uploadOf }
