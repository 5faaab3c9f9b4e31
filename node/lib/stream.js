'use strict'

const native = require('../native.js')
const { start } = require('./calls.js')
const { errorOf, valueOf } = require('./error.js')
const { Head } = require('./response.js')

/** As the answer of `fetch`: its body is read as it comes, once. */
class StreamingResponse extends Head {
  #stream
  #body
  #controller
  #signal
  #isReading = false
  #hasEnded = false

  constructor(facts, signal) {
    super(facts)
    this.#stream = facts.stream
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    const source = {
      start: (controller) => { this.#controller = controller },
      pull: () => this.#pull(),
      cancel: () => this.#end(),
    }
    // Nothing is read before it is asked for.
    this.#body = new ReadableStream(source, { highWaterMark: 0 })
    if (signal?.aborted) this.#onAbort()
  }

  get body() {
    return this.#body
  }

  [Symbol.asyncIterator]() {
    return this.#body.values()
  }

  close() {
    if (this.#hasEnded) return
    const what = 'the response was closed before its body was read to the end'
    this.#controller.error(errorOf('cancelled', 'receiving', what))
    this.#end()
  }

  async #pull() {
    this.#isReading = true
    try {
      const count = await start(undefined, (calls, number) => native.readStream(calls, this.#stream, number))
      if (this.#hasEnded) return
      if (count > 0) {
        const piece = Buffer.allocUnsafeSlow(count)
        valueOf(native.takePiece(this.#stream, piece))
        this.#controller.enqueue(piece)
        return
      }
      this.#forget()
      this.#controller.close()
    } catch (error) {
      // Who ended the stream has said why.
      if (this.#hasEnded) return
      this.#forget()
      throw error
    } finally {
      this.#isReading = false
    }
  }

  #onAbort = () => {
    this.#controller.error(this.#signal.reason)
    this.#end()
  }

  #end() {
    if (this.#hasEnded) return
    this.#forget()
    valueOf(native.closeStream(this.#stream, this.#isReading))
  }

  #forget() {
    this.#hasEnded = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}
Object.defineProperty(StreamingResponse.prototype, Symbol.dispose, {
  value: StreamingResponse.prototype.close, configurable: true, writable: true,
})

module.exports = { StreamingResponse }
