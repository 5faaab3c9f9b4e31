'use strict'

const { Client, TokenInfo } = require('./lib/client.js')
const { SvctokenError } = require('./lib/error.js')
const { Response } = require('./lib/response.js')
const { StreamingResponse } = require('./lib/stream.js')

module.exports = { Client, Response, StreamingResponse, SvctokenError, TokenInfo }
