// Compiled, not run: what a user of TypeScript writes.
import {
  Client, SvctokenError, type ClientOptions, type ErrorCode, type Introspection, type LogEvent, type Stats, type TokenInfo,
} from 'svctoken'
import { advanceClock } from 'svctoken/testing'

const options: ClientOptions = {
  clientId: 'id',
  clientSecret: null,
  timeout: 30_000,
  allowedOrigins: ['https://api.example'],
  headers: { 'X-Team': 'a' },
  extraParams: new URLSearchParams('a=b'),
  allowHttp: false,
}

export async function example(signal: AbortSignal): Promise<number> {
  using client = Client.atlas(options)
  const others: Client[] = [new Client(options), Client.fromEnv(), Client.keycloak('https://sso.example', 'demo', {})]
  others.push(Client.issuer('https://sso.example', { ...options, tokenUrl: null }))
  const token: string = await client.getToken({ timeout: 1000, signal })
  const info: TokenInfo = await others[0]!.getTokenInfo()
  const again: boolean = client.invalidateToken(info.token)
  const revoked: boolean = await client.revoke({ timeout: 1000, signal })
  if (!revoked) await client.clearCache()
  const known: Introspection = await client.introspect(info.token, { timeout: 1000 })
  const active: boolean = known.active && (await client.introspect()).active
  const r = await client.request('POST', new URL('https://api.example/things'), {
    query: { itemsPerPage: 100, tag: ['a', 'b'], none: undefined },
    headers: new Headers({ 'Idempotency-Key': '1' }),
    json: { token, again, active },
    accept: 'application/json',
    maxResponseBytes: 1024,
    signal,
  })
  if (!r.ok) throw await r.error()
  const stream = await client.request('GET', '/download', { stream: true, idleTimeout: 5000, signal })
  const body: ReadableStream<Uint8Array> = stream.body
  let size = body.locked ? 1 : 0
  for await (const piece of stream) size += piece.length
  stream.close()
  for await (const page of client.pages('/things', { query: { itemsPerPage: 100 }, maxPages: 10, signal })) {
    const status: number = page.status
    if (status !== 200) break
  }
  for await (const { name } of client.items(new URL('https://api.example/things'), { member: 'things' })) console.log(name)
  const log = ({ severity, name, message, fields }: LogEvent) => console.log(severity, name, message, fields['took_ms'])
  client.on('log', log).once('log', (event) => log(event)).off('log', log)
  const bytes: Uint8Array = await r.bytes()
  const stats: Stats = client.stats()
  const type: string | null = r.headers.get('content-type')
  advanceClock(1000)
  return size + r.status + bytes.length + stats.tokenRequests + (type ?? '').length + info.expiresAt.getTime()
}

export function retryIn(error: unknown): number | undefined {
  if (!(error instanceof SvctokenError)) return undefined
  const code: ErrorCode = error.code
  return code === 'SVCTOKEN_TOKEN_LIMIT' ? error.retryAfter : undefined
}

// @ts-expect-error: an option that does not exist
new Client({ clientSercet: 'x' })
// @ts-expect-error: a time is a number
new Client({ timeout: '5' })
// @ts-expect-error: there is no such event
new Client({}).on('lgo', () => {})
// @ts-expect-error: not a code
const wrong: ErrorCode = 'SVCTOKEN_NONSENSE'
void wrong
