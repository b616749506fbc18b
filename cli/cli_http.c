#include "cli/cli_http.h"

#include "engine/base/mem.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

enum { URL_MAX_BYTES = 16 << 10, CONNECT_SECONDS = 10, ANSWER_SECONDS = 120 };

struct cli_http {
    CURL *curl;
    const char *base, *socket; /* socket NULL: the base is the address */
    int n_base;                /* bytes of the base without slashes at its end */
    struct buf url, authorization;
};

static const char unix_scheme[] = "unix:";

/* "unix:/run/minivlm.sock" or "http://host:port/prefix/" */
static void set_base(struct cli_http *h, const char *base)
{
    bool is_socket = strncasecmp(base, unix_scheme, strlen(unix_scheme)) == 0;
    h->socket = is_socket ? base + strlen(unix_scheme) : NULL;
    h->base = base;
    h->n_base = (int)strlen(base);
    while (h->n_base > 0 && base[h->n_base - 1] == '/') {
        h->n_base--;
    }
}

static void init_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum err cli_http_open(struct cli_http **out, const char *base, struct errbuf *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct cli_http *h = NULL;
    const char *key = getenv("MINIVLM_API_KEY");
    pthread_once(&once, init_once);
    *out = NULL;
    enum err rc = mem_alloc(&h, sizeof(*h));
    if (rc) {
        return rc;
    }
    h->curl = curl_easy_init();
    set_base(h, base);
    buf_init(&h->url, URL_MAX_BYTES);
    buf_init(&h->authorization, URL_MAX_BYTES);
    if (key && key[0]) {
        buf_printf(&h->authorization, "Authorization: Bearer %s", key);
    }
    if (!h->curl || h->authorization.err) {
        cli_http_close(h);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    *out = h;
    return OK;
}

void cli_http_close(struct cli_http *h)
{
    if (h) {
        curl_easy_cleanup(h->curl);
        buf_release(&h->url);
        buf_release(&h->authorization);
        mem_free(h);
    }
}

static size_t receive(char *bytes, size_t size, size_t n, void *user)
{
    struct buf *body = user;
    buf_append(body, bytes, size * n);
    return body->err ? 0 : size * n;
}

static struct curl_slist *headers_of(const struct cli_http *h, const char *type)
{
    char line[160];
    snprintf(line, sizeof(line), "Content-Type: %s", type);
    struct curl_slist *list = curl_slist_append(NULL, line);
    list = curl_slist_append(list, "Expect:"); /* a refusal is read all the same */
    return h->authorization.n > 0 ? curl_slist_append(list, h->authorization.bytes) : list;
}

enum err cli_http_send(struct cli_http *h, const char *method, const char *path, const char *type, const void *bytes,
                       size_t n, struct cli_http_answer *answer, struct errbuf *e)
{
    static const char local[] = "http://localhost";
    const char *authorities = getenv("MINIVLM_CA_FILE");
    curl_off_t wait = 0;
    buf_reset(&h->url);
    buf_printf(&h->url, "%.*s%s", h->socket ? (int)strlen(local) : h->n_base, h->socket ? local : h->base, path);
    buf_reset(&answer->body);
    if (h->url.err) {
        return err_set(e, ERR_IO, "the address would be longer than %d bytes; shorten --server, the name or the text",
                       URL_MAX_BYTES);
    }
    struct curl_slist *headers = headers_of(h, type);
    curl_easy_reset(h->curl); /* keeps the connection */
    curl_easy_setopt(h->curl, CURLOPT_URL, h->url.bytes);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, h->socket);
    if (authorities && authorities[0]) {
        curl_easy_setopt(h->curl, CURLOPT_CAINFO, authorities);
    }
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, (long)ANSWER_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, bytes);
    curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &answer->body);
    CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    answer->is_unreachable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
                             code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                             code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
    answer->is_cut =
        code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE;
    if (code != CURLE_OK) {
        return err_set(e, ERR_IO, "%s: %s%s", h->base, curl_easy_strerror(code),
                       code == CURLE_COULDNT_CONNECT            ? "; is the server running?"
                       : code == CURLE_PEER_FAILED_VERIFICATION ? "; name its authority's file in MINIVLM_CA_FILE"
                       : code == CURLE_SSL_CACERT_BADFILE       ? " (MINIVLM_CA_FILE)"
                                                                : "");
    }
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &wait);
    answer->retry_after_s = wait > 0 && wait < INT32_MAX ? (int)wait : 0;
    return OK;
}

void cli_http_escape(struct buf *to, const char *text, bool with_slashes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *c = text; *c; c++) {
        if (strchr(plain, *c) || (with_slashes && *c == '/')) {
            buf_append(to, c, 1);
        } else {
            buf_printf(to, "%%%02X", (unsigned char)*c);
        }
    }
}
