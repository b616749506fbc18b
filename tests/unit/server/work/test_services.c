/* Services and reload as a state machine, over an engine that opens or fails as the test says. */
#include "server/work/service.c"
#include "server/work/services.c"

#include "tests/support/check.h"
#include "tests/support/fake_engine.h"

#include <sched.h>
#include <semaphore.h>

/* ---- what stands around it ---- */

static sem_t woken;

void loop_wake(struct loop *l)
{
    (void)l;
    sem_post(&woken);
}

static struct side_task *side_waiting;

void side_add(struct side *s, struct side_task *t)
{
    (void)s;
    t->item.next = (struct mailbox_item *)side_waiting;
    side_waiting = t;
}

static void run_side(void)
{
    while (side_waiting) {
        struct side_task *t = side_waiting;
        side_waiting = (struct side_task *)t->item.next;
        t->run(t);
        t->on_done(t);
    }
}

static enum err self_test_result;

static bool waits_for_stop;
static atomic_bool is_deaf;

enum err self_test_run(struct service *s, const char *model_dir, const atomic_bool *must_stop, struct errbuf *e)
{
    (void)s, (void)model_dir;
    while (waits_for_stop && (is_deaf || !atomic_load(must_stop))) {
        sched_yield();
    }
    return self_test_result ? err_set(e, self_test_result, "self-test failed") : OK;
}

static struct services_outcome told;
static enum err accepts;

static enum err on_accept(void *user, const struct service *fresh, struct errbuf *e)
{
    (void)user, (void)fresh;
    return accepts ? err_set(e, accepts, "does not fit") : OK;
}

static void on_outcome_told(void *user, const struct services_outcome *o)
{
    (void)user;
    told = *o;
}

static struct ledger ledger;

static struct services *make_services(uint64_t reload_bytes)
{
    struct services *s;
    struct ledger_limits limits = {.total = UINT64_MAX};
    for (int i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        limits.account[i] = i == LEDGER_RELOAD ? reload_bytes : UINT64_MAX;
    }
    ledger_init(&ledger, &limits);
    sem_init(&woken, 0, 0);
    const struct services_options o = {.ledger = &ledger, .accept = on_accept, .on_outcome = on_outcome_told};
    CHECK_INT(services_create(&s, &o), OK);
    return s;
}

static enum err load_model(struct services *s, const char *dir)
{
    struct errbuf e;
    struct engine_options o = {.model_dir = dir, .max_jobs = 2};
    enum err rc = services_load(s, &o, &e);
    if (!rc) {
        sem_wait(&woken);
        services_reap(s, UINT64_MAX);
    }
    return rc;
}

static uint64_t reload_bytes_held(void)
{
    struct ledger_figures f;
    ledger_figures(&ledger, &f);
    return f.held[LEDGER_RELOAD];
}

static void end(struct services *s)
{
    CHECK(services_drain(s));
    run_side();
    services_destroy(s);
    CHECK_INT(fake_engine.n_open, 0);
    CHECK_INT(reload_bytes_held(), 0);
    sem_destroy(&woken);
}

/* ---- the states ---- */

static void test_first_load(void)
{
    struct services *s = make_services(UINT64_MAX);
    CHECK(services_current(s) == NULL);
    CHECK_INT(load_model(s, "models/a"), OK);
    CHECK_INT(told.number, 1);
    CHECK_INT(told.err, OK);
    CHECK_STR(told.model, "fake-a");
    CHECK_INT(services_current(s)->state, SERVICE_CURRENT);
    CHECK_INT(services_current(s)->references, 1);
    end(s);
}

/* The old one goes on as long as anybody holds it, and not a moment longer. */
static void test_reload(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct services_status status;
    CHECK_INT(load_model(s, "a"), OK);
    struct service *old = service_hold(services_current(s));
    CHECK_INT(load_model(s, "b"), OK);
    CHECK(services_current(s) != old);
    CHECK_INT(old->state, SERVICE_RETIRING);
    CHECK_INT(reload_bytes_held(), 1 << 20);
    services_status(s, &status);
    CHECK_INT(status.n, 2);
    CHECK(status.services[0] == services_current(s) && status.services[1] == old);
    run_side();
    CHECK_INT(fake_engine.n_open, 2);
    service_drop(old);
    services_status(s, &status);
    CHECK_INT(status.n, 1);
    run_side();
    CHECK_INT(fake_engine.n_open, 1);
    CHECK_INT(reload_bytes_held(), 0);
    end(s);
}

static void test_failed_loads(void)
{
    struct services *s = make_services(UINT64_MAX);
    CHECK_INT(load_model(s, "a"), OK);
    struct service *old = services_current(s);
    fake_engine.fail_open = ERR_BAD_MODEL;
    CHECK_INT(load_model(s, "b"), OK);
    CHECK_INT(told.err, ERR_BAD_MODEL);
    CHECK_STR(told.error.text, "this model is broken");
    fake_engine.fail_open = OK;
    self_test_result = ERR_BAD_MODEL;
    CHECK_INT(load_model(s, "b"), OK);
    CHECK_STR(told.error.text, "self-test failed");
    self_test_result = OK;
    accepts = ERR_BAD_CONFIG;
    CHECK_INT(load_model(s, "b"), OK);
    CHECK_STR(told.error.text, "does not fit");
    accepts = OK;
    CHECK(services_current(s) == old && old->state == SERVICE_CURRENT);
    CHECK_INT(fake_engine.n_open, 1);
    CHECK_INT(reload_bytes_held(), 0);
    struct services_status status;
    services_status(s, &status);
    CHECK_INT(status.n_loaded, 1);
    CHECK_INT(status.n_failed, 3);
    CHECK_INT(status.last.number, 4);
    end(s);
}

/* Memory for two is asked for first: nothing is begun without. */
static void test_no_memory_for_two(void)
{
    struct services *s = make_services((1 << 20) - 1);
    CHECK_INT(load_model(s, "a"), OK);
    CHECK_INT(load_model(s, "b"), ERR_NOMEM);
    CHECK_INT(fake_engine.n_open, 1);
    end(s);
}

static void test_one_at_a_time(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct errbuf e;
    struct engine_options o = {.model_dir = "a", .max_jobs = 2};
    CHECK_INT(services_load(s, &o, &e), OK);
    CHECK_INT(services_load(s, &o, &e), ERR_OVERLOADED);
    sem_wait(&woken);
    services_reap(s, UINT64_MAX);
    /* Old ones that are still held do not pile up without bound. */
    struct service *held[SERVICES_MAX];
    int n = 0;
    enum err rc = OK;
    while (!rc && n < SERVICES_MAX) {
        held[n++] = service_hold(services_current(s));
        rc = load_model(s, "b");
    }
    CHECK_INT(rc, ERR_OVERLOADED);
    CHECK_INT(n, SERVICES_MAX);
    for (int i = 0; i < n; i++) {
        service_drop(held[i]);
    }
    run_side();
    CHECK_INT(fake_engine.n_open, 1);
    end(s);
}

static int n_waited;

static void on_waited(struct services_waiter *w, const struct services_outcome *o)
{
    CHECK(!w->is_waiting);
    CHECK_INT(o->err, OK);
    n_waited++;
}

static void test_waiters(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct services_waiter a = {.on_outcome = on_waited}, b = {.on_outcome = on_waited};
    struct errbuf e;
    struct engine_options o = {.model_dir = "a", .max_jobs = 2};
    CHECK_INT(services_load(s, &o, &e), OK);
    services_wait(s, &a);
    services_wait(s, &b);
    services_leave(s, &a);
    services_leave(s, &a);
    sem_wait(&woken);
    services_reap(s, UINT64_MAX);
    CHECK_INT(n_waited, 1);
    end(s);
}

/* A load that is going on when the service stops is waited for and thrown away. */
static void test_stop_while_loading(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct errbuf e;
    struct engine_options o = {.model_dir = "a", .max_jobs = 2};
    CHECK_INT(services_load(s, &o, &e), OK);
    end(s);
}

/* ---- slots ---- */

/* The end does not wait for a load that would go on for long; this test would not end. */
static void test_end_during_a_load(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct errbuf e;
    struct engine_options o = {.model_dir = "b", .max_jobs = 2};
    CHECK_INT(load_model(s, "a"), OK);
    waits_for_stop = true;
    CHECK_INT(services_load(s, &o, &e), OK);
    CHECK(reload_bytes_held() > 0);
    end(s);
    waits_for_stop = false;
}

/* One that cannot be broken off is not waited for. */
static void test_end_during_a_load_that_does_not_end(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct errbuf e;
    struct engine_options o = {.model_dir = "b", .max_jobs = 2};
    CHECK_INT(load_model(s, "a"), OK);
    waits_for_stop = true;
    is_deaf = true;
    CHECK_INT(services_load(s, &o, &e), OK);
    CHECK(!services_drain(s));
    is_deaf = false;
    end(s);
    waits_for_stop = false;
}

static int n_home, n_freed;

static void on_home(struct service_slot *slot)
{
    n_home++;
    service_give(slot);
}

static void on_free(struct service_waiter *w)
{
    CHECK(!w->is_waiting);
    n_freed++;
}

static void test_slots(void)
{
    struct services *s = make_services(UINT64_MAX);
    struct errbuf e;
    CHECK_INT(load_model(s, "a"), OK);
    struct service *v = services_current(s);
    struct service_slot *first = service_take(v), *second = service_take(v);
    CHECK(first && second && !service_take(v));
    struct service_waiter a = {.on_free = on_free}, b = {.on_free = on_free}, c = {.on_free = on_free};
    service_wait(v, &a);
    service_wait(v, &b);
    service_wait(v, &c);
    service_leave_line(v, &c);
    service_leave_line(v, &a);
    service_leave_line(v, &a);
    first->on_home = on_home;
    CHECK_INT(engine_submit(v->engine, first->job, &e), OK);
    service_reap(v, UINT64_MAX);
    CHECK_INT(n_freed, 0);
    fake_engine_finish(OK);
    service_reap(v, UINT64_MAX);
    CHECK_INT(n_home, 1);
    CHECK_INT(n_freed, 1);
    CHECK(!b.is_waiting && v->waiting == NULL && v->waiting_end == &v->waiting);
    second->on_home = on_home; /* several that come back at once: in portions, each at least one */
    first = service_take(v);
    first->on_home = on_home;
    CHECK_INT(engine_submit(v->engine, first->job, &e), OK);
    CHECK_INT(engine_submit(v->engine, second->job, &e), OK);
    fake_engine_finish(OK);
    fake_engine_finish(OK);
    for (int i = 2; i <= 3; i++) {
        service_reap(v, 0);
        CHECK_INT(n_home, i);
    }
    CHECK_INT(v->n_free, 2);
    end(s);
}

int main(void)
{
    test_first_load();
    test_reload();
    test_failed_loads();
    test_no_memory_for_two();
    test_one_at_a_time();
    test_waiters();
    test_end_during_a_load();
    test_end_during_a_load_that_does_not_end();
    test_stop_while_loading();
    test_slots();
    return check_result();
}
