'use strict'
// The sandbox program (tests/sandbox), which plays the servers: SVCTOKEN_SANDBOX is its path.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { after } = require('node:test')

const CLIENT = {
  clientId: 'mdb_sa_id_0123456789abcdef01234567',
  clientSecret: 'mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox',
}

// Tokens of these tests are nobody else's.
const caches = mkdtempSync(join(tmpdir(), 'svctoken-caches-'))
process.env.XDG_CACHE_HOME = caches
after(() => rmSync(caches, { recursive: true }))

let started
let child
after(() => child?.stdin.end())

/** The sandbox's admin origin; the program is started once and ended after the file's tests. */
function admin() {
  started ??= (async () => {
    const path = process.env.SVCTOKEN_SANDBOX
    if (!path) throw new Error('SVCTOKEN_SANDBOX must be the path of the sandbox program: see README.md')
    child = spawn(path, { stdio: ['pipe', 'pipe', 'inherit'] })
    const [line] = await once(child.stdout, 'data')
    return JSON.parse(line).admin
  })()
  return started
}

async function ask(path, method, body) {
  const answer = await fetch((await admin()) + path, { method, body: body && JSON.stringify(body) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`the sandbox answered ${answer.status} to ${method} ${path}: ${text}`)
  return text && JSON.parse(text)
}

/** A space of its own, with these settings. */
async function space(settings = {}) {
  const { space: id, http } = await ask('/spaces', 'POST', settings)
  return {
    /** Its origin. */
    url: http,
    /** Options of an Atlas client of this space. */
    options: { ...CLIENT, baseUrl: http },
    /** Replaces these settings. */
    patch: (changes) => ask(`/spaces/${id}`, 'PATCH', changes),
    report: () => ask(`/spaces/${id}`, 'GET'),
    /** Waits until the space has counted so much. */
    wait: (counts) => ask(`/spaces/${id}/wait`, 'POST', { timeout_ms: 10_000, ...counts }),
    release: (hold) => ask(`/spaces/${id}/release`, 'POST', { hold }),
  }
}

/** A rule that holds requests at a gate. */
const hold = (path, gate) => ({ path, do: { hold: gate } })

module.exports = { CLIENT, hold, space }
