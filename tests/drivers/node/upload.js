'use strict'
// Bodies of requests that the library reads while it sends them, as tests/drivers/README.md says.

const { closeSync, mkdtempSync, openSync, rmSync, writeSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

const PIECE = 64 * 1024
const PATTERN = Buffer.from(Uint8Array.from({ length: PIECE + 251 }, (_, index) => index % 251))

function * pieces(count, fails = Infinity, cancelAfter = Infinity, cancel) {
  const end = Math.min(count, fails)
  for (let position = 0; position < end;) {
    if (position >= cancelAfter) cancel()
    const piece = PATTERN.subarray(position % 251, position % 251 + Math.min(PIECE, end - position))
    yield piece
    position += piece.length
  }
  if (fails !== Infinity) throw new Error('no more paper')
}

async function * later(source) {
  yield * source
}

/** The options of a request with the body that these describe in their place; `upload` is what the driver needs of it. */
function withUpload(all, cancel) {
  if (all.upload === undefined) return all
  const { upload, uploadAs, uploadLength, uploadFails, uploadCancel, measure, ...options } = all
  const source = pieces(upload, uploadFails, uploadCancel, cancel)
  const given = { ...options, contentLength: uploadLength, upload: { measure, done() {} } }
  switch (uploadAs) {
    case 'bytes': given.body = Buffer.concat([...source]); break
    case 'repeatable': given.body = new Blob([...source]); break
    case 'object': given.body = ReadableStream.from(source); break
    case 'file': {
      const folder = mkdtempSync(join(tmpdir(), 'svctoken-driver-'))
      const file = openSync(join(folder, 'body'), 'w')
      for (const piece of source) writeSync(file, piece)
      closeSync(file)
      given.bodyFile = join(folder, 'body')
      given.upload.done = () => rmSync(folder, { recursive: true })
      break
    }
    default: given.body = later(source)
  }
  return given
}

module.exports = { withUpload }
