/* The first look at a request: one row a reason to refuse, and what passes. No gate, no socket. */
#include "server/gate/admission.c"

#include "engine/base/buf.h"
#include "tests/support/answer_header.h"
#include "tests/support/check.h"
#include "tests/support/fake_clock.h"

/* ---- what stands around it ---- */

static enum gate_verdict verdict;
static uint64_t glanced_bytes;

enum gate_verdict gate_glance(struct gate *g, uint64_t now_us, uint64_t client, enum job_task task,
                              uint64_t content_length, uint64_t deadline_us, uint64_t *retry_after_us)
{
    (void)g, (void)client;
    CHECK_INT(now_us, 5000);
    CHECK_INT(task, JOB_VQA);
    CHECK(deadline_us > 0);
    glanced_bytes = content_length;
    *retry_after_us = 1500000;
    return verdict;
}

static const struct route routes[] = {
    {"POST", "/vqa", "vqa", ROUTE_WORK, JOB_VQA, NULL, NULL},
    {"GET", "/healthz", "health", ROUTE_PUBLIC | ROUTE_BOTH, 0, NULL, ""},
    {"GET", "/version", "version", ROUTE_BOTH, 0, NULL, ""},
    {"GET", "/metrics", "metrics", ROUTE_OPS, 0, NULL, NULL},
    {"POST", "/admin/reload", "reload", ROUTE_ADMIN, 0, NULL, ""},
};
static const struct route_table table = {routes, sizeof(routes) / sizeof(routes[0])};

static struct config config;
static struct auth_use use = {.n_refs = 1};
static struct auth_key key = {.name = "alice", .roles = AUTH_CLIENT, .use = &use};
static struct auth auth;
static struct exchange x;
static struct exchange_pair query[1];

static struct admission make(enum admission_state state)
{
    return (struct admission){
        .config = &config, .auth = &auth, .routes = &table, .state = state, .has_admin_port = true};
}

static void request(const char *method, const char *path)
{
    buf_release(&x.answer);
    x = (struct exchange){.method = method, .path = path, .began_us = 1000, .peer = "192.0.2.1", .query = query};
    buf_init(&x.answer, 1 << 16);
    verdict = GATE_ACCEPTED;
}

static bool says(const char *text)
{
    return x.answer.bytes && strstr(x.answer.bytes, text);
}

/* ---- tests ---- */

static void test_passes(void)
{
    struct admission a = make(ADMISSION_OPEN);
    request("POST", "/vqa");
    x.content_length = 100;
    CHECK(admission_headers(&a, &x));
    CHECK_INT(x.status, 0);
    CHECK_STR(x.route_name, "vqa");
    CHECK_INT(x.deadline_us, 1000 + config.limits.timeout_ms * 1000);
    CHECK_INT(glanced_bytes, 100);
    CHECK(!x.caller.has_id_key);
    uint64_t client = x.caller.client;
    request("POST", "/vqa");
    address_parse(&x.address, "192.0.2.2", 9);
    CHECK(admission_headers(&a, &x));
    CHECK(x.caller.client != client);
}

static void test_no_route(void)
{
    struct admission a = make(ADMISSION_OPEN);
    request("GET", "/nothing");
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 404);
    CHECK_STR(x.route_name, "none");
    request("GET", "/vqa");
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 405);
    CHECK_STR(answer_header(&x, "Allow"), "POST");
    request("POST", "/admin/reload"); /* on the main port */
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 404);
}

static void test_prefix(void)
{
    struct admission a = make(ADMISSION_OPEN);
    snprintf(config.server.prefix, sizeof(config.server.prefix), "/vision");
    request("POST", "/vision/vqa");
    CHECK(admission_headers(&a, &x));
    CHECK_STR(x.path, "/vqa");
    static const char *const others[] = {"/vqa", "/visionary/vqa", "/vision/vision/vqa", "/vision/", "/version"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request("GET", others[i]);
        CHECK(!admission_headers(&a, &x));
        CHECK_INT(x.status, 404);
    }
    CHECK(says("begin with /vision/"));
    request("GET", "/vision");
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 308);
    CHECK_STR(answer_header(&x, "Location"), "/vision/");
    request("GET", "/healthz"); /* probes come directly */
    CHECK(admission_headers(&a, &x));
    request("POST", "/admin/reload");
    x.is_admin = true;
    CHECK(admission_headers(&a, &x));
    config.server.prefix[0] = '\0';
}

static void test_keys(void)
{
    struct admission a = make(ADMISSION_OPEN);
    sha256("secret", 6, key.digest);
    auth = (struct auth){.keys = &key, .n_keys = 1};
    request("POST", "/vqa");
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 401);
    CHECK_STR(answer_header(&x, "WWW-Authenticate"), "Bearer");
    request("POST", "/vqa");
    x.headers[HEADER_AUTHORIZATION] = "Bearer wrong";
    CHECK(!admission_headers(&a, &x));
    request("POST", "/vqa");
    x.headers[HEADER_AUTHORIZATION] = "Bearer secret";
    CHECK(admission_headers(&a, &x));
    CHECK(x.caller.has_id_key);
    CHECK_INT(x.caller.client, hash_text("alice"));
    CHECK_STR(x.caller.key, "alice");
    CHECK(x.caller.use == &use && use.in_flight == 1);
    key.share = 1;
    config.limits.requests = 100;
    request("POST", "/vqa");
    x.headers[HEADER_AUTHORIZATION] = "Bearer secret";
    snprintf(config.server.overload_status, sizeof(config.server.overload_status), "503");
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 429); /* his own limit, not the load of all */
    CHECK(says("rate_limited") && says("alice") && x.caller.use == NULL);
    config.server.overload_status[0] = '\0';
    auth_leave(&use);
    key.share = 0;
    request("GET", "/healthz"); /* public */
    CHECK(admission_headers(&a, &x));
    auth = (struct auth){.keys = NULL};
}

static int status_of(struct admission *a, bool is_admin, const char *method, const char *path, unsigned roles)
{
    key.roles = roles;
    request(method, path);
    x.is_admin = is_admin;
    x.headers[HEADER_AUTHORIZATION] = "Bearer secret";
    return admission_headers(a, &x) ? 0 : x.status;
}

static void test_roles(void)
{
    struct admission a = make(ADMISSION_OPEN);
    sha256("secret", 6, key.digest);
    auth = (struct auth){.keys = &key, .n_keys = 1};
    CHECK_INT(status_of(&a, true, "POST", "/admin/reload", AUTH_CLIENT), 403);
    CHECK(says("role client") && says("needs the role admin") && says("alice"));
    CHECK_INT(status_of(&a, true, "POST", "/admin/reload", AUTH_METRICS), 403);
    CHECK_INT(status_of(&a, true, "POST", "/admin/reload", AUTH_ADMIN), 0);
    CHECK_INT(status_of(&a, true, "GET", "/metrics", AUTH_CLIENT), 403);
    CHECK_INT(status_of(&a, true, "GET", "/metrics", AUTH_METRICS), 0);
    CHECK_INT(status_of(&a, true, "GET", "/metrics", AUTH_ADMIN), 0);
    CHECK_INT(status_of(&a, false, "POST", "/vqa", AUTH_METRICS), 403);
    CHECK_INT(status_of(&a, false, "POST", "/vqa", AUTH_CLIENT | AUTH_METRICS), 0);
    CHECK_INT(status_of(&a, false, "GET", "/version", AUTH_METRICS), 0);
    CHECK_INT(status_of(&a, false, "GET", "/version", AUTH_CLIENT), 0);
    key.roles = AUTH_CLIENT;
    auth = (struct auth){.keys = NULL};
}

static int status_for_host(const char *host, const char *path)
{
    struct admission a = make(ADMISSION_OPEN);
    request(strcmp(path, "/metrics") == 0 ? "GET" : strcmp(path, "/healthz") == 0 ? "GET" : "POST", path);
    x.is_admin = true;
    x.headers[HEADER_HOST] = host;
    return admission_headers(&a, &x) ? 0 : x.status;
}

static void test_admin_hosts(void)
{
    static const char *const good[] = {
        "127.0.0.1",      "127.0.0.1:8081", "[::1]:8081",         "10.4.3.2",   "localhost",
        "LocalHost:8081", "minivlm.svc",    "MINIVLM.svc:80",     "box.local",  "",
        "minivlm.svc.",   "localhost.:80",  "[::ffff:127.0.0.1]", "[FD00::1]:1"};
    static const char *const bad[] = {"evil.example",
                                      "evil.example:8081",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "svc",
                                      "minivlm.svc..",
                                      "[evil]",
                                      "minivlm.svc,box",
                                      "minivlm.svc.evil.",
                                      ".",
                                      "::1",
                                      "2130706433.evil"};
    snprintf(config.server.admin_names, sizeof(config.server.admin_names), "minivlm.svc other");
    snprintf(config.server.admin_host, sizeof(config.server.admin_host), "box.local");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_INT(status_for_host(good[i], "/admin/reload"), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(status_for_host(bad[i], "/admin/reload"), 403);
        CHECK(says("server.admin_names"));
        CHECK_INT(status_for_host(bad[i], "/metrics"), 403);
        CHECK_INT(status_for_host(bad[i], "/healthz"), 0); /* harms nobody */
    }
    snprintf(config.server.admin_names, sizeof(config.server.admin_names), "*");
    CHECK_INT(status_for_host("evil.example", "/metrics"), 0);
    config.server.admin_names[0] = '\0';
    struct admission a = make(ADMISSION_OPEN);
    for (int i = 0; i < 2; i++) { /* http://localhost/metrics with the Host of somebody else */
        request("GET", i ? "/healthz" : "/metrics");
        x.is_admin = x.has_other_host = true;
        x.headers[HEADER_HOST] = "localhost";
        CHECK_INT(admission_headers(&a, &x) ? 0 : x.status, i ? 0 : 403);
    }
    static const char *const sites[] = {"cross-site", "same-site"};
    for (int i = 0; i < 2; i++) {
        request("GET", "/metrics"); /* a link or a picture of a page: no Origin */
        x.is_admin = true;
        x.headers[HEADER_SEC_FETCH_SITE] = sites[i];
        CHECK(!admission_headers(&a, &x));
        CHECK_INT(x.status, 403);
    }
    request("GET", "/metrics");
    x.is_admin = true;
    x.headers[HEADER_SEC_FETCH_SITE] = "none"; /* typed by hand */
    CHECK(admission_headers(&a, &x));
}

static void test_query(void)
{
    struct admission a = make(ADMISSION_OPEN);
    request("GET", "/version");
    query[0] = (struct exchange_pair){"a", "b", 1, 1};
    x.n_query = 1;
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 400);
    request("POST", "/vqa");
    x.has_too_much_query = true;
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 400);
    request("POST", "/vqa");
    x.headers[HEADER_TIMEOUT] = "soon";
    CHECK(!admission_headers(&a, &x));
    CHECK(says("X-Request-Timeout-Ms"));
}

static void test_size(void)
{
    struct admission a = make(ADMISSION_OPEN);
    request("POST", "/vqa");
    x.content_length = config.limits.body_bytes;
    CHECK(admission_headers(&a, &x));
    request("POST", "/vqa");
    x.content_length = config.limits.body_bytes + 1;
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 413);
    request("GET", "/version"); /* no use for a body */
    x.content_length = SMALL_BODY + 1;
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 413);
}

static void test_states(void)
{
    struct admission loading = make(ADMISSION_LOADING), draining = make(ADMISSION_DRAINING);
    request("POST", "/vqa");
    CHECK(!admission_headers(&loading, &x));
    CHECK_INT(x.status, 503);
    CHECK(says("not_ready") && answer_header(&x, "Retry-After"));
    request("GET", "/healthz");
    CHECK(admission_headers(&loading, &x));
    request("POST", "/vqa");
    CHECK(!admission_headers(&draining, &x));
    CHECK(says("draining") && x.must_close);
}

static void test_gate(void)
{
    static const struct {
        enum gate_verdict verdict;
        const char *code;
    } rows[] = {{GATE_FULL, "overloaded"}, {GATE_SHARE_USED, "overloaded"}, {GATE_TOO_LATE, "deadline_unreachable"}};
    struct admission a = make(ADMISSION_OPEN);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        request("POST", "/vqa");
        verdict = rows[i].verdict;
        CHECK(!admission_headers(&a, &x));
        CHECK_INT(x.status, 429);
        CHECK(says(rows[i].code));
        CHECK_STR(answer_header(&x, "Retry-After"), "2");
    }
    snprintf(config.server.overload_status, sizeof(config.server.overload_status), "503");
    request("POST", "/vqa");
    verdict = GATE_FULL;
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 503);
    config_defaults(&config);
}

static void test_browsers(void)
{
    struct admission a = make(ADMISSION_OPEN);
    snprintf(config.server.cors_origins, sizeof(config.server.cors_origins), "https://a.example https://b.example");
    request("OPTIONS", "/vqa");
    x.headers[HEADER_ORIGIN] = "https://b.example";
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 204);
    CHECK_STR(answer_header(&x, "Access-Control-Allow-Origin"), "https://b.example");
    CHECK(strstr(answer_header(&x, "Access-Control-Allow-Headers"), "traceparent"));
    CHECK(!answer_header(&x, "Access-Control-Allow-Private-Network"));
    static char asked[300] = "authorization,content-type,x-stainless-arch,sentry-trace";
    for (int is_long = 0; is_long < 2; is_long++) { /* what SDKs and tracers send along */
        request("OPTIONS", "/v1/chat/completions");
        x.headers[HEADER_ORIGIN] = "https://b.example";
        x.headers[HEADER_ASKED_HEADERS] = asked;
        x.headers[HEADER_ASKED_PRIVATE] = "true";
        CHECK(!admission_headers(&a, &x));
        CHECK_STR(answer_header(&x, "Access-Control-Allow-Headers"), is_long ? "*, Authorization" : asked);
        CHECK_STR(answer_header(&x, "Access-Control-Allow-Private-Network"), "true");
        CHECK_STR(answer_header(&x, "Vary"), "Origin, Access-Control-Request-Headers");
        memset(asked, 'x', sizeof(asked) - 1);
    }
    request("OPTIONS", "/vqa");
    x.headers[HEADER_ORIGIN] = "https://b.exampl"; /* a part of one is none */
    CHECK(!admission_headers(&a, &x));
    CHECK_INT(x.status, 405);
    /* A page must not reach the admin port through a browser, wherever it comes from. */
    static const char *const origins[] = {"https://b.example", "null", "", "http://127.0.0.1:8081", "file://"};
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        request("POST", "/admin/reload");
        x.is_admin = true;
        x.headers[HEADER_ORIGIN] = origins[i];
        CHECK(!admission_headers(&a, &x));
        CHECK_INT(x.status, 403);
    }
    request("POST", "/admin/reload");
    x.is_admin = true;
    CHECK(admission_headers(&a, &x));
    config_defaults(&config);
}

int main(void)
{
    fake_now_us = 5000;
    config_defaults(&config);
    test_passes();
    test_no_route();
    test_prefix();
    test_keys();
    test_roles();
    test_admin_hosts();
    test_query();
    test_size();
    test_states();
    test_gate();
    test_browsers();
    buf_release(&x.answer);
    return check_result();
}
