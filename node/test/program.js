'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')

/** A program that uses svctoken, as a child that is killed after 20 s; `ended` is what it printed and its exit. */
function program(source, options) {
  const script = `const { Client } = require('svctoken'); const options = ${JSON.stringify(options)}; ${source}`
  const child = spawn(process.execPath, ['-e', script], {
    cwd: __dirname, stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000, killSignal: 'SIGKILL',
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => { printed += text })
  }
  return { child, ended: once(child, 'close').then(([code, signal]) => ({ code, signal, printed })) }
}

module.exports = { program }
