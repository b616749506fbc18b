/* http_exchange - an exchange made from a request's head: all its strings copied into one block, escapes decoded.
 *
 * Ownership: the exchange is the caller's. Threads: the loop thread. Errors: ERR_NOMEM, then *out is NULL. */
#ifndef SERVER_HTTP_EXCHANGE_H
#define SERVER_HTTP_EXCHANGE_H

#include "server/http/exchange.h"
#include "server/http/head.h"

/* h NULL: nothing was understood. The exchange gets a request id in either case. */
MUST_USE enum err http_exchange_create(struct exchange **out, const struct head *h);

#endif
