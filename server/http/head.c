#include "server/http/head.h"

#include "server/http/address.h"

#include <string.h>
#include <strings.h>

static enum head_state refuse(struct head *h, enum refusal why, const char *message)
{
    h->why = why;
    h->message = message;
    return HEAD_REFUSED;
}

/* ---- characters ---- */

static bool is_letter_or_digit(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool head_is_token_char(unsigned char c)
{
    return is_letter_or_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct head_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (!head_is_token_char((unsigned char)t.bytes[i])) {
            return false;
        }
    }
    return t.n > 0;
}

static bool is_value(struct head_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.bytes[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_word(struct head_text t, const char *word)
{
    return t.n == strlen(word) && strncasecmp(t.bytes, word, t.n) == 0;
}

static struct head_text trim(struct head_text t)
{
    while (t.n && (t.bytes[0] == ' ' || t.bytes[0] == '\t')) {
        t.bytes++;
        t.n--;
    }
    while (t.n && (t.bytes[t.n - 1] == ' ' || t.bytes[t.n - 1] == '\t')) {
        t.n--;
    }
    return t;
}

/* ---- escapes ---- */

int head_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What the %XX at the beginning of n bytes stands for; -1: it is none. */
static int unescaped(const char *text, size_t n)
{
    int high = n > 2 ? head_hex(text[1]) : -1, low = n > 2 ? head_hex(text[2]) : -1;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t head_decode(char *out, const char *text, size_t n, bool is_query, bool *is_good)
{
    size_t k = 0;
    *is_good = true;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '+' && is_query) {
            c = ' ';
        } else if (c == '%') {
            int byte = unescaped(text + i, n - i);
            *is_good &= byte > 0;
            c = byte < 0 ? c : (char)byte;
            i += byte < 0 ? 0 : 2;
        }
        out[k++] = c;
    }
    return k;
}

static bool has_good_escapes(struct head_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (t.bytes[i] == '%' && unescaped(t.bytes + i, t.n - i) <= 0) {
            return false;
        }
    }
    return true;
}

/* ---- authority: Host, and absolute-form targets ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Nothing is one: `x:` is `x`. */
static bool is_port(const char *text, size_t n)
{
    unsigned port = 0;
    for (size_t i = 0; i < n; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
        if (!is_digit(text[i]) || port > 65535) {
            return false;
        }
    }
    return true;
}

/* Up to its closing bracket; 0: it is none. */
static size_t length_of_v6(struct head_text t)
{
    struct address address;
    const char *end = memchr(t.bytes, ']', t.n);
    size_t n = end ? (size_t)(end - t.bytes) : 0;
    return n && memchr(t.bytes, ':', n) && address_parse(&address, t.bytes + 1, n - 1) ? n + 1 : 0;
}

static bool is_authority(struct head_text t)
{
    size_t i = 0;
    if (t.n && t.bytes[0] == '[') {
        i = length_of_v6(t);
    } else {
        while (i < t.n && (is_letter_or_digit((unsigned char)t.bytes[i]) || strchr("-._~!$&'()*+,;=%", t.bytes[i]))) {
            i++;
        }
        i = has_good_escapes((struct head_text){t.bytes, i}) ? i : 0;
    }
    if (i == 0) {
        return false;
    }
    return i == t.n || (t.bytes[i] == ':' && is_port(t.bytes + i + 1, t.n - i - 1));
}

/* ---- request line ---- */

static const char *const bad_line = "the request line must be: METHOD, one space, target, one space, HTTP/1.1";

static enum head_state parse_version(struct head *h, struct head_text t)
{
    if (t.n != 8 || memcmp(t.bytes, "HTTP/", 5) != 0 || t.bytes[6] != '.' || !is_digit(t.bytes[5]) ||
        !is_digit(t.bytes[7])) {
        return refuse(h, REFUSAL_MALFORMED, bad_line);
    }
    if (t.bytes[5] != '1') {
        return refuse(h, REFUSAL_VERSION, "this service speaks HTTP/1.0 and HTTP/1.1");
    }
    h->minor = t.bytes[7] == '0' ? 0 : 1;
    h->keeps_alive = h->minor == 1;
    return HEAD_WHOLE;
}

/* http://host:port/path to /path; its authority takes the place of Host (RFC 9112 section 3.2.2). */
static bool parse_absolute(struct head *h, struct head_text *target)
{
    size_t scheme = strncasecmp(target->bytes, "http://", 7) == 0    ? 7
                    : strncasecmp(target->bytes, "https://", 8) == 0 ? 8
                                                                     : 0;
    if (!scheme) {
        return false;
    }
    struct head_text authority = {target->bytes + scheme, 0};
    while (scheme + authority.n < target->n && !strchr("/?", authority.bytes[authority.n])) {
        authority.n++;
    }
    target->bytes += scheme + authority.n;
    target->n -= scheme + authority.n;
    h->fields[HEADER_HOST] = authority;
    return is_authority(authority);
}

static enum head_state parse_target(struct head *h, struct head_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.bytes[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            return refuse(h, REFUSAL_MALFORMED,
                          "the request target may hold visible ASCII characters without '#'; write others as %XX");
        }
    }
    if (t.n == 1 && t.bytes[0] == '*' && h->method.n == 7 && memcmp(h->method.bytes, "OPTIONS", 7) == 0) {
        h->path = t;
        return HEAD_WHOLE;
    }
    if (t.n == 0 || (t.bytes[0] != '/' && !parse_absolute(h, &t))) {
        return refuse(h, REFUSAL_MALFORMED, "the request target must begin with '/' or be an http:// address");
    }
    const char *mark = t.n ? memchr(t.bytes, '?', t.n) : NULL;
    h->path = (struct head_text){t.bytes, mark ? (size_t)(mark - t.bytes) : t.n};
    if (mark) {
        h->query = (struct head_text){mark + 1, t.n - h->path.n - 1};
    }
    if (h->path.n == 0) { /* http://host, http://host?query */
        h->path = (struct head_text){"/", 1};
    }
    if (!has_good_escapes(h->path)) {
        return refuse(h, REFUSAL_MALFORMED, "each % in the path must be followed by two hex digits other than 00");
    }
    return HEAD_WHOLE;
}

static enum head_state parse_request_line(struct head *h, const char *line, size_t n)
{
    const char *first = memchr(line, ' ', n);
    if (!first) {
        return refuse(h, REFUSAL_MALFORMED, bad_line);
    }
    h->method = (struct head_text){line, (size_t)(first - line)};
    if (!is_token(h->method)) {
        h->method = (struct head_text){NULL, 0};
        return refuse(h, REFUSAL_MALFORMED, bad_line);
    }
    if (h->method.n > HEAD_MAX_METHOD || (h->method.n == 7 && memcmp(line, "CONNECT", 7) == 0)) {
        return refuse(h, REFUSAL_METHOD, "this service is not a proxy and does not support this method");
    }
    const char *target = first + 1, *second = memchr(target, ' ', n - (size_t)(target - line));
    if (!second) {
        return refuse(h, REFUSAL_VERSION, "a request line without a version is HTTP/0.9; send HTTP/1.1");
    }
    struct head_text version = {second + 1, n - (size_t)(second + 1 - line)};
    enum head_state s = parse_version(h, version);
    return s == HEAD_WHOLE ? parse_target(h, (struct head_text){target, (size_t)(second - target)}) : s;
}

/* ---- header fields ---- */

/* What the fields of one head say together. */
struct framing {
    int n_hosts, n_lengths;
    int n_chunked, n_codings;        /* members of Transfer-Encoding, in all its lines */
    bool has_coding, ends_in_chunks; /* there is such a line; the last member is `chunked` */
    bool closes, keeps;
    bool expects_continue, expects_else;
};

/* The next member of a list with commas, trimmed; false: there are no more. */
static bool next_member(struct head_text *list, struct head_text *member)
{
    if (!list->bytes) {
        return false;
    }
    const char *comma = list->n ? memchr(list->bytes, ',', list->n) : NULL;
    size_t n = comma ? (size_t)(comma - list->bytes) : list->n;
    *member = trim((struct head_text){list->bytes, n});
    *list = comma ? (struct head_text){comma + 1, list->n - n - 1} : (struct head_text){NULL, 0};
    return true;
}

static enum head_state parse_length(struct head *h, struct framing *f, struct head_text value)
{
    h->length = 0;
    h->has_length = true;
    f->n_lengths++;
    for (size_t i = 0; i < value.n; i++) {
        if (!is_digit(value.bytes[i])) {
            return refuse(h, REFUSAL_MALFORMED, "Content-Length must be one whole number in decimal digits");
        }
        uint64_t digit = (uint64_t)(value.bytes[i] - '0');
        h->length = h->length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : h->length * 10 + digit;
    }
    return value.n ? HEAD_WHOLE
                   : refuse(h, REFUSAL_MALFORMED, "Content-Length must be one whole number in decimal digits");
}

static void parse_connection(struct framing *f, struct head_text value)
{
    for (struct head_text option; next_member(&value, &option);) {
        f->closes |= is_word(option, "close");
        f->keeps |= is_word(option, "keep-alive");
    }
}

static void parse_coding(struct framing *f, struct head_text value)
{
    f->has_coding = true;
    for (struct head_text coding; next_member(&value, &coding);) {
        f->ends_in_chunks = is_word(coding, "chunked");
        f->n_chunked += f->ends_in_chunks;
        f->n_codings++;
    }
}

static void parse_expect(struct framing *f, struct head_text value)
{
    for (struct head_text what; next_member(&value, &what);) {
        bool is_continue = is_word(what, "100-continue");
        f->expects_continue |= is_continue;
        f->expects_else |= what.n > 0 && !is_continue;
    }
}

static enum head_state keep_field(struct head *h, struct head_text name, struct head_text value)
{
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (!is_word(name, exchange_header_name((enum exchange_header)i))) {
            continue;
        }
        if (!h->fields[i].bytes) {
            h->fields[i] = value;
        } else if (i == HEADER_AUTHORIZATION || i == HEADER_CONTENT_TYPE) {
            return refuse(h, REFUSAL_MALFORMED, "Authorization and Content-Type may be sent once");
        }
        break;
    }
    return HEAD_WHOLE;
}

static enum head_state parse_field(struct head *h, struct framing *f, const char *line, size_t n)
{
    if (line[0] == ' ' || line[0] == '\t') {
        return refuse(h, REFUSAL_MALFORMED, "a header field must be on one line; folded lines are obsolete");
    }
    const char *colon = memchr(line, ':', n);
    struct head_text name = {line, colon ? (size_t)(colon - line) : 0};
    if (!colon || !is_token(name)) {
        return refuse(h, REFUSAL_MALFORMED,
                      "each header line must be a name of letters, digits and hyphens, a colon "
                      "directly after it, and a value");
    }
    struct head_text value = trim((struct head_text){colon + 1, n - name.n - 1});
    if (!is_value(value)) {
        return refuse(h, REFUSAL_MALFORMED, "a header value has a control character; remove or encode it");
    }
    if (is_word(name, "Content-Length")) {
        return parse_length(h, f, value);
    }
    if (is_word(name, "Transfer-Encoding")) {
        parse_coding(f, value);
    } else if (is_word(name, "Expect")) {
        parse_expect(f, value);
    } else if (is_word(name, "Host")) {
        f->n_hosts++;
        if (value.n && !is_authority(value)) {
            return refuse(h, REFUSAL_MALFORMED, "Host must be a name or address with an optional port");
        }
        const struct head_text asked = h->fields[HEADER_HOST];
        h->has_other_host = asked.bytes && (asked.n != value.n || strncasecmp(asked.bytes, value.bytes, value.n) != 0);
    } else if (is_word(name, "Connection")) {
        parse_connection(f, value);
    }
    return keep_field(h, name, value);
}

static enum head_state judge(struct head *h, const struct framing *f)
{
    if (f->n_hosts > 1 || (f->n_hosts == 0 && h->minor == 1)) {
        return refuse(h, REFUSAL_MALFORMED, "send exactly one Host header (HTTP/1.0: at most one)");
    }
    if (f->n_lengths > 1) {
        return refuse(h, REFUSAL_MALFORMED, "Content-Length may be sent once");
    }
    if (f->has_coding && f->n_lengths) {
        return refuse(h, REFUSAL_MALFORMED, "send Content-Length or Transfer-Encoding, not both");
    }
    if (f->has_coding && h->minor == 0) {
        return refuse(h, REFUSAL_MALFORMED, "HTTP/1.0 has no Transfer-Encoding; send a Content-Length");
    }
    if (f->has_coding && (!f->ends_in_chunks || f->n_chunked > 1)) { /* nobody can tell where the body ends */
        return refuse(h, REFUSAL_MALFORMED, "the last transfer coding of a request must be chunked, and it alone");
    }
    if (f->n_codings > 1) {
        return refuse(h, REFUSAL_CODING, "the one transfer coding that is understood is: chunked");
    }
    h->is_chunked = f->has_coding;
    h->keeps_alive = !f->closes && (h->minor == 1 || f->keeps);
    h->expects_continue = h->minor == 1 && f->expects_continue;
    return h->minor == 1 && f->expects_else ? refuse(h, REFUSAL_EXPECTATION, "Expect may be 100-continue") : HEAD_WHOLE;
}

/* All lines are there, each ended by CR LF, the last one empty. */
static enum head_state parse(struct head *h, const char *bytes, size_t n)
{
    struct framing f = {0};
    const char *at = bytes, *end = bytes + n;
    enum head_state state = HEAD_WHOLE;
    for (bool is_first = true; at < end && state == HEAD_WHOLE; is_first = false) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)(feed - 1 - at);
        if (is_first) {
            state = parse_request_line(h, at, length);
            h->lines = (struct head_text){feed + 1, (size_t)(end - feed - 1)};
        } else if (length) {
            state = parse_field(h, &f, at, length);
        }
        at = feed + 1;
    }
    return state == HEAD_WHOLE ? judge(h, &f) : state;
}

bool head_next(const struct head *h, const char *name, const char **at, struct head_text *value)
{
    const char *line = *at ? *at : h->lines.bytes, *end = h->lines.bytes + h->lines.n;
    for (const char *feed; line < end; line = feed + 1) {
        feed = memchr(line, '\n', (size_t)(end - line));
        const char *colon = memchr(line, ':', (size_t)(feed - line));
        if (colon && is_word((struct head_text){line, (size_t)(colon - line)}, name)) {
            *value = trim((struct head_text){colon + 1, (size_t)(feed - 1 - colon - 1)});
            *at = feed + 1;
            return true;
        }
    }
    return false;
}

/* ---- scanning ---- */

/* Empty lines before a request are skipped (RFC 9112 section 2.2), a few. False: refused. */
static bool skip_empty_lines(struct head_scan *s, const char *bytes, size_t n)
{
    while (s->at == s->start && n - s->start >= 2 && bytes[s->start] == '\r' && bytes[s->start + 1] == '\n') {
        s->start += 2;
        s->at = s->line = s->start;
    }
    return s->start <= 2 * HEAD_MAX_EMPTY_LINES;
}

/* The method must be one from its first byte on, so that other protocols are known at once. */
static enum head_state look_at_method(struct head *h, const char *bytes, size_t n)
{
    if (n >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03) {
        return refuse(h, REFUSAL_MALFORMED, "this port speaks plain HTTP, not TLS; use http://");
    }
    for (size_t i = 0; i < n && (i == 0 || (bytes[i] != ' ' && bytes[i] != '\r')); i++) {
        if (!head_is_token_char((unsigned char)bytes[i])) {
            return refuse(h, REFUSAL_MALFORMED, bad_line);
        }
        if (i == HEAD_MAX_METHOD) {
            return refuse(h, REFUSAL_METHOD, "this service is not a proxy and does not support this method");
        }
    }
    return HEAD_MORE;
}

enum head_state head_scan(struct head *h, struct head_scan *s, const char *bytes, size_t n, size_t max_bytes)
{
    *h = (struct head){0};
    if (!skip_empty_lines(s, bytes, n)) {
        return refuse(h, REFUSAL_MALFORMED, bad_line);
    }
    if (s->at == s->start && n - s->start == 1 && bytes[s->start] == '\r') {
        return HEAD_MORE; /* half of an empty line */
    }
    size_t end = n - s->start > max_bytes ? s->start + max_bytes : n;
    if (!s->has_request_line && look_at_method(h, bytes + s->start, end - s->start) != HEAD_MORE) {
        return HEAD_REFUSED;
    }
    for (; s->at < end; s->at++) {
        char c = bytes[s->at];
        bool is_after_return = s->at > s->line && bytes[s->at - 1] == '\r';
        if (c == '\0' || is_after_return != (c == '\n')) {
            return refuse(h, REFUSAL_MALFORMED, "lines must end in CR LF and hold no NUL, bare CR or bare LF");
        }
        if (c != '\n') {
            continue;
        }
        if (!s->has_request_line) {
            s->has_request_line = true;
            if (parse_request_line(h, bytes + s->line, s->at - 1 - s->line) != HEAD_WHOLE) {
                return HEAD_REFUSED;
            }
        } else if (s->at - s->line == 1) {
            size_t length = s->at + 1 - s->start;
            *h = (struct head){.n_bytes = s->at + 1};
            return parse(h, bytes + s->start, length);
        }
        s->line = s->at + 1;
    }
    if (end == n && n - s->start < max_bytes) {
        return HEAD_MORE;
    }
    return s->has_request_line
               ? refuse(h, REFUSAL_LONG_HEAD, "request line and headers are over server.max_header_bytes")
               : refuse(h, REFUSAL_LONG_TARGET,
                        "the request line alone is over server.max_header_bytes; send long parameters in the body");
}
