#include "server/gate/gate_private.h"

#include "engine/base/mem.h"

#include <math.h>

enum {
    HANDLING_US = 15000,  /* between the engine and the client's socket, and steps that nobody can interrupt */
    FULL_US = 60000,      /* this much work ahead keeps all threads busy */
    MIN_RETRY_US = 10000, /* a refused client need not come back sooner */
    TRY_AGAIN_US = 1000000,
};

const char *gate_verdict_name(enum gate_verdict v)
{
    static const char *const names[GATE_VERDICT_COUNT] = {"accepted", "full", "share_used", "too_late"};
    return names[v];
}

static const double min_left = 0.3;

/* ---- life cycle ---- */

enum err gate_create(struct gate **out, const struct gate_options *options)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        struct gate *g = *out;
        g->options = *options;
        g->engine_threads = g->decode_threads = 1;
        g->mean = 1;
        g->deviation = 0.5; /* of nothing known yet */
        g->ratio = g->mean + g->deviation;
        g->margin = 0.1;
        TAILQ_INIT(&g->places);
        TAILQ_INIT(&g->clients);
    }
    return rc;
}

void gate_destroy(struct gate *g)
{
    if (g) {
        BUG_ON(g->inside > 0 || g->n_clients > 0);
        mem_free(g);
    }
}

void gate_set_engine(struct gate *g, const struct engine_info *info)
{
    g->engine_threads = info->engine_threads > 0 ? info->engine_threads : 1;
    g->decode_threads = info->decode_threads > 0 ? info->decode_threads : 1;
    g->cost.beams = info->num_beams;
    g->cost.tokens = info->max_tokens;
}

/* ---- forecasts; microseconds as the model alone says ---- */

/* Work of both stages; they run side by side, so the longer one counts. */
struct amount {
    double engine_us, decode_us;
};

static struct amount sum_of(struct amount a, struct amount b)
{
    return (struct amount){a.engine_us + b.engine_us, a.decode_us + b.decode_us};
}

static double time_of(const struct gate *g, struct amount a)
{
    return fmax(a.engine_us / g->engine_threads, a.decode_us / g->decode_threads);
}

/* Pictures under way count whole, for nobody says how far they are. Most of what they still need is seen when work is
 * thought to flow away evenly; this is the part of engine_us and decode_us that is really left. */
static struct amount left_of(const struct gate *g)
{
    return (struct amount){g->engine_us > 0 ? g->engine_flow_us / g->engine_us : 1,
                           g->decode_us > 0 ? g->decode_flow_us / g->decode_us : 1};
}

static double flow_on(double flow_us, double whole_us, double gone_us)
{
    return fmin(whole_us, fmax(whole_us * min_left, flow_us - gone_us));
}

static void flow(struct gate *g, uint64_t now_us)
{
    double gone_us = now_us > g->flowed_us ? (double)(now_us - g->flowed_us) / g->mean : 0;
    g->engine_flow_us = flow_on(g->engine_flow_us, g->engine_us, gone_us * g->engine_threads);
    g->decode_flow_us = flow_on(g->decode_flow_us, g->decode_us, gone_us * g->decode_threads);
    g->flowed_us = now_us;
}

/* Of all that is inside. */
static double backlog_us(const struct gate *g)
{
    struct amount left = left_of(g);
    return time_of(g, (struct amount){g->engine_us * left.engine_us, g->decode_us * left.decode_us});
}

static struct amount own_of(const struct gate_client *c)
{
    return c ? (struct amount){c->engine_us, c->decode_us} : (struct amount){0, 0};
}

/* Before and with `own` of one client: of every other client as much as of this one goes first. */
static struct amount shared_with_others(const struct gate *g, const struct gate_client *self, struct amount own)
{
    const struct gate_client *c;
    struct amount sum = {0, 0};
    TAILQ_FOREACH(c, &g->clients, link)
    {
        if (c != self) {
            sum.engine_us += fmin(c->engine_us, own.engine_us);
            sum.decode_us += fmin(c->decode_us, own.decode_us);
        }
    }
    return sum;
}

struct forecast_of {
    double backlog_us; /* of all that is inside */
    double own_us;     /* of this client's, the new request with it */
    double finish_us;  /* until the new request is done */
};

static struct forecast_of foresee(const struct gate *g, const struct gate_client *c, const struct gate_weight *w)
{
    struct amount weight = {w->engine_us, w->decode_us}, left = left_of(g);
    struct amount own = sum_of(own_of(c), weight), ahead = sum_of(own_of(c), shared_with_others(g, c, own));
    ahead.engine_us *= left.engine_us;
    ahead.decode_us *= left.decode_us;
    return (struct forecast_of){
        .backlog_us = backlog_us(g),
        .own_us = time_of(g, own),
        .finish_us = time_of(g, ahead) + time_of(g, weight) + w->chain_us * (1 - 1.0 / g->engine_threads),
    };
}

struct decision {
    enum gate_verdict verdict;
    struct forecast_of forecast;
    struct gate_weight weight;
    int jobs;
};

/* Is there time for that much work before this deadline? */
static bool makes_it(const struct gate *g, uint64_t now_us, struct amount work, uint64_t deadline_us)
{
    double left_us = (double)(deadline_us - now_us) * (1 - g->margin / 2);
    return time_of(g, work) * g->ratio <= left_us;
}

/* Does everybody with a later deadline make it after the new one? That serves all by deadline, which the engine does
 * for one client alone; of several, those who ask for more than their part have left room for others (check_backlog).
 * Who is lost anyhow doesn't count. */
static bool all_make_it(const struct gate *g, uint64_t now_us, const struct gate_weight *w, uint64_t deadline_us)
{
    struct amount before = {0, 0}, left = left_of(g);
    const struct gate_place *p = TAILQ_LAST(&g->places, gate_places);
    if (!p || p->_deadline_us <= deadline_us) { /* nobody has, which is usual where all ask for the same time */
        return true;
    }
    TAILQ_FOREACH(p, &g->places, _link)
    {
        if (p->_deadline_us <= now_us) {
            continue;
        }
        before = sum_of(before, (struct amount){p->_engine_us * left.engine_us, p->_decode_us * left.decode_us});
        struct amount with_new = sum_of(before, (struct amount){w->engine_us, w->decode_us});
        if (p->_deadline_us > deadline_us && !makes_it(g, now_us, with_new, p->_deadline_us) &&
            makes_it(g, now_us, before, p->_deadline_us)) {
            return false;
        }
    }
    return true;
}

/* ---- who is let in ---- */

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* A request of more pictures than half of the room that is not kept for others takes half: its others wait inside. */
static int jobs_of(const struct gate *g, const struct gate_request *r)
{
    int n = r->images + r->known, half = (g->options.max_jobs - g->options.max_jobs / GATE_RESERVE) / 2;
    return n < 1 ? 1 : min_int(n, half > 0 ? half : 1);
}

static enum gate_verdict check_places(const struct gate *g, uint64_t now_us, uint64_t client, int jobs)
{
    if (g->jobs + jobs > g->options.max_jobs) {
        return GATE_FULL;
    }
    if (gate_client_may_enter(g, now_us, client, jobs)) {
        return GATE_ACCEPTED;
    }
    return gate_client_find(g, client) ? GATE_SHARE_USED : GATE_FULL;
}

static bool is_standing(const struct gate *g, uint64_t now_us)
{
    return g->long_since_us > 0 && now_us >= g->long_since_us + GATE_PATIENCE_US;
}

/* When a client's work is done if all others who are here, or were a moment ago, ask for as much as it does from now
 * on: more they do not get before it. */
static double among_others_us(const struct gate *g, const struct forecast_of *f, const struct gate_client *c)
{
    int n_here = g->n_clients + !c;
    return (n_here > g->n_lately ? n_here : g->n_lately) * f->own_us;
}

/* May that much wait? As much as keeps the threads busy. */
static enum gate_verdict check_backlog(const struct gate *g, uint64_t now_us, const struct forecast_of *f,
                                       const struct gate_client *c, double new_us, double left_us)
{
    double among_us = among_others_us(g, f, c);
    bool is_first = !c || c->inside == 0;
    if (f->backlog_us <= fmax(FULL_US, new_us) && (is_first || among_us * g->ratio <= left_us)) {
        return GATE_ACCEPTED;
    }
    if (is_standing(g, now_us) && f->finish_us * g->ratio > left_us / 4 + GATE_STANDING_US) {
        return GATE_FULL;
    }
    /* Newcomers will take a part of what this client gets from now on. */
    bool is_alone = !c || g->n_clients == 1;
    if (fmax(f->finish_us + f->own_us / 2, among_us) * g->ratio > left_us) {
        return is_alone ? GATE_FULL : GATE_SHARE_USED;
    }
    return GATE_ACCEPTED;
}

static enum gate_verdict judge(const struct gate *g, uint64_t now_us, const struct gate_request *r, struct decision *d)
{
    const struct gate_client *c = gate_client_find(g, r->client);
    d->jobs = jobs_of(g, r);
    d->weight = gate_cost_weigh(&g->cost, r);
    d->forecast = foresee(g, c, &d->weight);
    if (r->deadline_us <= now_us) {
        return GATE_TOO_LATE;
    }
    double left_us = (double)(r->deadline_us - now_us) - HANDLING_US;
    if (g->inside == 0) { /* what looks hopeless is tried now and then: the prices may be those of a bad moment */
        bool is_hopeless = d->weight.is_known && d->forecast.finish_us > left_us;
        return is_hopeless && now_us < g->tried_us + TRY_AGAIN_US ? GATE_TOO_LATE : GATE_ACCEPTED;
    }
    enum gate_verdict v = check_places(g, now_us, r->client, d->jobs);
    if (v != GATE_ACCEPTED) {
        return v;
    }
    if (!d->weight.is_known) { /* a few, to learn from */
        return g->jobs + d->jobs <= 2 * (g->engine_threads + g->decode_threads) ? GATE_ACCEPTED : GATE_FULL;
    }
    if (d->forecast.finish_us * g->ratio > left_us * (1 - g->margin)) {
        return GATE_TOO_LATE;
    }
    double new_us = time_of(g, (struct amount){d->weight.engine_us, d->weight.decode_us});
    v = check_backlog(g, now_us, &d->forecast, c, new_us, left_us);
    if (v == GATE_ACCEPTED && !all_make_it(g, now_us, &d->weight, r->deadline_us)) {
        v = GATE_FULL;
    }
    return v;
}

static uint64_t retry_after(const struct gate *g, const struct decision *d)
{
    double us = fmax(d->forecast.finish_us, d->forecast.backlog_us) * g->ratio / 2;
    return us > MIN_RETRY_US ? (uint64_t)us : MIN_RETRY_US;
}

static struct decision decide(struct gate *g, uint64_t now_us, const struct gate_request *r, uint64_t *retry_after_us)
{
    flow(g, now_us);
    struct decision d = {.jobs = 1};
    d.verdict = judge(g, now_us, r, &d);
    if (d.verdict != GATE_ACCEPTED) {
        g->refused[d.verdict]++;
        *retry_after_us = retry_after(g, &d);
    }
    return d;
}

enum gate_verdict gate_glance(struct gate *g, uint64_t now_us, uint64_t client, enum job_task task,
                              uint64_t content_length, uint64_t deadline_us, uint64_t *retry_after_us)
{
    enum { SMALL_BODY = 1024 }; /* an image id and a question, no picture */
    bool may_be_known = content_length > 0 && content_length < SMALL_BODY;
    struct gate_request r = {.client = client,
                             .task = task,
                             .images = !may_be_known,
                             .known = may_be_known,
                             .pixels = 1, /* nobody knows yet how large it is */
                             .texts = task == JOB_VQA || task == JOB_RETRIEVE,
                             .beams = 1,
                             .deadline_us = deadline_us};
    return decide(g, now_us, &r, retry_after_us).verdict;
}

/* ---- inside ---- */

static void note_backlog(struct gate *g, uint64_t now_us)
{
    flow(g, now_us);
    double us = backlog_us(g) * g->ratio;
    if (us <= GATE_STANDING_US / 2) {
        g->long_since_us = 0;
    } else if (g->long_since_us == 0) {
        g->long_since_us = now_us;
    }
}

/* Adds to (or, negative, takes from) what is still to be done. */
static void move_work(struct gate *g, struct gate_place *p, double engine_us, double decode_us)
{
    p->_engine_us += engine_us;
    p->_decode_us += decode_us;
    p->_client->engine_us += engine_us;
    p->_client->decode_us += decode_us;
    g->engine_us += engine_us;
    g->decode_us += decode_us;
}

static void insert_by_deadline(struct gate *g, struct gate_place *p)
{
    struct gate_place *after;
    TAILQ_FOREACH_REVERSE(after, &g->places, gate_places, _link)
    {
        if (after->_deadline_us <= p->_deadline_us) {
            TAILQ_INSERT_AFTER(&g->places, after, p, _link);
            return;
        }
    }
    TAILQ_INSERT_HEAD(&g->places, p, _link);
}

enum gate_verdict gate_enter(struct gate *g, uint64_t now_us, const struct gate_request *r, struct gate_place *p,
                             uint64_t *retry_after_us)
{
    struct decision d = decide(g, now_us, r, retry_after_us);
    if (d.verdict != GATE_ACCEPTED) {
        return d.verdict;
    }
    struct gate_client *c = gate_client_get(g, r->client);
    if (!c) {
        *retry_after_us = MIN_RETRY_US;
        g->refused[GATE_FULL]++;
        return GATE_FULL;
    }
    int parts = r->images + r->known;
    *p = (struct gate_place){._client = c,
                             ._expected_us = d.weight.is_known ? d.forecast.finish_us : 0,
                             ._entered_us = now_us,
                             ._deadline_us = r->deadline_us,
                             ._jobs = d.jobs,
                             ._left = parts > 0 ? parts : 1};
    insert_by_deadline(g, p);
    g->tried_us = now_us;
    c->inside++;
    c->jobs += p->_jobs;
    g->inside++;
    g->jobs += p->_jobs;
    move_work(g, p, d.weight.engine_us, d.weight.decode_us);
    g->engine_flow_us += d.weight.engine_us;
    g->decode_flow_us += d.weight.decode_us;
    g->accepted++;
    note_backlog(g, now_us);
    return GATE_ACCEPTED;
}

void gate_progress(struct gate *g, uint64_t now_us, struct gate_place *p, int n)
{
    if (!p->_client || p->_left == 0 || n < 1) {
        return;
    }
    double part = (double)min_int(n, p->_left) / p->_left;
    p->_left -= min_int(n, p->_left);
    move_work(g, p, -part * p->_engine_us, -part * p->_decode_us);
    note_backlog(g, now_us);
}

void gate_leave(struct gate *g, uint64_t now_us, struct gate_place *p, enum gate_end end)
{
    struct gate_client *c = p->_client;
    if (!c) {
        return;
    }
    TAILQ_REMOVE(&g->places, p, _link);
    move_work(g, p, -p->_engine_us, -p->_decode_us);
    c->inside--;
    c->jobs -= p->_jobs;
    g->inside--;
    g->jobs -= p->_jobs;
    if (g->inside == 0) { /* sums of floats end where they began */
        g->engine_us = g->decode_us = 0;
    }
    if (c->inside == 0) {
        c->engine_us = c->decode_us = 0;
    }
    gate_client_served(g, now_us, c->id);
    gate_feedback_left(g, now_us, p, end);
    g->done += end == GATE_DONE;
    g->late += end == GATE_LATE;
    g->abandoned += end == GATE_ABANDONED;
    *p = (struct gate_place){0};
    gate_client_put(g, c);
    note_backlog(g, now_us);
}

/* ---- costs and figures ---- */

void gate_learn(struct gate *g, uint64_t now_us, const struct engine_stats *s)
{
    gate_cost_learn(&g->cost, now_us, s);
    gate_feedback_look(g, now_us);
    gate_client_count(g, now_us);
    note_backlog(g, now_us);
}

uint64_t gate_forecast_us(const struct gate *g, enum job_task task, int n_images, int n_texts)
{
    const struct gate_request r = {.task = task, .images = n_images, .known = n_images == 0, .texts = n_texts};
    struct gate_weight w = gate_cost_weigh(&g->cost, &r);
    return w.is_known ? (uint64_t)(foresee(g, NULL, &w).finish_us * g->ratio) : 0;
}

void gate_stats(const struct gate *g, struct gate_stats *out)
{
    *out = (struct gate_stats){
        .accepted = g->accepted,
        .done = g->done,
        .late = g->late,
        .abandoned = g->abandoned,
        .inside = g->inside,
        .jobs = g->jobs,
        .clients = g->n_clients,
        .upload_bytes = g->upload_bytes,
        .backlog_us = (uint64_t)(backlog_us(g) * g->ratio),
        .margin = g->margin,
        .ratio = g->ratio,
    };
    for (int i = 0; i < GATE_VERDICT_COUNT; i++) {
        out->refused[i] = g->refused[i];
    }
}
