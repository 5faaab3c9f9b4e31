// oidc-provider on a free port of loopback, and a protected resource beside it. Prints {"port":N} on one line, and ends
// when its standard input does, so that it never outlives the program that started it.

import { createServer } from 'node:http'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import Provider, { errors } from 'oidc-provider'

// The one line on standard output is ours: notices of the provider go where its warnings go.
console.info = console.error

const REPORTS = 'urn:svctoken:reports'
const API = { client_id: 'the-api', client_secret: 'secret-of-the-api-itself' }
const LIFETIMES_S = { 'short-lived': 8 }

const account = (client_id, client_secret, more) => ({
  client_id,
  client_secret,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  ...more,
})

// Every client may ask about its own tokens, and the API about all.
const allowedPolicy = (_ctx, client, token) => client.clientId === API.client_id || client.clientId === token.clientId

const configuration = {
  clients: [
    account('plain', 'plain-secret-of-the-provider'),
    account('post', 'post-secret-of-the-provider', { token_endpoint_auth_method: 'client_secret_post' }),
    account('odd: client + % & = ~', '+ % : & space = ~ "\\'),
    account('short-lived', 'secret-of-the-short-lived'),
    account('no-client-credentials', 'secret-of-another-grant', { grant_types: [] }),
    account(API.client_id, API.client_secret),
  ],
  scopes: ['accounts:read'],
  ttl: { ClientCredentials: (_ctx, _token, client) => LIFETIMES_S[client.clientId] ?? 3600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy },
    revocation: { enabled: true, allowedPolicy },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_ctx, resource) {
        if (resource !== REPORTS) throw new errors.InvalidTarget()
        return { audience: REPORTS, scope: 'reports:read', accessTokenFormat: 'jwt' }
      },
    },
  },
}

const server = createServer()
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address()
const issuer = `http://127.0.0.1:${port}`
const provider = new Provider(issuer, configuration)
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))

async function askProvider(path, token) {
  const response = await fetch(issuer + path, {
    method: 'POST',
    headers: { Authorization: `Basic ${btoa(`${API.client_id}:${API.client_secret}`)}` },
    body: new URLSearchParams({ token }),
  })
  if (!response.ok) throw new Error(`${path} answered ${response.status}`)
  return response
}

// Tokens for a resource are JWTs, which the provider does not introspect; all others are opaque.
async function claimsOf(token) {
  if (token.includes('.')) {
    const verified = await jwtVerify(token, keys, { issuer, audience: REPORTS }).catch(() => null)
    return verified?.payload
  }
  const claims = await (await askProvider('/token/introspection', token)).json()
  return claims.active ? claims : null
}

// GET answers what the token says; DELETE revokes it.
async function serveToken(request, response) {
  const token = /^Bearer (.+)$/.exec(request.headers.authorization)?.[1]
  const claims = token && (await claimsOf(token))
  if (!claims) {
    response.writeHead(401, { 'WWW-Authenticate': token ? 'Bearer error="invalid_token"' : 'Bearer' }).end()
    return
  }
  if (request.method === 'DELETE') {
    await askProvider('/token/revocation', token)
    response.writeHead(204).end()
    return
  }
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(claims))
}

const authorize = provider.callback()
server.on('request', (request, response) => {
  if (request.url !== '/api/token') {
    authorize(request, response)
    return
  }
  serveToken(request, response).catch((error) => {
    console.error(error)
    response.writeHead(500).end()
  })
})

process.stdin.on('end', () => process.exit(0)).resume()
console.log(JSON.stringify({ port }))
