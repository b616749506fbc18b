/* The handlers, from a whole request to the answer's text, over an engine and an archive that answer when the test says
 * so. No socket, no thread, no disk. */
#include "server/api/api.h"

#include "engine/base/sha256.h"
#include "server/http/stream.h"
#include "tests/support/check.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"

/* ---- what stands around them ---- */

static struct service *serving;
static struct services_status status;
static struct services_waiter *waiter;
static enum err reload_result;

void http_ready(struct exchange *x)
{
    (void)x;
}

void http_stats(const struct http *h, struct http_stats *out)
{
    (void)h;
    *out = (struct http_stats){.connections = 1};
}

void loop_wake(struct loop *l)
{
    (void)l;
}

double loop_longest_turn_s(const struct loop *l)
{
    (void)l;
    return 0.001;
}

void side_add(struct side *s, struct side_task *t)
{
    (void)s;
    t->run(t);
    t->on_done(t);
}

struct service *services_current(const struct services *s)
{
    (void)s;
    return serving;
}

void services_status(const struct services *s, struct services_status *out)
{
    (void)s;
    *out = status;
}

void services_wait(struct services *s, struct services_waiter *w)
{
    (void)s;
    w->is_waiting = true;
    waiter = w;
}

void services_leave(struct services *s, struct services_waiter *w)
{
    (void)s;
    w->is_waiting = false;
}

static struct archive_request asked;
static struct archive_task task;
static enum err archive_takes;
static int n_cancelled;

enum err archive_check(struct collection_text name, struct collection_text key, struct errbuf *e)
{
    (void)name, (void)key, (void)e;
    return OK;
}

enum err archive_submit(struct archive *a, const struct archive_request *r, struct archive_task **out, struct errbuf *e)
{
    (void)a;
    if (archive_takes) {
        return err_set(e, archive_takes, "not now");
    }
    asked = *r;
    task = (struct archive_task){.user = r->user, .kind = r->kind, .model = r->model};
    snprintf(task.name, sizeof(task.name), "%.*s", (int)r->name.n, r->name.text ? r->name.text : "");
    snprintf(task.key, sizeof(task.key), "%.*s", (int)r->key.n, r->key.text ? r->key.text : "");
    if (r->image) {
        task.image = *r->image;
    }
    *out = &task;
    return OK;
}

void archive_cancel(struct archive *a, struct archive_task *t)
{
    (void)a, (void)t;
    n_cancelled++;
}

size_t archive_request_bytes(const struct archive_request *r)
{
    (void)r;
    return 100;
}

static void archive_answers(enum err rc)
{
    task.err = rc;
    asked.on_done(&task);
}

static enum err reload(void *user, struct errbuf *e)
{
    (void)user;
    return reload_result ? err_set(e, reload_result, "a model is being loaded already") : OK;
}

/* ---- a service ---- */

static struct config config;
static struct ledger ledger;
static struct api api;
static struct exchange x;
static struct exchange_pair query[4];

static struct service *open_service(const char *dir)
{
    struct errbuf e;
    struct service *s;
    struct engine_options o = {.model_dir = dir, .max_jobs = 8};
    CHECK_INT(service_open(&s, &o, NULL, &e), OK);
    return service_hold(s);
}

static void close_service(struct service *s)
{
    CHECK_INT(s->references, 1);
    service_drop(s);
    service_close(s);
}

static void open_api(void)
{
    struct ledger_limits limits = {.total = UINT64_MAX};
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        limits.account[i] = UINT64_MAX;
    }
    ledger_init(&ledger, &limits);
    config_defaults(&config);
    const struct gate_options o = {.max_jobs = 64, .ledger = &ledger};
    serving = open_service("a");
    api = (struct api){.config = &config,
                       .desk = {.config = &config, .ledger = &ledger},
                       .admission = {.config = &config, .state = ADMISSION_OPEN},
                       .loading_step = "loading the model",
                       .reload = reload};
    CHECK_INT(gate_create(&api.desk.gate, &o), OK);
    gate_set_engine(api.desk.gate, &serving->info);
}

static void close_api(void)
{
    struct ledger_figures f;
    ledger_figures(&ledger, &f);
    CHECK_INT(f.total, 0);
    CHECK_INT(api.desk.n, 0);
    gate_destroy(api.desk.gate);
    close_service(serving);
    buf_release(&x.answer);
    if (x.stream) {
        stream_drop(x.stream);
    }
    x = (struct exchange){.status = 0};
}

/* As the application does it: a route with ROUTE_WORK has its work from the headers on. */
static void send_request(const char *method, const char *path, const char *type, const char *body)
{
    struct buf allow;
    buf_release(&x.answer);
    if (x.stream) {
        stream_drop(x.stream);
    }
    x = (struct exchange){.method = method,
                          .path = path,
                          .query = query,
                          .n_query = x.n_query,
                          .began_us = fake_now_us,
                          .deadline_us = fake_now_us + 1000000,
                          .is_admin = strncmp(path, "/admin", 6) == 0};
    x.headers[HEADER_CONTENT_TYPE] = type;
    snprintf(x.request_id, sizeof(x.request_id), "id");
    buf_init(&x.answer, 1 << 20);
    buf_init(&allow, 100);
    CHECK_INT(route_find(&api_routes, method, path, x.is_admin, true, 0, &x.route, &allow), ROUTE_FOUND);
    buf_release(&allow);
    if (x.route->flags & ROUTE_WORK) {
        CHECK(work_create(&api.desk, &x) != NULL);
        if (body) {
            work_body(x.work, body, strlen(body));
        }
    }
    x.route->run(&api, &x);
    x.n_query = 0;
}

static void engine_answers(int n, enum err rc)
{
    for (int i = 0; i < n; i++) {
        fake_now_us += 10;
        fake_engine_finish(rc);
        service_reap(serving, UINT64_MAX);
    }
}

static bool says(const char *text)
{
    bool is_there = x.answer.bytes && strstr(x.answer.bytes, text);
    if (!is_there) {
        fprintf(stderr, "%s: %s\n", text, x.answer.bytes ? x.answer.bytes : "(nothing)");
    }
    return is_there;
}

static void add_query(const char *name, const char *value)
{
    query[x.n_query++] = (struct exchange_pair){name, value, strlen(name), strlen(value)};
}

#define JSON "application/json"

/* ---- captions ---- */

static void test_caption(void)
{
    open_api();
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 0);
    CHECK_INT(fake_engine.jobs[0]->request.image_bytes, 5);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(
        says("{\"caption\":\"a cat\",\"score\":-1.0,\"captions\":[{\"text\":\"a cat\",\"score\":-1.0}],\"image\":{") &&
        says("\"usage\":{\"regions\":0,\"tokens\":2},\"model\":\"fake-a\"}\n"));
    close_api();
}

static void test_list_with_a_failure(void)
{
    open_api();
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}");
    CHECK_INT(fake_engine.n, 2);
    engine_answers(1, ERR_CORRUPT_IMAGE);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"results\":[{\"error\":{\"message\":\"it went wrong\"") && says("{\"caption\":\"a cat\""));
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\"]}"); /* one alone fails as a whole */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    CHECK_INT(x.status, 422);
    CHECK_STR(x.error_code, "corrupt_image");
    close_api();
}

/* A part that came too late makes no 200. */
static void test_partly_late(void)
{
    open_api();
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}");
    engine_answers(1, OK);
    engine_answers(1, ERR_DEADLINE);
    CHECK_INT(x.status, 504);
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}"); /* whatever failed before */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    engine_answers(1, ERR_DEADLINE);
    CHECK_INT(x.status, 504);
    close_api();
}

static void test_bad_parameters(void)
{
    open_api();
    add_query("max_tokens", "41");
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 400);
    CHECK(says("this model allows 1 to 40"));
    add_query("explain", "occlusion");
    config.limits.pairs = 4;
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 413);
    send_request("POST", "/vqa", "image/jpeg", "\xff\xd8\xff");
    CHECK_INT(x.status, 400);
    CHECK(says("question"));
    close_api();
}

static void test_stream(void)
{
    char text[512];
    bool is_ended;
    open_api();
    add_query("stream", "true");
    send_request("POST", "/caption", "image/jpeg", "bytes");
    struct job *job = fake_engine.jobs[0];
    job->request.on_token(&job->request, "a", 1);
    work_pump(&api.desk);
    CHECK(x.is_streaming && x.status == 200);
    engine_answers(1, OK);
    size_t n = stream_take(x.stream, text, sizeof(text) - 1, &is_ended);
    text[n] = '\0';
    CHECK(strstr(text, "data: {\"text\":\"a\"}\n\nevent: done\ndata: {\"caption\":\"a cat\"") == text);
    CHECK(is_ended);
    add_query("stream", "true");
    send_request("POST", "/caption", "image/jpeg", "bytes"); /* fails before the first token: an ordinary error */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    CHECK(!x.is_streaming && x.status == 422);
    close_api();
}

/* ---- retrieve ---- */

static void test_retrieve(void)
{
    open_api();
    add_query("text", "a cat");
    add_query("text", "a dog");
    send_request("POST", "/retrieve", "image/jpeg", "bytes");
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(
        says("{\"scores\":[[0.5,0.25]],\"results\":[{\"image\":0,\"text\":0,\"score\":0.5,\"relevance_score\":0.5},"));
    send_request("POST", "/retrieve", JSON,
                 "{\"query\": {\"image\": \"YQ==\"}, \"documents\": [\"x\", \"y\"], \"top_n\": 1}");
    engine_answers(1, OK);
    CHECK(says("{\"results\":[{\"index\":0,\"relevance_score\":0.5}],"));
    close_api();
}

/* ---- collections ---- */

static const char archive_there;

static void open_collections(void)
{
    open_api();
    api.archive = (struct archive *)(uintptr_t)&archive_there;
}

/* A model that is replaced while the picture is read: it is read again, and stored under the new one's name. */
static void test_put(void)
{
    open_collections();
    send_request("PUT", "/collections/images/images/a/b", "image/jpeg", "bytes");
    struct service *old = serving;
    serving = open_service("b");
    fake_engine_finish(OK);
    service_reap(old, UINT64_MAX);
    CHECK_INT(old->references, 1);
    CHECK_INT(fake_engine.n, 1);
    engine_answers(1, OK);
    CHECK_INT(asked.kind, ARCHIVE_PUT);
    CHECK_STR(asked.model.sha256, serving->info.model_sha256);
    CHECK_STR(task.name, "images");
    CHECK_STR(task.key, "a/b");
    CHECK_INT(x.status, 0);
    archive_answers(OK);
    CHECK_INT(x.status, 201);
    CHECK(says("\"key\":\"a/b\",\"replaced\":false"));
    close_service(old);
    close_api();
}

static void test_archive_errors(void)
{
    static const struct {
        enum err rc;
        int status;
        const char *code;
    } rows[] = {{ERR_BUSY, 503, "collection_busy"},
                {ERR_UNAVAILABLE, 503, "collection_unavailable"},
                {ERR_IO, 500, "internal"},
                {ERR_DEADLINE, 504, "deadline_exceeded"},
                {ERR_BAD_REQUEST, 400, "bad_request"}};
    open_collections();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        send_request("DELETE", "/collections/c/images/k", NULL, NULL);
        CHECK_INT(asked.kind, ARCHIVE_REMOVE);
        archive_answers(rows[i].rc);
        CHECK_INT(x.status, rows[i].status);
        CHECK(says(rows[i].code));
    }
    archive_takes = ERR_OVERLOADED;
    send_request("GET", "/collections", NULL, NULL);
    CHECK_INT(x.status, 429);
    archive_takes = OK;
    api.archive = NULL;
    send_request("GET", "/collections", NULL, NULL);
    CHECK_INT(x.status, 404);
    close_api();
}

static void test_search(void)
{
    struct collection_hit *hits;
    void *features;
    open_collections();
    send_request("POST", "/retrieve", JSON, "{\"collection\": \"c\", \"text\": \"a cat\"}");
    CHECK_INT(asked.kind, ARCHIVE_SEARCH);
    CHECK_INT(asked.query.n, 5);
    CHECK_INT(mem_array(&hits, 1, sizeof(*hits)), OK);
    CHECK_INT(mem_alloc(&features, FAKE_FEATURES), OK);
    hits[0] = (struct collection_hit){.key = "k", .n_key = 1, .width = 4, .height = 3, .features = features};
    task.hits = (struct collection_hits){.found = true, .hits = hits, .n = 1, .n_images = 7, .n_by_words = 1};
    archive_answers(OK);
    CHECK(fake_engine.jobs[0]->request.features == features);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"results\":[{\"key\":\"k\",\"score\":0.5") && says("\"scanned\":7,\"reranked\":1,\"stale\":0,"));
    /* The client leaves while the archive works: it is told, and hits that still come back are dropped. */
    send_request("POST", "/retrieve", JSON, "{\"collection\": \"c\", \"text\": \"a cat\"}");
    x.on_abandon(&x, "client_gone");
    CHECK_INT(n_cancelled, 1);
    CHECK_INT(api.desk.n, 1);
    archive_answers(ERR_CANCELLED);
    close_api();
}

/* ---- models ---- */

static void test_reload(void)
{
    open_api();
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 202);
    reload_result = ERR_OVERLOADED;
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 409);
    reload_result = OK;
    add_query("wait", "true");
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 0);
    struct services_outcome good = {.number = 2, .model = "fake-b", .sha256 = "00", .load_us = 1500};
    waiter->is_waiting = false;
    waiter->on_outcome(waiter, &good);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"status\":\"current\",\"model\":\"fake-b\",\"sha256\":\"00\",\"loaded_ms\":1.5}"));
    add_query("wait", "true");
    send_request("POST", "/admin/reload", NULL, NULL);
    struct services_outcome bad = {.number = 3, .err = ERR_BAD_MODEL, .error = {.text = "config.json: no"}};
    waiter->is_waiting = false;
    waiter->on_outcome(waiter, &bad);
    CHECK_INT(x.status, 422);
    CHECK(says("reload_failed") && says("config.json: no"));
    status = (struct services_status){.n = 1, .services = {serving}, .n_loaded = 1, .is_loading = true, .last = bad};
    send_request("GET", "/admin/model", NULL, NULL);
    CHECK(says("{\"services\":[{\"state\":\"loading\",\"model\":\"fake-a\"") && says("{\"outcome\":\"failed\""));
    close_api();
}

/* ---- known images ---- */

static void test_known(void)
{
    char path[80] = "/images/01";
    memset(path + 10, '0', 62);
    open_api();
    send_request("HEAD", path, NULL, NULL);
    CHECK_INT(x.status, 200);
    path[9] = '2';
    send_request("HEAD", path, NULL, NULL);
    CHECK_INT(x.status, 404);
    send_request("HEAD", "/images/x", NULL, NULL);
    CHECK_INT(x.status, 400);
    close_api();
}

/* ---- health ---- */

/* It waits for nobody: the engine is asked only when it seems to stand still. */
static void test_live(void)
{
    open_api();
    fake_now_us = 100000000;
    api.engine_moved_us = fake_now_us - 30000000;
    fake_engine.n_asked = 0;
    send_request("GET", "/healthz", NULL, NULL);
    CHECK_INT(x.status, 200);
    CHECK_INT(fake_engine.n_asked, 0);
    api.engine_moved_us--;
    fake_engine.heartbeat_us = fake_now_us;
    send_request("GET", "/healthz", NULL, NULL);
    CHECK_INT(x.status, 200);
    fake_engine.heartbeat_us = fake_now_us - 31000000;
    send_request("GET", "/v2/health/live", NULL, NULL);
    CHECK_INT(x.status, 500);
    CHECK(says("the engine has not moved for 31 s"));
    close_api();
}

int main(void)
{
    fake_now_us = 1000;
    test_caption();
    test_list_with_a_failure();
    test_partly_late();
    test_bad_parameters();
    test_stream();
    test_retrieve();
    test_put();
    test_archive_errors();
    test_search();
    test_reload();
    test_known();
    test_live();
    return check_result();
}
