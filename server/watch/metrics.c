#include "server/watch/metrics.h"

#include "engine/base/clock.h"
#include "engine/base/version.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const double bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                               0.25,  0.5,    1,     2.5,  5,     10,   30};
static const char *const bound_names[METRICS_BUCKETS] = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
                                                         "0.25",  "0.5",    "1",     "2.5",  "5",     "10",   "30"};
static const char *const stage_names[ENGINE_STAGE_COUNT] = {"decode", "regions", "fusion"};

/* ---- counting ---- */

static void observe(struct metrics_histogram *h, uint64_t us)
{
    double s = (double)us * 1e-6;
    int i = 0;
    while (i < METRICS_BUCKETS && s > bounds[i]) {
        i++;
    }
    h->count[i]++;
    h->sum_s += s;
}

/* The row of this name, or the last one for those without a row. */
static int row_of(const struct metrics *m, const char *name)
{
    int i = 0;
    while (i < METRICS_ROUTES - 1 && m->routes[i].name && strcmp(m->routes[i].name, name) != 0) {
        i++;
    }
    return i;
}

void metrics_begin(struct metrics *m, const struct route_table *routes)
{
    for (int i = 0; i < routes->n; i++) {
        m->routes[row_of(m, routes->routes[i].name)].name = routes->routes[i].name;
    }
    m->routes[row_of(m, "none")].name = "none";
}

void metrics_count(struct metrics *m, const struct exchange *x, uint64_t now_us)
{
    int i = row_of(m, x->route_name);
    m->routes[i].name = x->route_name;
    m->routes[i].by_status[x->status >= 100 && x->status < 600 ? x->status : 0]++;
    observe(&m->routes[i].duration, now_us - x->began_us);
    const struct timings *t = &x->timings;
    if (t->fusion_us || t->regions_us || t->decode_us) {
        const uint64_t us[ENGINE_STAGE_COUNT] = {t->decode_us, t->regions_us, t->fusion_us};
        for (int stage = 0; stage < ENGINE_STAGE_COUNT; stage++) {
            if (us[stage]) {
                observe(&m->stages[stage], us[stage]);
            }
        }
        observe(&m->queue, t->queue_us);
    }
    for (int f = 0; x->error_code && f < FAULT_COUNT; f++) {
        m->rejected[f] += strcmp(reply_fault_code((enum fault)f), x->error_code) == 0;
    }
    m->client_gone += x->status == 499;
}

/* ---- printing ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct buf *b, const char *name, const char *help, double value)
{
    head(b, name, "gauge", help);
    buf_printf(b, "%s %.15g\n", name, value);
}

static void counter(struct buf *b, const char *name, const char *help, double value)
{
    head(b, name, "counter", help);
    buf_printf(b, "%s %.15g\n", name, value);
}

static void histogram(struct buf *b, const char *name, const char *key, const char *value,
                      const struct metrics_histogram *h)
{
    uint64_t sum = 0;
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        sum += h->count[i];
        buf_printf(b, "%s_bucket{%s=\"%s\",le=\"%s\"} %llu\n", name, key, value, bound_names[i],
                   (unsigned long long)sum);
    }
    sum += h->count[METRICS_BUCKETS];
    buf_printf(b, "%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n%s_sum{%s=\"%s\"} %.9g\n%s_count{%s=\"%s\"} %llu\n", name,
               key, value, (unsigned long long)sum, name, key, value, h->sum_s, name, key, value,
               (unsigned long long)sum);
}

static void print_requests(const struct metrics *m, struct buf *b)
{
    head(b, "minivlm_requests_total", "counter", "Requests ended, by route and status.");
    for (int i = 0; i < METRICS_ROUTES; i++) {
        for (int status = 0; m->routes[i].name && status < 600; status++) {
            if (m->routes[i].by_status[status] || status == 200) {
                buf_printf(b, "minivlm_requests_total{route=\"%s\",code=\"%d\"} %llu\n", m->routes[i].name, status,
                           (unsigned long long)m->routes[i].by_status[status]);
            }
        }
    }
    head(b, "minivlm_request_duration_seconds", "histogram", "From the request's head to the end of its answer.");
    for (int i = 0; i < METRICS_ROUTES; i++) {
        if (m->routes[i].name) {
            histogram(b, "minivlm_request_duration_seconds", "route", m->routes[i].name, &m->routes[i].duration);
        }
    }
    head(b, "minivlm_stage_duration_seconds", "histogram", "Time of one request in a stage.");
    for (int i = 0; i < ENGINE_STAGE_COUNT; i++) {
        histogram(b, "minivlm_stage_duration_seconds", "stage", stage_names[i], &m->stages[i]);
    }
    head(b, "minivlm_queue_wait_seconds", "histogram", "Waiting of one request between the stages.");
    histogram(b, "minivlm_queue_wait_seconds", "stage", "all", &m->queue);
    head(b, "minivlm_rejected_total", "counter", "Requests answered with an error, by its code.");
    for (int f = 0; f < FAULT_COUNT; f++) {
        buf_printf(b, "minivlm_rejected_total{reason=\"%s\"} %llu\n", reply_fault_code((enum fault)f),
                   (unsigned long long)m->rejected[f]);
    }
    counter(b, "minivlm_client_gone_total", "Requests whose client left before the answer.", (double)m->client_gone);
}

static void print_batches(const struct engine_stats *s, struct buf *b)
{
    static const char *const names[ENGINE_BATCH_BUCKETS] = {"1", "2", "4", "8", "16", "32", "64", "+Inf"};
    head(b, "minivlm_batch_size", "histogram", "Items that shared a step.");
    for (int stage = 0; stage < ENGINE_STAGE_COUNT; stage++) {
        uint64_t sum = 0;
        for (int i = 0; i < ENGINE_BATCH_BUCKETS; i++) {
            sum += s->batch_count[stage][i];
            buf_printf(b, "minivlm_batch_size_bucket{stage=\"%s\",le=\"%s\"} %llu\n", stage_names[stage], names[i],
                       (unsigned long long)sum);
        }
        buf_printf(b, "minivlm_batch_size_sum{stage=\"%s\"} %llu\nminivlm_batch_size_count{stage=\"%s\"} %llu\n",
                   stage_names[stage], (unsigned long long)s->items[stage], stage_names[stage],
                   (unsigned long long)sum);
    }
}

static void print_engine(const struct engine_stats *s, struct buf *b)
{
    static const struct {
        const char *name, *type, *help;
    } by_stage[] = {
        {"minivlm_queue_depth", "gauge", "Work waiting for a stage."},
        {"minivlm_running", "gauge", "Work in a stage."},
        {"minivlm_cancelled_total", "counter", "Jobs dropped at the door of a stage: client gone or deadline passed."},
        {"minivlm_stage_busy_seconds_total", "counter", "Thread time spent in a stage."},
        {"minivlm_split_steps_total", "counter", "Steps of a stage that several threads worked on."},
    };
    for (size_t k = 0; k < sizeof(by_stage) / sizeof(by_stage[0]); k++) {
        head(b, by_stage[k].name, by_stage[k].type, by_stage[k].help);
        for (int i = 0; i < ENGINE_STAGE_COUNT; i++) {
            const double values[] = {s->queued[i], s->running[i], (double)s->cancelled[i], (double)s->busy_us[i] * 1e-6,
                                     (double)s->split_steps[i]};
            buf_printf(b, "%s{stage=\"%s\"} %.15g\n", by_stage[k].name, stage_names[i], values[k]);
        }
    }
    print_batches(s, b);
    counter(b, "minivlm_feature_cache_hits_total", "Images whose regions were known.", (double)s->cache_hits);
    counter(b, "minivlm_feature_cache_misses_total", "Images whose regions were computed.", (double)s->cache_misses);
    counter(b, "minivlm_feature_cache_coalesced_total", "Images computed once for several requests at the same time.",
            (double)s->cache_coalesced);
    counter(b, "minivlm_feature_cache_evictions_total", "Images forgotten for room.", (double)s->cache_evictions);
    gauge(b, "minivlm_feature_cache_bytes", "Bytes of the feature cache.", (double)s->cache_bytes);
    gauge(b, "minivlm_feature_cache_entries", "Images in the feature cache.", s->cache_entries);
    gauge(b, "minivlm_load_ratio", "Busy and queued work over capacity, 0 to 1, as of this moment.", s->load_ratio);
}

static void print_process(const struct metrics_state *s, struct buf *b)
{
    struct rusage use;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%*s %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    getrusage(RUSAGE_SELF, &use);
    counter(b, "process_cpu_seconds_total", "CPU time.",
            (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6);
    gauge(b, "process_resident_memory_bytes", "Resident memory.", (double)pages * (double)sysconf(_SC_PAGESIZE));
    gauge(b, "minivlm_uptime_seconds", "Since the process began.", (double)(clock_us() - s->started_us) * 1e-6);
}

/* ,name="value" */
static void label(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ",%s=\"", name);
    for (; value && *value; value++) {
        if (*value == '\n') {
            buf_text(b, "\\n");
        } else {
            buf_printf(b, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
        }
    }
    buf_text(b, "\"");
}

static void print_build(const struct metrics_state *s, struct buf *b)
{
    head(b, "minivlm_build_info", "gauge", "What runs.");
    buf_printf(b, "minivlm_build_info{version=\"%s\"", VERSION_TEXT);
    label(b, "model", s->has_engine ? s->info.model_name : "");
    label(b, "model_version", s->has_engine ? s->info.model_version : "");
    label(b, "isa", s->has_engine ? s->info.isa : "");
    label(b, "gemm", s->has_engine ? s->info.gemm : "");
    buf_text(b, "} 1\n");
}

static void print_sandbox(const struct sandbox_state *s, struct buf *b)
{
    head(b, "minivlm_sandbox", "gauge", "1 where the process is bound.");
    buf_printf(b,
               "minivlm_sandbox{part=\"system_calls\"} %d\nminivlm_sandbox{part=\"files\"} %d\n"
               "minivlm_sandbox{part=\"privileges\"} %d\n",
               s->has_calls, s->has_files, s->has_privileges);
}

static void print_gate(const struct gate_stats *g, struct buf *b)
{
    gauge(b, "minivlm_inflight_requests", "Requests accepted and not yet answered.", g->inside);
    gauge(b, "minivlm_clients", "Addresses or keys that have something under way.", g->clients);
    gauge(b, "minivlm_body_bytes", "Bytes of request bodies held.", (double)g->upload_bytes);
    counter(b, "minivlm_accepted_total", "Requests that got a place at the gate.", (double)g->accepted);
    head(b, "minivlm_gate_refused_total", "counter", "Requests refused for load, by the gate's reason.");
    for (int v = GATE_ACCEPTED + 1; v < GATE_VERDICT_COUNT; v++) {
        buf_printf(b, "minivlm_gate_refused_total{reason=\"%s\"} %llu\n", gate_verdict_name((enum gate_verdict)v),
                   (unsigned long long)g->refused[v]);
    }
    counter(b, "minivlm_late_total", "Accepted requests that were not answered before their deadline.",
            (double)g->late);
    gauge(b, "minivlm_backlog_seconds", "Until all that is accepted is done.", (double)g->backlog_us * 1e-6);
    gauge(b, "minivlm_gate_margin", "Share of the time until a deadline that the gate keeps free.", g->margin);
    gauge(b, "minivlm_gate_ratio", "Actual duration of requests divided by the gate's estimate.", g->ratio);
}

static void print_ledger(const struct ledger_figures *f, struct buf *b)
{
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
        {"minivlm_memory_held_bytes", "gauge", "Memory that clients hold, by account."},
        {"minivlm_memory_peak_bytes", "gauge", "Maximum held so far, by account."},
        {"minivlm_memory_limit_bytes", "gauge", "What an account may hold."},
        {"minivlm_memory_refused_total", "counter", "Requests for memory that were refused, by account."},
    };
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        head(b, rows[k].name, rows[k].type, rows[k].help);
        for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
            uint64_t limit = f->limit[a] < f->total_limit ? f->limit[a] : f->total_limit;
            const uint64_t values[] = {f->held[a], f->peak[a], limit, f->refused[a]};
            buf_printf(b, "%s{account=\"%s\"} %.15g\n", rows[k].name, ledger_account_name((enum ledger_account)a),
                       (double)values[k]);
        }
    }
}

/* Each name once; what does not get a line of its own is added up as _other. */
static int list_names(const struct auth *a, const struct auth_key *names[METRICS_KEYS], struct auth_use *others)
{
    int n = 0;
    *others = (struct auth_use){.n_refs = 0};
    for (int i = 0; i < a->n_keys; i++) {
        const struct auth_key *k = &a->keys[i];
        bool is_new = true;
        for (int j = i - 1; j >= 0 && is_new && i < 2 * METRICS_KEYS; j--) {
            is_new = a->keys[j].use != k->use;
        }
        if (is_new && n < METRICS_KEYS) {
            names[n++] = k;
        } else if (is_new) {
            others->requests += k->use->requests;
            others->rate_refused += k->use->rate_refused;
            others->share_refused += k->use->share_refused;
            others->in_flight += k->use->in_flight;
        }
    }
    return n;
}

static void print_key(struct buf *b, const char *metric, const char *name, const char *reason, double value)
{
    buf_printf(b, "%s{key=\"", metric);
    for (; *name; name++) {
        buf_printf(b, *name == '"' || *name == '\\' ? "\\%c" : "%c", *name);
    }
    buf_printf(b, reason ? "\",reason=\"%s\"} %.15g\n" : "\"%s} %.15g\n", reason ? reason : "", value);
}

static void print_keys(const struct auth *a, struct buf *b)
{
    const struct auth_key *names[METRICS_KEYS];
    struct auth_use others;
    if (!a || !a->keys) {
        return;
    }
    int n = list_names(a, names, &others), n_lines = n + (a->n_keys > n);
    head(b, "minivlm_key_requests_total", "counter", "Requests by the name of their API key.");
    for (int i = 0; i < n_lines; i++) {
        const struct auth_use *u = i < n ? names[i]->use : &others;
        print_key(b, "minivlm_key_requests_total", i < n ? names[i]->name : "_other", NULL, (double)u->requests);
    }
    head(b, "minivlm_key_refused_total", "counter", "Requests over a limit of their key.");
    for (int i = 0; i < n_lines; i++) {
        const struct auth_use *u = i < n ? names[i]->use : &others;
        const char *name = i < n ? names[i]->name : "_other";
        print_key(b, "minivlm_key_refused_total", name, "rate", (double)u->rate_refused);
        print_key(b, "minivlm_key_refused_total", name, "share", (double)u->share_refused);
    }
    head(b, "minivlm_key_inflight_requests", "gauge", "Requests under way, by the name of their API key.");
    for (int i = 0; i < n_lines; i++) {
        const struct auth_use *u = i < n ? names[i]->use : &others;
        print_key(b, "minivlm_key_inflight_requests", i < n ? names[i]->name : "_other", NULL, u->in_flight);
    }
}

void metrics_print(const struct metrics *m, const struct metrics_state *s, struct buf *b)
{
    print_requests(m, b);
    print_engine(&s->stats, b);
    print_gate(&s->gate, b);
    print_ledger(&s->ledger, b);
    gauge(b, "minivlm_load_ratio_1m", "minivlm_load_ratio, smoothed over a minute: for scrapes and autoscalers.",
          s->load_1m);
    print_keys(s->auth, b);
    gauge(b, "minivlm_connections", "Open connections.", s->connections);
    gauge(b, "minivlm_turn_requests_max", "Largest number of requests begun in one turn of the loop so far; bounded.",
          s->max_a_turn);
    gauge(b, "minivlm_turn_cpu_seconds_max", "Processor time of the longest turn of the loop so far.",
          s->longest_turn_s);
    counter(b, "minivlm_connections_refused_total", "Connections over a limit.", (double)s->connections_refused);
    counter(b, "minivlm_connections_evicted_total", "Idle or stalled connections closed for newcomers.",
            (double)s->connections_evicted);
    counter(b, "minivlm_tls_handshakes_failed_total", "Connections that spoke no TLS, or none that fits.",
            (double)s->handshakes_failed);
    counter(b, "minivlm_proxy_headers_failed_total", "Connections of trusted proxies without a good PROXY header.",
            (double)s->proxy_headers_failed);
    counter(b, "minivlm_requests_refused_total", "Requests refused for their framing, size or pace.",
            (double)s->requests_refused);
    counter(b, "minivlm_log_dropped_total", "Log lines dropped because nobody read them.", (double)s->log_dropped);
    gauge(b, "minivlm_ready", "1 while the service takes requests.", s->is_ready);
    head(b, "minivlm_reloads_total", "counter", "Model reloads after the first load, by outcome.");
    buf_printf(b, "minivlm_reloads_total{outcome=\"ok\"} %llu\nminivlm_reloads_total{outcome=\"failed\"} %llu\n",
               (unsigned long long)s->reloads, (unsigned long long)s->reloads_failed);
    print_build(s, b);
    print_sandbox(s->sandbox, b);
    print_process(s, b);
}
