/* head - request line and header fields of one HTTP/1 request, checked against RFC 9110 and RFC 9112, without sockets.
 *
 * Strict wherever a proxy in front could read the same bytes differently: a line ends in CR LF and in nothing else; no
 * NUL, no bare CR; one Host (HTTP/1.1: exactly one); one Content-Length of digits only; Transfer-Encoding is `chunked`,
 * alone, and never beside a Content-Length or on HTTP/1.0; no space before a colon; no folded lines. Field values are
 * trimmed. A target may be origin-form, absolute-form (reduced to its path and query, its authority is then the Host)
 * or `*` with OPTIONS.
 *
 * Feeding: call head_scan with all bytes so far each time more have arrived; the scan remembers its position, so that
 * even a client which sends one byte at a time has each byte examined once. Faults are refused early: in the first line
 * as soon as it ends, a forbidden byte as soon as it arrives.
 *
 * Ownership: the texts of struct head point into the bytes of the call that returned HEAD_WHOLE.
 * Threads: any. Errors: HEAD_REFUSED with `why` and a message that says what to change (static). Allocates nothing. */
#ifndef SERVER_HEAD_H
#define SERVER_HEAD_H

#include "server/http/exchange.h"
#include "server/http/refusal.h"

enum { HEAD_MAX_METHOD = 32, HEAD_MAX_EMPTY_LINES = 8 };

struct head_text {
    const char *bytes; /* NULL: not there */
    size_t n;
};

struct head {
    size_t n_bytes;                       /* from the first byte given to the end of the empty line */
    struct head_text method, path, query; /* as sent; the path begins with '/' or is "*" */
    int minor;                            /* of the version: 0 or 1 */
    bool keeps_alive, expects_continue, is_chunked, has_length;
    bool has_other_host;                   /* Host differs from an absolute-form target */
    uint64_t length;                       /* of the body; UINT64_MAX on overflow */
    struct head_text fields[HEADER_COUNT]; /* the first one of each name, trimmed */
    struct head_text lines;                /* of HEAD_WHOLE: all header lines, for head_next */
    enum refusal why;                      /* of HEAD_REFUSED; the fields above hold what was understood so far */
    const char *message;
};

struct head_scan {
    size_t start, at, line; /* end of the request line; scanned so far; start of the current line */
    bool has_request_line;
};

enum head_state { HEAD_MORE, HEAD_WHOLE, HEAD_REFUSED };

/* max_bytes covers everything from the request line to the empty line, including their CR LF. Zero *s for a new
 * request. */
enum head_state head_scan(struct head *h, struct head_scan *s, const char *bytes, size_t n, size_t max_bytes);

/* The next value with this name, trimmed. Begin with *at NULL; false: there are no more. */
bool head_next(const struct head *h, const char *name, const char **at, struct head_text *value);

/* Of methods and field names (RFC 9110 section 5.6.2). */
bool head_is_token_char(unsigned char c);
int head_hex(char c); /* of one digit; -1: it is none */

/* Decodes %XX, and '+' as a space where `is_query`, to `out` (n bytes are enough). Returns the length; *is_good: every
 * escape had two hex digits (others are kept unchanged) and none was %00. */
size_t head_decode(char *out, const char *text, size_t n, bool is_query, bool *is_good);

#endif
