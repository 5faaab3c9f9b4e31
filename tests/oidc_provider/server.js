// oidc-provider on a free port of loopback, and a protected resource beside it. Its argument is the folder of the keys
// that clients prove themselves with. Prints {"port":N,"tlsPort":N} on one line, and ends when its standard input does, so
// that it never outlives the program that started it. The TLS port asks clients for their certificates.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import Provider, { errors } from 'oidc-provider'
import { publicKeys } from '../keys/jwks.mjs'

// The one line on standard output is ours: notices of the provider go where its warnings go.
console.info = console.error

const REPORTS = 'urn:svctoken:reports'
const API = { client_id: 'the-api', client_secret: 'secret-of-the-api-itself' }
const LIFETIMES_S = { 'short-lived': 8 }

const SIGNING_ALGS = 'HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA'.split(' ')
const keyFile = (name) => readFileSync(`${process.argv[2]}/${name}`)
const jwks = { keys: publicKeys(process.argv[2]) }
const selfSigned = new X509Certificate(keyFile('self-signed.pem'))
const certificateOf = (ctx) => ctx.socket.getPeerX509Certificate?.()

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
    account('secret-jwt', 'signing-secret-of-the-provider-with-64-characters-1234567890-123', {
      token_endpoint_auth_method: 'client_secret_jwt',
    }),
    account('key-jwt', undefined, { token_endpoint_auth_method: 'private_key_jwt', jwks }),
    account('key-jwt-ps256', undefined, {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'PS256',
      jwks,
    }),
    account('certificate', undefined, {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=client',
    }),
    account('self-signed', undefined, {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: {
        keys: [{ ...selfSigned.publicKey.export({ format: 'jwk' }), x5c: [selfSigned.raw.toString('base64')] }],
      },
    }),
    account('no-client-credentials', 'secret-of-another-grant', { grant_types: [] }),
    account(API.client_id, API.client_secret),
  ],
  enabledJWA: { clientAuthSigningAlgValues: SIGNING_ALGS },
  clientAuthMethods: [
    'client_secret_basic',
    'client_secret_post',
    'client_secret_jwt',
    'private_key_jwt',
    'tls_client_auth',
    'self_signed_tls_client_auth',
  ],
  scopes: ['accounts:read'],
  ttl: { ClientCredentials: (_ctx, _token, client) => LIFETIMES_S[client.clientId] ?? 3600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => certificateOf(ctx)?.toString(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, _property, expected) => certificateOf(ctx).subject === expected,
    },
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
const tlsServer = createTlsServer({
  cert: keyFile('server.pem'),
  key: keyFile('server.key.pem'),
  ca: keyFile('ca.pem'),
  requestCert: true,
  rejectUnauthorized: false,
})
await new Promise((resolve) => tlsServer.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${port}`
const tlsBase = `https://localhost:${tlsServer.address().port}`
configuration.discovery = {
  mtls_endpoint_aliases: {
    token_endpoint: `${tlsBase}/token`,
    revocation_endpoint: `${tlsBase}/token/revocation`,
    introspection_endpoint: `${tlsBase}/token/introspection`,
  },
}
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
tlsServer.on('request', authorize)
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
console.log(JSON.stringify({ port, tlsPort: tlsServer.address().port }))
