'use strict'

const { fileURLToPath } = require('node:url')
const { invalidArgument, typeName } = require('./error.js')
const { uploadOf } = require('./upload.js')

/** A call's options, checked to be an object with no other names than `known`. */
function optionsOf(options, known) {
  if (options == null) return {}
  if (typeof options !== 'object' || Array.isArray(options)) {
    throw invalidArgument(`options must be an object, not ${typeName(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw invalidArgument(`there is no option "${name}" here; known are ${known.join(', ')}`)
  }
  return options
}

function optionalText(name, value) {
  return value == null ? undefined : text(name, value)
}

function text(name, value) {
  if (typeof value !== 'string') throw invalidArgument(`${name} must be a string, not ${typeName(value)}`)
  return value
}

/** A number whose range is the core's to check. */
function optionalNumber(name, value) {
  if (value == null) return undefined
  if (typeof value !== 'number') throw invalidArgument(`${name} must be a number, not ${typeName(value)}`)
  return value
}

function optionalCount(name, value) {
  if (value == null) return undefined
  if (!Number.isSafeInteger(value) || value < 1) {
    throw invalidArgument(`${name} must be a whole number, 1 or more, not ${typeName(value)}`)
  }
  return value
}

/** A count of bytes, which may be 0. */
function optionalSize(name, value) {
  if (value == null) return undefined
  if (!Number.isSafeInteger(value) || value < 0) {
    throw invalidArgument(`${name} must be a whole number, 0 or more, not ${typeName(value)}`)
  }
  return value
}

function optionalFlag(name, value) {
  if (value == null) return undefined
  if (typeof value !== 'boolean') throw invalidArgument(`${name} must be true or false, not ${typeName(value)}`)
  return value
}

function optionalFunction(name, value) {
  if (value == null) return undefined
  if (typeof value !== 'function') throw invalidArgument(`${name} must be a function, not ${typeName(value)}`)
  return value
}

/**
 * Names and values in turn, of an object, a URLSearchParams, a Headers, a Map or an array of pairs. An array of values
 * repeats its name; `null` and `undefined` are left out.
 */
function pairs(argument, input) {
  if (input == null) return undefined
  if (typeof input !== 'object') {
    throw invalidArgument(`${argument} must be an object or pairs, not ${typeName(input)}`)
  }
  const flat = []
  for (const entry of typeof input[Symbol.iterator] === 'function' ? input : Object.entries(input)) {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string') {
      throw invalidArgument(`${argument} must hold pairs of a name and a value`)
    }
    const [name, value] = entry
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one == null) continue
      if (!['string', 'number', 'boolean', 'bigint'].includes(typeof one)) {
        throw invalidArgument(`${argument} "${name}" must be a string, a number or a boolean, not ${typeName(one)}`)
      }
      flat.push(name, String(one))
    }
  }
  return flat
}

/** What is sent: `body`, or in its place `bodyFile` or `upload`, of what is read while it is sent; and `contentType`. */
function bodyOf({ json, body, bodyFile, contentType: type, contentLength }) {
  const contentType = optionalText('contentType', type)
  if (bodyFile != null) {
    if (json !== undefined || body != null) throw invalidArgument('bodyFile and another body cannot both be sent')
    if (contentLength != null) throw invalidArgument('contentLength is not for bodyFile, whose length is known')
    return { bodyFile: pathOf('bodyFile', bodyFile), contentType }
  }
  const upload = json === undefined && isStream(body) ? uploadOf(body, optionalSize('contentLength', contentLength)) : undefined
  if (upload) return { upload, contentType: contentType ?? ((body instanceof Blob && body.type) || undefined) }
  if (contentLength != null) throw invalidArgument('contentLength is for a body that is read while it is sent')
  if (json !== undefined) {
    if (body != null) throw invalidArgument('json and body cannot both be sent')
    return { body: jsonText(json), contentType: contentType ?? 'application/json' }
  }
  if (body instanceof URLSearchParams) {
    return { body: body.toString(), contentType: contentType ?? 'application/x-www-form-urlencoded' }
  }
  return { body: bytesOrText(body), contentType }
}

function pathOf(name, path) {
  if (!(path instanceof URL)) return text(name, path)
  if (path.protocol !== 'file:') throw invalidArgument(`${name} must be a path or a file: URL, not ${path.protocol}`)
  return fileURLToPath(path)
}

function isStream(body) {
  return typeof body === 'object' && body !== null && !(body instanceof URLSearchParams) && !ArrayBuffer.isView(body)
}

function bytesOrText(body) {
  if (body == null || typeof body === 'string') return body ?? undefined
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
  if (body instanceof ArrayBuffer) return new Uint8Array(body)
  throw invalidArgument(
    `body must be a string, bytes, a URLSearchParams, a Blob, a ReadableStream or an iterable, not ${typeName(body)}`)
}

function jsonText(value) {
  let written
  try {
    written = JSON.stringify(value)
  } catch (error) {
    throw invalidArgument(`json cannot be written as JSON: ${error.message}`, error)
  }
  if (written === undefined) throw invalidArgument(`json cannot be written as JSON: it is ${typeName(value)}`)
  return written
}

module.exports = {
  bodyOf, optionalCount, optionalFlag, optionalFunction, optionalNumber, optionalText, optionsOf, pairs, pathOf, text,
}
