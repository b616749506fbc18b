/* test_api - what the tests of the handlers share: an engine and an archive that answer when the test says so, and a
 * request from its text to its answer. */
#ifndef TESTS_UNIT_SERVER_API_TEST_API_H
#define TESTS_UNIT_SERVER_API_TEST_API_H

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

#define JSON "application/json"

#endif
