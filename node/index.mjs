// The CommonJS module itself, so that both ways of loading share one state.
import svctoken from './index.js'

export const { Client, Response, StreamingResponse, SvctokenError, TokenInfo } = svctoken
