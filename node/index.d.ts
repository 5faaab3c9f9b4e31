/// <reference lib="esnext.disposable" />
/**
 * Service-account tokens, and the requests made with them.
 *
 * Times are in milliseconds. Calls that fail reject, and constructors throw, with a {@link SvctokenError}; a call ended
 * by its `signal` rejects with the signal's reason.
 */

/** Names and values: an object, pairs, a `Map`, a `Headers` or a `URLSearchParams`. */
export type Pairs = Readonly<Record<string, string>> | Iterable<readonly [string, string]>

/** A value that is sent as text; an array repeats its name, `null` and `undefined` are left out. */
export type PairValue = string | number | bigint | boolean | null | undefined

/** As {@link Pairs}, with values of more types. */
export type MorePairs =
  | Readonly<Record<string, PairValue | readonly PairValue[]>>
  | Iterable<readonly [string, PairValue | readonly PairValue[]]>

/** The options of a client. One that is `undefined` or `null` counts as not given. */
export interface ClientOptions {
  /** The client identifier (RFC 6749 section 2.2). Default: none. */
  clientId?: string | null
  /** The client secret (RFC 6749 section 2.3.1). Default: none. */
  clientSecret?: string | null
  /**
   * A file that holds the client secret; one line break at its end is left out. It is read when the client is made, and
   * again when it has changed. Default: none.
   */
  clientSecretFile?: string | null
  /**
   * A program and its arguments, run without a shell, whose output is the client secret; one line break at its end is
   * left out. It is run when a token is first needed, and again when the server refuses the secret, for at most 30 s. In
   * the environment its words are separated by spaces alone. Default: none.
   */
  clientSecretCommand?: readonly string[] | null
  /**
   * A function that returns the client secret. It is called when a token is first needed, and again when the server
   * refuses the secret; one call at a time for each client, on a thread of svctoken's own where the language has no
   * event loop. Default: none.
   */
  clientSecretCallback?: (() => string | Promise<string>) | null
  /** A second client secret, tried when the server refuses the first, and kept while it works. Default: none. */
  clientSecret2?: string | null
  /**
   * The private key of private_key_jwt: PEM (PKCS #8, PKCS #1 or SEC 1) or JWK (RFC 7517), without a passphrase.
   * Default: none.
   */
  privateKey?: string | null
  /** A file that holds the private key, read when the client is made. Default: none. */
  privateKeyFile?: string | null
  /**
   * The key's name at the server, which assertions bear as kid (RFC 7515 section 4.1.4). Default: the JWK's kid, else
   * none.
   */
  keyId?: string | null
  /**
   * An access token that is ready to use, instead of an id and a secret: used until an API refuses it, and then an error.
   * Default: none.
   */
  accessToken?: string | null
  /**
   * The token endpoint (RFC 6749 section 3.2). Where it is given, the issuer is asked nothing. Default: the preset's, else
   * the issuer's.
   */
  tokenUrl?: string | null
  /**
   * The authorization server's issuer identifier (RFC 8414 section 2), as the server writes it: its metadata names the
   * endpoints. Default: none.
   */
  issuer?: string | null
  /**
   * The revocation endpoint (RFC 7009). A preset knows it where tokenUrl is the preset's too. Default: the preset's, else
   * the issuer's.
   */
  revocationUrl?: string | null
  /**
   * The introspection endpoint (RFC 7662). A preset knows it where tokenUrl is the preset's too. Default: the preset's,
   * else the issuer's.
   */
  introspectionUrl?: string | null
  /** The API: where relative paths go, and the origin that gets the token. Default: the preset's. */
  baseUrl?: string | null
  /** Further origins that may get the token. Default: none. */
  allowedOrigins?: readonly string[] | null
  /**
   * How the client authenticates at the token endpoint: client_secret_basic or client_secret_post (RFC 6749 section
   * 2.3.1), client_secret_jwt or private_key_jwt (RFC 7523 section 2.2), tls_client_auth or self_signed_tls_client_auth
   * (RFC 8705 section 2). Default: client_secret_basic; client_secret_post where an issuer's metadata has that alone of
   * the two.
   */
  authMethod?: string | null
  /**
   * How client_secret_basic encodes id and secret: form (RFC 6749 section 2.3.1) or raw (for servers that compare
   * undecoded bytes). Default: form.
   */
  authEncoding?: string | null
  /**
   * How assertions are signed (RFC 7518 section 3.1): HS256, HS384 or HS512 with the secret; RS256, RS384, RS512,
   * PS256, PS384 or PS512 with an RSA key, ES256 or ES384 with one on P-256 or P-384, EdDSA with an Ed25519 key. The
   * first of a kind is its default. Default: the JWK's alg, else by the key.
   */
  signingAlg?: string | null
  /**
   * Whom assertions are for (aud, RFC 7523 section 3): the server's issuer or its token endpoint. Default: the issuer
   * where it is known, else tokenUrl.
   */
  assertionAudience?: string | null
  /** The scope asked for, separated by spaces (RFC 6749 section 3.3). Default: none. */
  scope?: string | null
  /** The audience parameter some servers ask for. Default: none. */
  audience?: string | null
  /** Resource indicators (RFC 8707). Default: none. */
  resource?: readonly string[] | null
  /** Further parameters of the token request. Default: none. */
  extraParams?: Pairs | null
  /**
   * How long a whole call may take: waiting, requesting a token, connecting, sending and reading. In milliseconds.
   * Default: 60 s.
   */
  timeout?: number | null
  /** How long opening one connection may take: name look-up, TCP and TLS. In milliseconds. Default: 10 s. */
  connectTimeout?: number | null
  /** How long one token request may take. In milliseconds. Default: 15 s. */
  tokenTimeout?: number | null
  /**
   * Where tokens are kept: memory (of this process), file (one token for all processes of this user, in the user's
   * cache folder), file:FOLDER (an absolute path), or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] (one token for all
   * machines that use it; rediss:// with TLS, and plain redis:// to another machine only with allowHttp). Default: file
   * for Atlas, else memory.
   */
  cache?: string | null
  /** The Accept header of API requests. Default: the preset's. */
  accept?: string | null
  /** The User-Agent header of every request. Default: svctoken/VERSION (OS;ARCHITECTURE). */
  userAgent?: string | null
  /** Headers of every API request; never sent to the token endpoint. Default: none. */
  headers?: Pairs | null
  /**
   * How often a request or a token request is tried in all when the server or the network fails, the first included; at
   * most 10. Default: 3.
   */
  maxAttempts?: number | null
  /**
   * How many token requests a minute this process, or all that share its cache, may send for one clientId at one token
   * endpoint; further ones wait. Default: 10 for Atlas, else none.
   */
  mintBudget?: number | null
  /** The largest answer body, after decoding, in bytes. Default: 64 MiB. */
  maxResponseBytes?: number | null
  /** Permits http to hosts that are not this machine. Default: false. */
  allowHttp?: boolean | null
  /**
   * The proxy of every request, token requests included: http://, https://, socks5:// or
   * socks5h://[USER:PASSWORD@]HOST[:PORT]; or direct, for none whatever the environment says. Default: the environment's,
   * where that is read.
   */
  proxy?: string | null
  /** A PEM file of certificate authorities trusted beside the platform's. Default: none. */
  caFile?: string | null
  /**
   * A PEM file of the client's certificate, followed by those between it and its authority. Servers that ask for one
   * are shown it (RFC 8705): those of tokenUrl, revocationUrl, introspectionUrl, issuer, baseUrl and
   * allowedOrigins, and the endpoints that the issuer names, no others.
   * Default: none.
   */
  clientCertFile?: string | null
  /**
   * A PEM file of the certificate's private key (PKCS #8, PKCS #1 or SEC 1), without a passphrase. Default:
   * clientCertFile.
   */
  clientKeyFile?: string | null
}

/** What every call takes. */
export interface CallOptions {
  /** How long the whole call may take, in milliseconds, above zero. Default: the client's `timeout`. */
  timeout?: number | null
  /** Ends the call early: it rejects at once with the signal's reason. The signal's own handlers are not touched. */
  signal?: AbortSignal | null
}

/** A body that is read while it is sent, piece by piece. */
export type BodyPieces =
  | ReadableStream<string | ArrayBufferView | ArrayBuffer>
  | AsyncIterable<string | ArrayBufferView | ArrayBuffer>
  | Iterable<string | ArrayBufferView | ArrayBuffer>

/** What a request takes. */
export interface RequestOptions extends CallOptions {
  /** Added to the URL's query, form-encoded. */
  query?: MorePairs | null
  /** Replace the client's headers of the same name. The header fields that are svctoken's own to set are refused. */
  headers?: MorePairs | null
  /** The body as a value, written by `JSON.stringify`. Not beside `body` or `form`. */
  json?: unknown
  /** The body as a form, `application/x-www-form-urlencoded`. Not beside `body` or `json`. */
  form?: MorePairs | null
  /**
   * The body; bytes are copied before the call returns. A URLSearchParams or a Blob brings its Content-Type. Default: none.
   *
   * A Blob (as `fs.openAsBlob` makes of a file), a ReadableStream, and any iterable, sync or async, of bytes and strings is
   * read while it is sent, each piece when it is wanted, in memory that does not grow. The server is asked first whether
   * it wants the body, as for any of more than 1 MiB (`Expect: 100-continue`), and given 1 s to say so; if it says nothing,
   * it is not asked again for 5 minutes. Without its length the body goes in chunks. What was begun to be read is sent
   * again only if it is a Blob. What reading it throws is what the call rejects with. However the call ends, a
   * ReadableStream is cancelled, a Readable destroyed, and the `return` of another iterator called. `timeout` covers the
   * sending too.
   */
  body?: string | ArrayBufferView | ArrayBuffer | URLSearchParams | Blob | BodyPieces | null
  /**
   * The path of a file that is the body, read while it is sent as above, without the event loop, and again where the
   * request is sent again. Not beside another body.
   */
  bodyFile?: string | URL | null
  /** The body's Content-Type. Default: that of `json`, of a URLSearchParams or of a Blob, else none is sent. */
  contentType?: string | null
  /** How many bytes a body has that is read while it is sent, and no Blob; more or fewer reject. Default: it is not known. */
  contentLength?: number | null
  /** The Accept header. Default: the client's. */
  accept?: string | null
  /**
   * The largest answer body, after decoding, in bytes, 1 or more. Default: the client's; for a stream there is no limit
   * but the one given here.
   */
  maxResponseBytes?: number | null
  /**
   * Leaves the answer's body to be read as it comes: see {@link StreamingResponse}. `timeout` then runs to the answer's
   * head, and what is tried or sent again, and redirects, end with it too. Default: false.
   */
  stream?: boolean | null
  /** How long one read of a stream may wait for a byte, in milliseconds, above zero. Default: 30 s. */
  idleTimeout?: number | null
  /**
   * How often the request is tried in all when the server or the network fails, the first included: 1 to 10; 1 is no
   * retry. Default: the client's.
   */
  maxAttempts?: number | null
  /**
   * Says that to send this POST or PATCH twice is as good as once, so that it may be tried again after it has left. An
   * Idempotency-Key header says the same; GET, HEAD, PUT, DELETE and OPTIONS are so by themselves. Default: false.
   */
  idempotent?: boolean | null
}

/** What a download takes. */
export interface DownloadOptions extends Omit<RequestOptions, 'stream'> {
  /**
   * Told how many bytes came, after decoding, and of how many, or `null` where the answer does not tell: when the body
   * begins, with 0, then at most every 100 ms, and once when all came. The download goes on, and the file comes to its place,
   * when it has returned; a promise is not awaited. What it throws ends the call, which rejects with it.
   */
  progress?: ((progress: { received: number, total: number | null }) => void) | null
}

/** What the pages of a list take: each page is requested with these. */
export interface PagesOptions extends CallOptions {
  /** Added to the first page's query, form-encoded; the links to further pages bring their own. */
  query?: MorePairs | null
  /** Replace the client's headers of the same name. The header fields that are svctoken's own to set are refused. */
  headers?: MorePairs | null
  /** The Accept header. Default: the client's. */
  accept?: string | null
  /** The largest page, after decoding, in bytes, 1 or more. Default: the client's. */
  maxResponseBytes?: number | null
  /**
   * How often each page is tried in all when the server or the network fails, the first included: 1 to 10; 1 is no retry.
   * Default: the client's.
   */
  maxAttempts?: number | null
  /**
   * How many pages are read at most, 1 or more: if there are more, that is `SVCTOKEN_ANSWER_TOO_LARGE` after the last of
   * them. Default: 1000.
   */
  maxPages?: number | null
}

/** What the items of a list take. */
export interface ItemsOptions extends PagesOptions {
  /** The member of a page's JSON object that holds its items. Default: `results`. */
  member?: string | null
}

/**
 * Gets tokens and makes requests with them.
 *
 * Clients with the same options share one token in a process, its workers included. A client without a call in progress
 * keeps no process alive and needs no closing.
 */
export class Client {
  /**
   * A client of these options alone: the environment is not read. Throws, naming the option, without any network:
   * `SVCTOKEN_INVALID_CONFIGURATION` or `SVCTOKEN_CREDENTIAL_UNAVAILABLE`.
   */
  constructor(options?: ClientOptions | null)

  /**
   * A client of MongoDB Atlas. What is not given comes from `process.env`: MONGODB_ATLAS_CLIENT_ID,
   * MONGODB_ATLAS_CLIENT_SECRET and MONGODB_ATLAS_BASE_URL, before which SVCTOKEN_ and an option's name win.
   */
  static atlas(options?: ClientOptions | null): Client

  /** A client of a Keycloak realm. `baseUrl` is the API, and by default the Keycloak server itself. */
  static keycloak(serverUrl: string, realm: string, options?: ClientOptions | null): Client
  /**
   * A client of the server with that issuer identifier, written as the server writes it: its metadata (RFC 8414, OpenID
   * Connect Discovery 1.0) names its endpoints, and is asked for when the first token is.
   */
  static issuer(url: string, options?: ClientOptions | null): Client

  /**
   * A client of what `process.env` says: SVCTOKEN_ and an option's name in upper case (SVCTOKEN_CLIENT_ID), times in
   * seconds. If MONGODB_ATLAS_CLIENT_ID is set, as {@link Client.atlas}.
   */
  static fromEnv(options?: ClientOptions | null): Client

  /**
   * Called once for each `request` and each of the `pages`, however often it is sent, before anything else is done: with its method and URL as
   * they were given. The headers it returns (such as traceparent) are sent unless the call gives one of that name; what a
   * caller may not set, it may not either. What it throws rejects the call, whose `timeout` begins after it.
   */
  beforeSend: ((method: string, url: string) => MorePairs | null | undefined | void | Promise<MorePairs | null | undefined | void>) | null

  /**
   * Called once with the answer of each `request`, and each page, that has one, of any status, and waited for before the caller gets it.
   * What it throws rejects the call.
   */
  afterReceive: ((response: Response | StreamingResponse) => unknown) | null

  /** The access token: from memory while it is fresh, requested where it is not. */
  getToken(options?: CallOptions | null): Promise<string>

  /** The access token with its facts. */
  getTokenInfo(options?: CallOptions | null): Promise<TokenInfo>

  /**
   * Says that a server refused this token with a 401, for those who send it themselves. True if it was the current
   * token: it will be replaced by the next call that needs one. False if another has taken its place already.
   */
  invalidateToken(token: string): boolean

  /**
   * Revokes the access token at the server (RFC 7009) and forgets it: the one in memory, or where there is none the one
   * that is shared with other processes. None is requested in order to be revoked. True if there was one; false, and
   * nothing is done, if not. If a refresh token came with it (old Keycloak servers open a session for each token), that is
   * revoked too, which ends the session. A token that another call or process has fetched meanwhile stays. Other processes that hold
   * the revoked token notice by their next 401. Call this before `close`, which never revokes.
   *
   * Rejects with `SVCTOKEN_INVALID_CONFIGURATION` without a `revocationUrl`, with `SVCTOKEN_CREDENTIAL_UNAVAILABLE` with a
   * ready access token, and with what the server says; the token then stays. Where the server may have revoked it all
   * the same (the connection was lost, the time was over, a 5xx other than 503), it is not used any more, and the next
   * call is about it again, until another token comes.
   */
  revoke(options?: CallOptions | null): Promise<boolean>

  /**
   * What the server knows of an access token (RFC 7662): of `token`, or if that is not given of the current one, which is
   * got as `getToken` gets it. A token that is not active is no error, and nothing follows from it here: some servers say
   * so to clients the token is not for.
   *
   * Rejects with `SVCTOKEN_INVALID_CONFIGURATION` without an `introspectionUrl`, with `SVCTOKEN_CREDENTIAL_UNAVAILABLE` with
   * a ready access token, with `SVCTOKEN_BAD_ANSWER` if the answer has no `active`, and with what the server says.
   */
  introspect(token?: string | null, options?: CallOptions | null): Promise<Introspection>

  /**
   * Forgets the token in this process and in the store, what failed before, and the hold: the next call requests a token,
   * and with no delay but the server's own Retry-After and the budget, which stay. For those who have changed something
   * at the server.
   *
   * The server is not asked, and the token stays good; see `revoke`. Other processes go on with the one they have in
   * memory. A token request under way goes on, and its token is kept. With a ready access token there is nothing to
   * forget. Rejects with `SVCTOKEN_CACHE` if the store could not be written; this process has forgotten the token all the
   * same.
   */
  clearCache(): Promise<void>

  /**
   * A request with the token. `url` is a path on `baseUrl`'s origin, or a URL of it or of one of `allowedOrigins`. Any
   * HTTP status is an answer; see {@link Response.error}.
   *
   * Failed connections and answers of 429 are tried again, and so are 408, 502, 503, 504 and broken connections where
   * that cannot do the request's work twice. Redirects are followed: 301, 302 and 303 for GET and HEAD, 307 and 308 for
   * every method, at most 5; to another origin for GET and HEAD without a body only, and without the token or any header
   * but Accept, Range and User-Agent. One that leads where it may not rejects with `SVCTOKEN_REDIRECT_REFUSED`.
   */
  request(
    method: string, url: string | URL, options: RequestOptions & { stream: true },
  ): Promise<StreamingResponse>
  request(
    method: string, url: string | URL, options?: (RequestOptions & { stream?: false | null }) | null,
  ): Promise<Response>

  /**
   * As a `request` with `stream: true`, with the body of an answer of 200 to 299 written to the file at `path`, in memory
   * that does not grow, and without the event loop; the answer has no body then. Any other answer leaves the file alone,
   * and has up to 64 KiB of its body, for {@link Response.error} to tell what they say.
   *
   * What comes is written to a temporary file in the same folder, `.NAME.….part`, which takes the place of an older file
   * when it is whole, with that one's permissions: at `path` there is never a part of a body. When the call rejects, by
   * its `signal` too, the temporary has been removed; a process that is killed leaves it. Nothing is synced to the disk.
   * Where `path` is a symbolic link, the file it leads to is replaced. A Content-Encoding of gzip is undone, and a gzip
   * file left as it is.
   *
   * Rejects beside what `request` and reading its stream do with `SVCTOKEN_INVALID_ARGUMENT`, before any network, where no
   * file can be made there or `path` is something else than a file, and with `SVCTOKEN_INTERNAL` where it cannot be
   * written.
   */
  download(method: string, url: string | URL, path: string | URL, options?: DownloadOptions | null): Promise<Response>

  /**
   * The pages of a list: the answer to a GET request, and then those that each page names as its next, by a `Link` header
   * (RFC 8288) or by `links` in its JSON body, as Atlas does. Every page is an answer of any status; there is none after
   * one that is not 200 to 299.
   *
   * A page is asked for when the loop comes to it, as by `request`; `timeout` is each page's. To stop before the end, leave
   * the loop. Rejects beside what `request` does with `SVCTOKEN_ORIGIN_REFUSED` for a link to another origin than the first
   * page's, and with `SVCTOKEN_BAD_ANSWER` for one that is no URL or leads to a page that was read.
   */
  pages(url: string | URL, options?: PagesOptions | null): AsyncGenerator<Response, void, void>

  /**
   * The items on the pages of a list, one after the other: the elements of a page that is a JSON array, or of the member
   * `results` of its JSON object. Rejects as `pages` does, with `SVCTOKEN_HTTP_STATUS` on a page whose status is 400 or
   * above, and with `SVCTOKEN_BAD_ANSWER` on one that has no such array.
   */
  items(url: string | URL, options?: ItemsOptions | null): AsyncGenerator<any, void, void>

  /** What was done so far. Token counters are shared by the clients of the same options. */
  stats(): Stats

  /**
   * Listens to what happens: see {@link LogEvent}. Listeners are called later, in the order of the events, and keep
   * neither the process alive nor the client from being collected; without any, events cost nothing. A token request is
   * told to the client that began it.
   */
  on(event: 'log', listener: (event: LogEvent) => void): this
  /** As `on`, for the next event only. */
  once(event: 'log', listener: (event: LogEvent) => void): this
  /** Listens no longer. */
  off(event: 'log', listener: (event: LogEvent) => void): this
  /** As `on`. */
  addListener(event: 'log', listener: (event: LogEvent) => void): this
  /** As `off`. */
  removeListener(event: 'log', listener: (event: LogEvent) => void): this

  /** Refuses further calls with `SVCTOKEN_CLOSED`. Calls in progress end as they would. Nothing is revoked. */
  close(): void
  [Symbol.dispose](): void
}

/** What a server knows of a token; which claims beside `active` is its own business. */
export interface Introspection {
  readonly active: boolean
  readonly [claim: string]: unknown
}

/** An access token with its facts. Neither `util.inspect` nor `JSON.stringify` shows the token. */
export class TokenInfo {
  private constructor()
  /** The token's text. */
  get token(): string
  /** Always `Bearer`. */
  readonly tokenType: string
  /** The scope the server granted, if it named one. */
  readonly scope: string | null
  /** How long it lived still when this was asked, in milliseconds. */
  readonly expiresIn: number
  /** When it ends by this machine's clock. */
  readonly expiresAt: Date
}

/** An answer of the API, with the names of `fetch`'s, but read whole: its body may be asked for any number of times. */
export class Response {
  private constructor()
  readonly status: number
  /** Whether the status is 200 to 299. */
  readonly ok: boolean
  readonly headers: Headers
  /** The URL that answered, with its query: where the last redirect led, if any was followed. */
  readonly url: string
  /** How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected. */
  readonly attempts: number
  /**
   * The body as text, in the charset of its Content-Type or else UTF-8; bytes that are none in it are replaced. Rejects
   * with `SVCTOKEN_BAD_ANSWER` if Node.js does not know the charset.
   */
  text(): Promise<string>
  /** The body as JSON. Rejects with `SVCTOKEN_BAD_ANSWER` if it is not. */
  json(): Promise<any>
  /** A copy of the body. */
  arrayBuffer(): Promise<ArrayBuffer>
  /** A copy of the body. */
  bytes(): Promise<Uint8Array>
  /** The error that a status of 400 or above stands for, with what the body says of it; else null. */
  error(): Promise<SvctokenError | null>
}

/**
 * An answer whose body is read as it comes, once, in memory that does not grow: `for await (const bytes of response)`,
 * or by {@link StreamingResponse.body}. Nothing is read before it is asked for. Read to its end, its connection serves
 * the next request; closed or cancelled before, the connection is closed, unless the rest is here within 10 ms and at
 * most 64 KiB.
 *
 * The reader gets what came, and then the error: `SVCTOKEN_TIMEOUT` when no byte came for `idleTimeout`,
 * `SVCTOKEN_CONNECTION_LOST`, `SVCTOKEN_BAD_ANSWER`, `SVCTOKEN_ANSWER_TOO_LARGE` beyond a `maxResponseBytes` of the
 * call, and the reason of the call's `signal`, which ends the stream at once.
 */
export class StreamingResponse {
  private constructor()
  readonly status: number
  /** Whether the status is 200 to 299. */
  readonly ok: boolean
  readonly headers: Headers
  /** The URL that answered, with its query: where the last redirect led, if any was followed. */
  readonly url: string
  /** How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected. */
  readonly attempts: number
  /** The body, with any Content-Encoding of gzip undone. */
  readonly body: ReadableStream<Uint8Array>
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array>
  /**
   * The error that a status of 400 or above stands for, by the first 64 KiB of the body, which stay to be read; else
   * null.
   */
  error(): Promise<SvctokenError | null>
  /** Reads no more: a reader that waits gets `SVCTOKEN_CANCELLED`. */
  close(): void
  [Symbol.dispose](): void
}

/** Something worth a log line. Frozen; holds no secret, no token and no query. */
export interface LogEvent {
  /** `warning`: something failed or was refused. `info`: a token came or was revoked. `debug`: for those who look. */
  readonly severity: 'debug' | 'info' | 'warning'
  /** What kind it is: `token_requested`, `token_received` and so on, as listed in the repository's README. */
  readonly name: string
  /** A sentence for people. */
  readonly message: string
  /**
   * The sentence's facts, by names that are the same in every language: `{ took_ms: '12' }`. Times are whole
   * milliseconds.
   */
  readonly fields: Readonly<Record<string, string>>
}

/** What a client has done so far. */
export interface Stats {
  /** Token requests sent, retries included. */
  tokenRequests: number
  /** Tokens received. */
  tokensReceived: number
  /** Refreshes that failed after all their attempts. */
  failedRefreshes: number
  /** Tokens condemned because an API refused them. */
  condemnedTokens: number
  /** Calls of `request`. */
  requests: number
  /** Requests sent again after a 401. */
  resends: number
  /** Requests tried again after the server or the network failed. */
  retries: number
  /** Redirects followed. */
  redirects: number
}

/** What failed, the same in every language. */
export type ErrorCode =
  | 'SVCTOKEN_INVALID_ARGUMENT'
  | 'SVCTOKEN_INVALID_CONFIGURATION'
  | 'SVCTOKEN_CREDENTIAL_UNAVAILABLE'
  | 'SVCTOKEN_ORIGIN_REFUSED'
  | 'SVCTOKEN_CLOSED'
  | 'SVCTOKEN_TIMEOUT'
  | 'SVCTOKEN_CANCELLED'
  | 'SVCTOKEN_RESOLVE_FAILED'
  | 'SVCTOKEN_CONNECT_FAILED'
  | 'SVCTOKEN_TLS_FAILED'
  | 'SVCTOKEN_CONNECTION_LOST'
  | 'SVCTOKEN_PROXY_FAILED'
  | 'SVCTOKEN_CLIENT_REFUSED'
  | 'SVCTOKEN_ACCESS_DENIED'
  | 'SVCTOKEN_TOKEN_LIMIT'
  | 'SVCTOKEN_RATE_LIMITED'
  | 'SVCTOKEN_OAUTH_ERROR'
  | 'SVCTOKEN_SERVER_UNAVAILABLE'
  | 'SVCTOKEN_BAD_TOKEN_ANSWER'
  | 'SVCTOKEN_HTTP_STATUS'
  | 'SVCTOKEN_ANSWER_TOO_LARGE'
  | 'SVCTOKEN_BAD_ANSWER'
  | 'SVCTOKEN_REDIRECT_REFUSED'
  | 'SVCTOKEN_CACHE'
  | 'SVCTOKEN_PANIC'
  | 'SVCTOKEN_INTERNAL'

/** Why a call failed. Holds no secret. */
export class SvctokenError extends Error {
  private constructor()
  readonly name: 'SvctokenError'
  readonly code: ErrorCode
  /** The code as a number, the same in every language. */
  readonly number: number
  /** At which step: `configuration`, `connecting`, `token_answer` and so on. */
  readonly stage?: string
  /** What happened, without the next step. */
  readonly what: string
  /** What to do about it. */
  readonly nextStep: string
  /** The HTTP status of the answer that was the failure. */
  readonly status?: number
  /** The answer's OAuth error code, such as `invalid_client`. */
  readonly oauthError?: string
  /** The server's description, at most 300 characters. */
  readonly oauthErrorDescription?: string
  /**
   * The code that the API's answer has for the error, such as Atlas's `GROUP_NOT_FOUND`: its body's `errorCode` or
   * `error`, its header X-Error-Code, or else the `type` of a problem (RFC 9457).
   */
  readonly apiErrorCode?: string
  /** How long to wait before trying again, in milliseconds. */
  readonly retryAfter?: number
}
