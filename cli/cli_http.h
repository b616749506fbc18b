/* cli_http - requests to a running minivlm-server. The only file that knows libcurl.
 *
 * Ownership: a connection belongs to one thread. Errors: ERR_IO with the address and libcurl's reason; an answer with
 * any status is not an error. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "engine/base/buf.h"

#include <stdbool.h>

struct cli_http;
/* base: "http://host:port" and any path before the routes, or "unix:/path/of/socket"; outlives the client. The API key
 * comes from MINIVLM_API_KEY, the authorities of https, in place of the system's, from the file MINIVLM_CA_FILE. */
MUST_USE enum err cli_http_open(struct cli_http **out, const char *base, struct errbuf *e);
void cli_http_close(struct cli_http *h); /* NULL is fine */

struct cli_http_answer {
    long status;
    int retry_after_s;   /* 0: not said */
    bool is_unreachable; /* with ERR_IO: nothing listens at that address */
    bool is_cut;         /* with ERR_IO: the connection broke partway */
    struct buf body;     /* init and release are the caller's; reset by each request */
};
/* path: escaped, begins with a slash. */
MUST_USE enum err cli_http_send(struct cli_http *h, const char *method, const char *path, const char *type,
                                const void *bytes, size_t n, struct cli_http_answer *answer, struct errbuf *e);

/* Appends one segment of a path; slashes are kept when with_slashes is set. */
void cli_http_escape(struct buf *to, const char *text, bool with_slashes);

#endif
