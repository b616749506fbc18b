#include "server/gate/admission.h"

#include "engine/base/clock.h"
#include "engine/base/hash.h"
#include "engine/base/sha256.h"
#include "server/http/peers.h"
#include "server/http/reply.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { SMALL_BODY = 65536 };

/* ---- browsers ---- */

static bool is_allowed_origin(const char *list, const char *origin)
{
    size_t n = strlen(origin);
    if (strcmp(list, "*") == 0) {
        return true;
    }
    for (const char *at = strstr(list, origin); at; at = strstr(at + 1, origin)) {
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* What a page wants to send: SDKs add many fields of their own, and none of them is looked at here unless it is known.
 * Too long a list is allowed as a whole. */
static void allow_headers(struct exchange *x)
{
    const char *asked = x->headers[HEADER_ASKED_HEADERS];
    if (asked && asked[0]) {
        exchange_out(x, "Access-Control-Allow-Headers", "%s",
                     strlen(asked) < EXCHANGE_MAX_VALUE ? asked : "*, Authorization");
    } else {
        exchange_out(x, "Access-Control-Allow-Headers",
                     "Authorization, Content-Type, Priority, X-Request-Id, X-Request-Timeout-Ms, Cache-Control, "
                     "X-Image-Id, traceparent, tracestate, endpoint-load-metrics-format, "
                     "Inference-Header-Content-Length");
    }
    if (x->headers[HEADER_ASKED_PRIVATE]) { /* a page on the internet, and this service in its reader's network */
        exchange_out(x, "Access-Control-Allow-Private-Network", "true");
    }
}

/* True when a preflight was answered. */
static bool answer_cors(const struct admission *a, struct exchange *x)
{
    const char *origin = x->headers[HEADER_ORIGIN], *list = a->config->server.cors_origins;
    if (x->is_admin || !origin || !origin[0] || !list[0] || !is_allowed_origin(list, origin)) {
        return false;
    }
    exchange_out(x, "Access-Control-Allow-Origin", "%s", origin);
    exchange_out(x, "Vary", "Origin, Access-Control-Request-Headers");
    exchange_out(x, "Access-Control-Expose-Headers",
                 "X-Request-Id, Server-Timing, X-Cache, X-Image-Id, X-Text-Warning, Retry-After, "
                 "Inference-Header-Content-Length, endpoint-load-metrics");
    if (strcmp(x->method, "OPTIONS") != 0) {
        return false;
    }
    exchange_out(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
    allow_headers(x);
    exchange_out(x, "Access-Control-Max-Age", "600");
    x->route_name = "preflight";
    reply_text(x, 204, NULL, "");
    return true;
}

/* A page of another site must not steer the service through somebody's browser. */
static bool is_from_no_page(struct exchange *x)
{
    const char *site = x->headers[HEADER_SEC_FETCH_SITE];
    if (!x->is_admin) {
        return true;
    }
    if (x->headers[HEADER_ORIGIN]) {
        reply_error(x, FAULT_FORBIDDEN, "Origin", "the admin port takes no requests from web pages");
    } else if (site && strcmp(site, "none") != 0 && strcmp(site, "same-origin") != 0) {
        reply_error(x, FAULT_FORBIDDEN, "Sec-Fetch-Site", "the admin port takes no requests from web pages");
    }
    return x->status == 0;
}

/* Without its port and brackets, and without the dot that ends a whole name ("minivlm.svc.cluster.local."). */
static bool host_of(const char *header, char *out, size_t size)
{
    size_t n = header[0] == '[' ? strcspn(++header, "]") : strcspn(header, ":");
    n -= n > 1 && header[n - 1] == '.';
    if (n >= size) {
        return false;
    }
    memcpy(out, header, n);
    out[n] = '\0';
    return true;
}

static bool is_in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (list += strspn(list, " ,"); *list; list += strspn(list, " ,")) {
        size_t length = strcspn(list, " ,");
        if (length == n && strncasecmp(list, word, n) == 0) {
            return true;
        }
        list += length;
    }
    return false;
}

/* DNS rebinding: a page's own name may lead to this port, so names are told apart by what was asked for, in the
 * target and in Host. An address cannot be rebound; who asks without Host is no browser. */
static bool is_called_by_name(const struct admission *a, struct exchange *x)
{
    const char *header = x->headers[HEADER_HOST];
    char host[256];
    struct address address;
    if (!x->is_admin || !header || !header[0] || (x->route->flags & ROUTE_PUBLIC) ||
        strcmp(a->config->server.admin_names, "*") == 0) {
        return true;
    }
    if (!x->has_other_host && host_of(header, host, sizeof(host)) &&
        (address_parse(&address, host, strlen(host)) || strcasecmp(host, "localhost") == 0 ||
         is_in_list(a->config->server.admin_host, host) || is_in_list(a->config->server.admin_names, host))) {
        return true;
    }
    if (x->has_other_host) {
        reply_error(x, FAULT_FORBIDDEN, "Host", "the request target names one host and Host another");
        return false;
    }
    reply_error(x, FAULT_FORBIDDEN, "Host",
                "the admin port does not know the host name \"%.64s\"; call it by its address, or add the name to "
                "server.admin_names",
                header);
    return false;
}

/* ---- who and what ---- */

/* Of the Open Inference Protocol and of Hugging Face, where no route is or none of the method. */
static bool is_plain_path(const char *path)
{
    return strcmp(path, "/v2") == 0 || strncmp(path, "/pipeline/", 10) == 0 || strncmp(path, "/models/", 8) == 0 ||
           (strncmp(path, "/v2/", 4) == 0 && strcmp(path, "/v2/rerank") != 0);
}

/* Takes server.prefix off the path. Without it only health is found. */
static bool strip_prefix(const struct admission *a, struct exchange *x)
{
    const char *prefix = a->config->server.prefix;
    size_t n = strlen(prefix);
    if (x->is_admin || n == 0 || strncmp(x->path, prefix, n) != 0 || (x->path[n] != '/' && x->path[n])) {
        return x->is_admin || n == 0;
    }
    x->path += x->path[n] ? n : 0;
    return true;
}

/* What somebody was probably looking for. */
static const char *no_route_hint(const char *path)
{
    if (strncmp(path, "/v1/", 4) == 0) {
        return "of OpenAI's this service has /v1/chat/completions and /v1/models, all are in /openapi.json";
    }
    if (strcmp(path, "/chat/completions") == 0 || strcmp(path, "/models") == 0) {
        return "the base URL for OpenAI's clients ends in /v1";
    }
    if (strncmp(path, "/models/", 8) == 0) {
        return "Hugging Face's clients are served at / and /pipeline/image-to-text or "
               "/pipeline/visual-question-answering";
    }
    return "the routes are listed in /openapi.json";
}

/* Paths are taken as they are: other letters and a slash too many are another path. Then the one that may be meant is
 * told. */
static void fail_no_path(const struct admission *a, struct exchange *x, int hidden)
{
    enum { PATH_MAX_SHOWN = 64 };
    char path[PATH_MAX_SHOWN];
    const struct route *route = NULL;
    struct buf allow;
    buf_init(&allow, 256);
    bool is_near =
        route_tidy(x->path, path, sizeof(path)) &&
        route_find(a->routes, x->method, path, x->is_admin, a->has_admin_port, hidden, &route, &allow) != ROUTE_NO_PATH;
    buf_release(&allow);
    if (is_near) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such route; did you mean %s%s?",
                    x->is_admin ? "" : a->config->server.prefix, path);
    } else {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such route; %s", no_route_hint(x->path));
    }
}

static bool find_route(const struct admission *a, struct exchange *x)
{
    struct buf allow;
    bool has_prefix = strip_prefix(a, x);
    if (has_prefix && !x->is_admin && a->config->server.prefix[0] && strcmp(x->path, a->config->server.prefix) == 0) {
        exchange_out(x, "Location", "%s/", a->config->server.prefix); /* so that a page's relative links are right */
        reply_text(x, 308, NULL, "");
        return false;
    }
    buf_init(&allow, 256);
    int hidden = a->config->server.page && has_prefix ? 0 : ROUTE_PAGE;
    enum route_result found =
        route_find(a->routes, x->method, x->path, x->is_admin, a->has_admin_port, hidden, &x->route, &allow);
    if (!has_prefix && (found != ROUTE_FOUND || !(x->route->flags & ROUTE_PUBLIC))) {
        found = ROUTE_NO_PATH;
        x->route = NULL;
    }
    x->route_name = found == ROUTE_FOUND ? x->route->name : "none";
    x->has_plain_errors = x->route ? x->route->flags & ROUTE_PLAIN : is_plain_path(x->path);
    if (found == ROUTE_NO_PATH && !has_prefix) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such route; all paths of this service begin with %s/",
                    a->config->server.prefix);
    } else if (found == ROUTE_NO_PATH) {
        fail_no_path(a, x, hidden);
    } else if (found == ROUTE_NO_METHOD) {
        exchange_out(x, "Allow", "%s", allow.bytes ? allow.bytes : "");
        reply_error(x, FAULT_METHOD, NULL, "this route takes %s", allow.bytes ? allow.bytes : "another method");
    }
    buf_release(&allow);
    return found == ROUTE_FOUND;
}

/* The routes of both ports take any key. */
static bool has_role(const struct auth_key *key, struct exchange *x)
{
    const struct route *r = x->route;
    unsigned needed = r->flags & ROUTE_ADMIN  ? AUTH_ADMIN
                      : r->flags & ROUTE_OPS  ? AUTH_METRICS | AUTH_ADMIN
                      : r->flags & ROUTE_BOTH ? key->roles
                                              : AUTH_CLIENT | AUTH_ADMIN;
    char has[32];
    if (key->roles & needed) {
        return true;
    }
    auth_role_names(key->roles, has);
    reply_error(x, FAULT_FORBIDDEN, "Authorization",
                "the key \"%s\" has the role %s; %s needs the role %s (role= on its line of auth.keys_file)", key->name,
                has, r->path,
                r->flags & ROUTE_ADMIN ? "admin"
                : r->flags & ROUTE_OPS ? "metrics"
                                       : "client");
    return false;
}

static bool find_caller(const struct admission *a, struct exchange *x, const struct auth_key **out)
{
    x->caller.client = peers_number(&x->address);
    if (!a->auth->keys || (x->route->flags & ROUTE_PUBLIC)) {
        return true;
    }
    const char *given = x->headers[HEADER_AUTHORIZATION];
    const struct auth_key *key = auth_check(a->auth, given);
    if (!key) {
        reply_error(x, FAULT_UNAUTHORIZED, "Authorization", "%s: Authorization: Bearer KEY",
                    given ? "this API key is not known" : "this service needs an API key");
        return false;
    }
    memcpy(x->caller.key, key->name, sizeof(x->caller.key));
    x->caller.client = hash_text(key->name);
    key->use->requests++;
    if (!has_role(key, x)) {
        return false;
    }
    *out = key;
    sha256_hmac(key->digest, sizeof(key->digest), "image ids", 9, x->caller.id_key);
    sha256_hmac(key->digest, sizeof(key->digest), "image id mask", 13, x->caller.id_mask);
    x->caller.has_id_key = true;
    return true;
}

/* What a key may do at most, before what all may do together. */
static bool check_key(const struct admission *a, const struct auth_key *key, struct exchange *x)
{
    uint64_t after_us = 0;
    enum auth_verdict v = key ? auth_enter(key, clock_us(), (int)a->config->limits.requests, &after_us) : AUTH_OK;
    if (v == AUTH_OVER_RATE) {
        reply_retry(x, FAULT_RATE_LIMITED, after_us, "the key \"%s\" may send %.6g requests a second", key->name,
                    key->rate);
    } else if (v == AUTH_OVER_SHARE) {
        reply_retry(x, FAULT_RATE_LIMITED, after_us, "the key \"%s\" may have %d %% of %lld requests under way at once",
                    key->name, key->share, a->config->limits.requests);
    } else if (key) {
        x->caller.use = key->use;
    }
    return v == AUTH_OK;
}

static bool check_query(struct exchange *x)
{
    const char *unknown = route_unknown_query(x->route, x);
    if (unknown) {
        reply_error(x, FAULT_BAD_REQUEST, unknown, "unknown parameter \"%.64s\"", unknown);
    }
    return !unknown;
}

/* ---- limits ---- */

static bool check_state(const struct admission *a, struct exchange *x)
{
    if (a->state == ADMISSION_LOADING) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the model is being loaded; see /startupz");
    } else if (a->state == ADMISSION_DRAINING) {
        reply_retry(x, FAULT_DRAINING, 1000000, "the service is shutting down; another replica will answer");
    }
    return x->status == 0;
}

void admission_too_large(struct exchange *x, uint64_t max)
{
    reply_error(x, FAULT_BODY_TOO_LARGE, x->content_length ? "Content-Length" : NULL, "the body may have %llu bytes%s",
                (unsigned long long)max,
                x->route->flags & ROUTE_WORK ? " (limits.body_bytes); send a smaller copy, or fewer images at a time"
                                             : "; this route needs none");
}

static bool check_size(const struct admission *a, struct exchange *x)
{
    uint64_t max = x->route->flags & ROUTE_WORK ? a->config->limits.body_bytes : SMALL_BODY;
    if (x->content_length > max) {
        admission_too_large(x, max);
        return false;
    }
    if (x->has_too_much_query) {
        reply_error(x, FAULT_BAD_REQUEST, NULL, "more than %d query parameters; send them in the body",
                    EXCHANGE_MAX_QUERY);
        return false;
    }
    return true;
}

static bool set_deadline(const struct admission *a, struct exchange *x)
{
    const char *faulty;
    if (!exchange_read_deadline(x, (uint64_t)a->config->limits.timeout_ms, &faulty)) {
        reply_error(x, FAULT_BAD_REQUEST, faulty, "%s must be a whole number of milliseconds from 1 to %" PRIu64,
                    faulty, EXCHANGE_MAX_TIMEOUT_MS);
        return false;
    }
    return true;
}

void admission_refuse(struct exchange *x, enum gate_verdict verdict, uint64_t after_us)
{
    switch (verdict) {
    case GATE_TOO_LATE:
        reply_retry(x, FAULT_DEADLINE_UNREACHABLE, after_us,
                    "an answer would take about %llu ms, which is after the deadline",
                    (unsigned long long)(after_us / 1000));
        break;
    case GATE_SHARE_USED:
        reply_retry(x, FAULT_OVERLOADED, after_us, "your other requests use up your share of a busy service");
        break;
    default:
        reply_retry(x, FAULT_OVERLOADED, after_us, "the service is busy");
    }
}

static bool glance(const struct admission *a, struct exchange *x)
{
    uint64_t after_us = 0;
    enum gate_verdict verdict = gate_glance(a->gate, clock_us(), x->caller.client, x->route->task, x->content_length,
                                            x->deadline_us, &after_us);
    if (verdict != GATE_ACCEPTED) {
        admission_refuse(x, verdict, after_us);
    }
    return verdict == GATE_ACCEPTED;
}

bool admission_headers(const struct admission *a, struct exchange *x)
{
    x->route_name = "none";
    x->overload_status = strcmp(a->config->server.overload_status, "503") == 0 ? 503 : 429;
    if (strcmp(x->path, "*") == 0) { /* OPTIONS * */
        exchange_out(x, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        reply_text(x, 204, NULL, "");
        return false;
    }
    const struct auth_key *key = NULL;
    if (answer_cors(a, x) || !is_from_no_page(x) || !find_route(a, x) || !is_called_by_name(a, x) ||
        !find_caller(a, x, &key) || !check_query(x)) {
        return false;
    }
    if (!(x->route->flags & ROUTE_WORK)) {
        return check_size(a, x) && set_deadline(a, x);
    }
    return check_state(a, x) && check_size(a, x) && set_deadline(a, x) && check_key(a, key, x) && glance(a, x);
}
