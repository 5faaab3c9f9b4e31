// Writes native.js and native.d.ts, or with `--check` fails if they are not what it would write.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateTypeDef, writeJsBinding } from '@napi-rs/cli'
import { build, folder } from './cargo.mjs'

const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const outputDir = mkdtempSync(join(tmpdir(), 'svctoken-generate-'))
try {
  const { declarations } = build()
  const { dts, exports } = await generateTypeDef({ typeDefDir: declarations, cwd: folder, declareBindingTarget: true })
  await writeJsBinding({
    platform: true,
    idents: exports,
    jsBinding: 'native.js',
    binaryName: manifest.napi.binaryName,
    packageName: manifest.name,
    version: manifest.version,
    outputDir,
  })
  const generated = { 'native.js': readFileSync(join(outputDir, 'native.js'), 'utf8'), 'native.d.ts': dts }
  for (const [name, content] of Object.entries(generated)) {
    const path = join(folder, name)
    if (!process.argv.includes('--check')) {
      writeFileSync(path, content)
    } else if (readFileSync(path, 'utf8') !== content) {
      console.error(`${name} is not what the addon's source says: run npm run generate`)
      process.exitCode = 1
    }
  }
} finally {
  rmSync(outputDir, { recursive: true })
}
