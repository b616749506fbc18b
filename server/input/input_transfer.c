/* Content-Transfer-Encoding of a part (RFC 2045, section 6): mail libraries and `curl -F encoder=` write it although
 * RFC 7578 forbids it. Parts are decoded where they stand. */
#include "server/input/input_private.h"

#include "engine/base/base64.h"

#include <strings.h>

int input_hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Behind the end of the line that begins at `at`, blanks before it included; `at` when something else stands there. */
static size_t behind_line_end(const char *bytes, size_t at, size_t n)
{
    size_t k = at;
    while (k < n && (bytes[k] == ' ' || bytes[k] == '\t')) {
        k++;
    }
    k += k + 1 < n && bytes[k] == '\r' && bytes[k + 1] == '\n';
    return k == n ? n : bytes[k] == '\n' ? k + 1 : at;
}

/* =41, and lines that go on behind a = at their end. Returns where a = stands that is neither; n: nowhere. */
static size_t decode_quoted(char *bytes, size_t n, size_t *n_out)
{
    size_t to = 0;
    for (size_t at = 0; at < n;) {
        if (bytes[at] != '=') {
            bytes[to++] = bytes[at++];
            continue;
        }
        size_t next = behind_line_end(bytes, at + 1, n);
        if (next == at + 1 && next < n) {
            int high = input_hex(bytes[at + 1]), low = at + 2 < n ? input_hex(bytes[at + 2]) : -1;
            if (high < 0 || low < 0) {
                return at;
            }
            bytes[to++] = (char)(high << 4 | low);
            next = at + 3;
        }
        at = next;
    }
    *n_out = to;
    return n;
}

bool input_transfer_decode(const char *encoding, const char *name, char *bytes, size_t *n, struct input_fault *f)
{
    struct errbuf e;
    if (strcasecmp(encoding, "base64") == 0) {
        errbuf_clear(&e);
        return !base64_decode(bytes, *n, bytes, n, &e) ||
               input_fail(f, FAULT_BAD_REQUEST, name,
                          "part %s is not base64, as its Content-Transfer-Encoding says (%.200s); correct it, or send "
                          "the part without this header, as it is",
                          name, errbuf_text(&e, ERR_BAD_REQUEST));
    }
    if (strcasecmp(encoding, "quoted-printable") == 0) {
        size_t at = decode_quoted(bytes, *n, n);
        return at >= *n ||
               input_fail(f, FAULT_BAD_REQUEST, name,
                          "part %s is not quoted-printable, as its Content-Transfer-Encoding says: the = at byte %zu "
                          "stands before no two hexadecimal digits; send the part without this header, as it is",
                          name, at);
    }
    return !encoding[0] || strcasecmp(encoding, "binary") == 0 || strcasecmp(encoding, "8bit") == 0 ||
           strcasecmp(encoding, "7bit") == 0 ||
           input_fail(f, FAULT_BAD_REQUEST, name,
                      "part %s: Content-Transfer-Encoding: %s is not read here; send it without, as it is", name,
                      encoding);
}
