// Builds the addon and puts it beside index.js: `node scripts/build.mjs [--release]`.
import { copyFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { parseTriple } from '@napi-rs/cli'
import { build, folder, hostTriple } from './cargo.mjs'

const { library } = build(process.argv.slice(2))
const addon = join(folder, `svctoken.${parseTriple(hostTriple()).platformArchABI}.node`)
// By rename: overwriting a file that a running process has mapped would crash that process.
copyFileSync(library, `${addon}.new`)
renameSync(`${addon}.new`, addon)
