'use strict'
// The package as it is shipped: what was generated is current, what was written by hand agrees with the core.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const { copyFile, mkdtemp, readFile, readdir, rm, writeFile } = require('node:fs/promises')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { test } = require('node:test')
const { promisify } = require('node:util')
const { SvctokenError } = require('svctoken')
const { errorOf } = require('../lib/error.js')
const native = require('../native.js')

const folder = join(__dirname, '..')
const read = (...path) => readFile(join(folder, ...path), 'utf8')

/** Runs a program to its end and returns what it printed; a failure's message is what it printed. */
async function run(program, parameters, options) {
  try {
    return (await promisify(execFile)(program, parameters, { cwd: folder, timeout: 300_000, ...options })).stdout
  } catch (error) {
    assert.fail(`${program} ${parameters.join(' ')}: ${error.stdout}${error.stderr}`)
  }
}

test('native.js and native.d.ts are what the addon says', { timeout: 300_000 }, async () => {
  await run(process.execPath, ['scripts/generate.mjs', '--check'])
})

test('index.d.ts has every option of the core with its words, and no other', async () => {
  const declared = (await read('index.d.ts')).match(/interface ClientOptions \{\n(.*?)\n\}/s)[1]
  const types = {
    Text: 'string', Secret: 'string', Duration: 'number', Count: 'number', Flag: 'boolean', List: 'readonly string[]',
    Pairs: 'Pairs', Callback: '(() => string | Promise<string>)',
  }
  const told = declared.matchAll(/\/\*\*(.*?)\*\/\s*(\w+)\?: ([^\n]*) \| null/gs)
  const found = Array.from(told, ([, doc, name, type]) => [name, type, doc.replace(/\s*\n\s*\*?\s*/g, ' ').trim()])
  const snakeCase = (name) => name.replace(/[A-Z0-9]/g, (letter) => `_${letter.toLowerCase()}`)
  const names = new Map(native.options().map(({ name }) => [snakeCase(name), name]))
  const expected = native.options().map(({ name, kind, default: value, doc }) => {
    const words = `${doc} ${kind === 'Duration' ? 'In milliseconds. ' : ''}Default: ${value}.`
    return [name, types[kind], words.replace(/\w+_\w+/g, (word) => names.get(word) ?? word)]
  })
  assert.deepEqual(found, expected)
})

test('index.d.ts has every code of the core, and no other', async () => {
  const declared = (await read('index.d.ts')).match(/type ErrorCode =\n((?: {2}\| '\w+'\n)+)/)[1]
  const codes = native.errorCodes().map(({ code, number }) => {
    const error = errorOf(code, 'answer', 'x')
    assert.ok(error instanceof SvctokenError && error.number === number)
    return error.code
  })
  assert.deepEqual(declared.match(/\w{2,}/g), codes)
})

test('SVCTOKEN_PANIC: every exported function catches panics', async () => {
  const names = []
  for (const file of (await readdir(join(folder, 'src'))).filter((name) => name.endsWith('.rs'))) {
    const found = (await read('src', file)).matchAll(/^#\[napi(.*)\]\n(?:#\[.*\n)*pub\(crate\) fn (\w+)[^]*?\n\}\n/gm)
    for (const [source, attributes, name] of found) {
      names.push(name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()))
      assert.ok(/catch_unwind/.test(attributes) || /\b(guarded|caught)\(/.test(source), `${file}: ${name}`)
    }
  }
  const exported = Object.keys(native).filter((name) => typeof native[name] === 'function')
  assert.deepEqual(names.sort(), exported.sort())
})

test('ESM and CommonJS are one module', async () => {
  const esm = await import('svctoken')
  const cjs = require('svctoken')
  for (const name of Object.keys(cjs)) assert.equal(esm[name], cjs[name], name)
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).sort())
  assert.equal((await import('svctoken/testing')).advanceClock, require('svctoken/testing').advanceClock)
})

test('the packed package can be installed, required, imported and compiled against', { timeout: 300_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'svctoken-package-'))
  try {
    const [{ filename, files }] = JSON.parse(await run('npm', ['pack', '--json', '--pack-destination', home]))
    const shipped = files.map(({ path }) => path)
    assert.ok(shipped.every((path) => !/^(src|test|scripts)\//.test(path)), shipped.join())
    await writeFile(join(home, 'package.json'), '{"private":true}')
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(home, filename)], { cwd: home })
    const source = `
      const { Client } = require('svctoken')
      require('svctoken/testing').advanceClock(1)
      import('svctoken').then((esm) => console.log(esm.Client === Client, require.resolve('svctoken')))`
    const printed = await run(process.execPath, ['-e', source], { cwd: home })
    assert.equal(printed.trim(), `true ${join(home, 'node_modules', 'svctoken', 'index.js')}`)

    const examples = ['example.mts', 'example.cts']
    for (const name of examples) await copyFile(join(__dirname, 'example.ts'), join(home, name))
    const flags = [
      '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--target', 'es2022',
      '--module', 'node16', '--typeRoots', join(folder, 'node_modules', '@types'), '--types', 'node',
    ]
    await run(process.execPath, [require.resolve('typescript/bin/tsc'), ...flags, ...examples], { cwd: home })
  } finally {
    await rm(home, { recursive: true })
  }
})
