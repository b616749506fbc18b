/* cli_http - requests to a running minivlm-server. The only file that knows libcurl.
 *
 * Ownership: a connection belongs to one thread. Errors: ERR_IO with the address and libcurl's reason; an answer of any
 * status is no error. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "engine/base/buf.h"

#include <stdbool.h>

struct cli_http;
/* base: "http://host:port" and whatever stands before the routes. The key of an API comes from MINIVLM_API_KEY. */
MUST_USE enum err cli_http_open(struct cli_http **out, const char *base, struct errbuf *e);
void cli_http_close(struct cli_http *h); /* NULL is fine */

struct cli_http_answer {
    long status;
    int retry_after_s;   /* 0: not said */
    bool is_unreachable; /* with ERR_IO: nobody listens at that address */
    bool is_cut;         /* with ERR_IO: somebody did, and left in the middle */
    struct buf body;     /* init and release are the caller's; reset by each request */
};
/* path: escaped, begins with a slash. */
MUST_USE enum err cli_http_send(struct cli_http *h, const char *method, const char *path, const char *type,
                                const void *bytes, size_t n, struct cli_http_answer *answer, struct errbuf *e);

/* Appends one segment of a path; slashes stay when with_slashes. */
void cli_http_escape(struct buf *to, const char *text, bool with_slashes);

#endif
