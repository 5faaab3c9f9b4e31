// The addon as cargo builds it. Not as `napi build` does, which builds the whole tree again for a target of its own.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

export const folder = join(import.meta.dirname, '..')

const run = (program, parameters, env = {}) =>
  execFileSync(program, parameters, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
    encoding: 'utf8',
  })

/** Builds, and tells where the shared library is and in which folder napi-derive left its declarations. */
export function build(parameters = []) {
  const metadata = JSON.parse(run('cargo', ['metadata', '--no-deps', '--format-version=1']))
  const declarations = join(metadata.target_directory, 'napi-declarations')
  mkdirSync(declarations, { recursive: true })
  // Always set, or a build with and one without it would each spoil the other's cache.
  const env = { NAPI_TYPE_DEF_TMP_FOLDER: declarations }
  const command = ['build', '--package=svctoken-node', '--message-format=json-render-diagnostics', ...parameters]
  const artifact = run('cargo', command, env)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .findLast((message) => message.reason === 'compiler-artifact' && message.target.name === 'svctoken_node')
  const library = artifact.filenames.find((name) => /\.(so|dylib|dll)$/.test(name))
  return { library, declarations }
}

/** The triple that cargo builds for. */
export const hostTriple = () => run('rustc', ['-vV']).match(/^host: (.*)$/m)[1]
