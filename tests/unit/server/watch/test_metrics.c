/* What /metrics prints is read here as Prometheus reads it: families whole and announced, buckets that grow, labels
 * that end where they should. */
#include "server/watch/metrics.h"

#include "engine/base/clock.h"
#include "tests/support/check.h"

#include <ctype.h>
#include <stdlib.h>

static struct metrics metrics;
static struct metrics_state state;
static struct buf out;

static const char *print(void)
{
    buf_release(&out);
    buf_init(&out, 4 << 20);
    metrics_print(&metrics, &state, &out);
    CHECK_INT(out.err, OK);
    return out.bytes ? out.bytes : "";
}

static void begin(void)
{
    static const struct metrics none;
    static const struct sandbox_state bound = {.has_calls = true};
    metrics = none;
    state = (struct metrics_state){.is_ready = true, .started_us = clock_us(), .sandbox = &bound};
}

static struct exchange ended(const char *route, int status, uint64_t us)
{
    return (struct exchange){.route_name = route, .status = status, .began_us = 1000, .received_us = 1000 + us};
}

static void take(const char *route, int status, uint64_t us)
{
    struct exchange x = ended(route, status, us);
    metrics_count(&metrics, &x, 1000 + us);
}

/* The value of a sample, by its whole name with labels; NAN when it is not there. */
static double value_of(const char *sample)
{
    size_t n = strlen(sample);
    for (const char *line = print(); *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL)) {
        if (strncmp(line, sample, n) == 0 && line[n] == ' ') {
            return strtod(line + n, NULL);
        }
    }
    return NAN;
}

/* ---- the text format ---- */

struct reader {
    char family[80], type[16];
    char seen[128][80];
    int n_seen, n_samples;
    bool has_type;
    char series[256]; /* of a histogram: labels without le */
    double bucket, last_bound;
};

static size_t name_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == ':') {
        n++;
    }
    return n > 0 && !isdigit((unsigned char)text[0]) ? n : 0;
}

/* Past {a="b",...}; the labels but le go to `labels`, le to *bound. NULL: not well formed. */
static const char *read_labels(const char *at, char *labels, size_t size, double *bound)
{
    size_t n_out = 0;
    *bound = NAN;
    for (at++;; at++) {
        size_t n = name_length(at);
        if (n == 0 || at[n] != '=' || at[n + 1] != '"') {
            return NULL;
        }
        bool is_bound = n == 2 && strncmp(at, "le", 2) == 0;
        const char *end = at + n + 2;
        for (; *end && *end != '"' && *end != '\n'; end++) {
            if (*end == '\\' && !strchr("\\\"n", *++end)) {
                return NULL;
            }
        }
        if (*end != '"') {
            return NULL;
        }
        if (is_bound) {
            *bound = strncmp(at + n + 2, "+Inf", 4) == 0 ? (double)INFINITY : strtod(at + n + 2, NULL);
        } else if (n_out + (size_t)(end - at) + 2 < size) {
            n_out += (size_t)snprintf(labels + n_out, size - n_out, "%.*s,", (int)(end - at + 1), at);
        }
        at = end + 1;
        if (*at == '}') {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
    }
}

static void read_head(struct reader *r, const char *line)
{
    char word[16] = "", name[80] = "", rest[16] = "";
    CHECK_INT(sscanf(line, "# %15s %79s %15[^\n]", word, name, rest), 3);
    if (strcmp(word, "HELP") == 0) {
        for (int i = 0; i < r->n_seen; i++) {
            CHECK(strcmp(r->seen[i], name) != 0); /* a family stands together */
        }
        snprintf(r->seen[r->n_seen++ % 128], 80, "%s", name);
        snprintf(r->family, sizeof(r->family), "%s", name);
        r->has_type = false;
        r->series[0] = '\0';
    } else {
        CHECK_STR(word, "TYPE");
        CHECK_STR(name, r->family);
        CHECK(strcmp(rest, "counter") == 0 || strcmp(rest, "gauge") == 0 || strcmp(rest, "histogram") == 0);
        snprintf(r->type, sizeof(r->type), "%s", rest);
        r->has_type = true;
    }
}

static void read_histogram(struct reader *r, const char *suffix, const char *labels, double bound, double value)
{
    if (strcmp(suffix, "_bucket") == 0) {
        if (strcmp(labels, r->series) != 0) {
            snprintf(r->series, sizeof(r->series), "%s", labels);
            r->bucket = 0;
            r->last_bound = -1;
        }
        CHECK(bound > r->last_bound && value >= r->bucket);
        r->last_bound = bound;
        r->bucket = value;
    } else if (strcmp(suffix, "_count") == 0) {
        CHECK_STR(labels, r->series);
        CHECK(isinf(r->last_bound) && value == r->bucket);
    } else {
        CHECK_STR(suffix, "_sum");
        CHECK_STR(labels, r->series);
    }
}

static void read_sample(struct reader *r, const char *line)
{
    char labels[256] = "", suffix[80] = "", *end;
    double bound = NAN;
    size_t n = name_length(line), n_family = strlen(r->family);
    const char *at = line + n;
    CHECK(r->has_type && n >= n_family && strncmp(line, r->family, n_family) == 0);
    if (*at == '{') {
        at = read_labels(at, labels, sizeof(labels), &bound);
    }
    if (n < n_family || !at || *at != ' ') {
        fprintf(stderr, "sample: %.*s\n", (int)strcspn(line, "\n"), line);
        CHECK(!"a sample that is well formed");
        return;
    }
    double value = strtod(at + 1, &end);
    CHECK(end > at + 1 && *end == '\n' && isfinite(value));
    snprintf(suffix, sizeof(suffix), "%.*s", (int)(n - n_family), line + n_family);
    if (strcmp(r->type, "histogram") == 0) {
        read_histogram(r, suffix, labels, bound, value);
    } else {
        CHECK_STR(suffix, "");
        CHECK(strcmp(r->type, "counter") != 0 || (value >= 0 && strcmp(r->family + n_family - 6, "_total") == 0));
    }
    r->n_samples++;
}

static int read_all(const char *text)
{
    static struct reader r;
    r = (struct reader){.n_seen = 0};
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        CHECK(strchr(line, '\n') != NULL);
        if (!strchr(line, '\n')) {
            break;
        }
        if (line[0] == '#') {
            read_head(&r, line);
        } else {
            read_sample(&r, line);
        }
    }
    CHECK(r.n_seen > 20 && r.n_seen < 128);
    return r.n_samples;
}

/* ---- tests ---- */

static void test_nothing_happened(void)
{
    begin();
    CHECK(read_all(print()) > 50);
    CHECK_INT(value_of("minivlm_ready"), 1);
    CHECK_INT(value_of("minivlm_rejected_total{reason=\"overloaded\"}"), 0);
    state.is_ready = false;
    CHECK_INT(value_of("minivlm_ready"), 0);
}

static void fill_stats(void)
{
    struct engine_stats *s = &state.stats;
    for (int i = 0; i < ENGINE_STAGE_COUNT; i++) {
        s->queued[i] = 1 + i;
        s->items[i] = 100;
        s->busy_us[i] = 1500000;
        for (int k = 0; k < ENGINE_BATCH_BUCKETS; k++) {
            s->batch_count[i][k] = (uint64_t)(k + 1);
        }
    }
    s->cache_hits = 9007199254740993u;
    s->load_ratio = 0.25;
}

static void test_busy(void)
{
    begin();
    fill_stats();
    take("caption", 200, 3000);
    take("caption", 200, 700000);
    take("caption", 429, 10);
    take("vqa", 200, 60000000);
    CHECK(read_all(print()) > 80);
    CHECK_INT(value_of("minivlm_requests_total{route=\"caption\",code=\"200\"}"), 2);
    CHECK_INT(value_of("minivlm_requests_total{route=\"caption\",code=\"429\"}"), 1);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"0.001\"}"), 1);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"0.005\"}"), 2);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"0.5\"}"), 2);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"1\"}"), 3);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"+Inf\"}"), 3);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"vqa\",le=\"30\"}"), 0);
    CHECK_INT(value_of("minivlm_request_duration_seconds_count{route=\"vqa\"}"), 1);
    CHECK_NEAR(value_of("minivlm_request_duration_seconds_sum{route=\"vqa\"}"), 60, 1e-9);
    CHECK_INT(value_of("minivlm_batch_size_bucket{stage=\"fusion\",le=\"2\"}"), 3);
    CHECK_INT(value_of("minivlm_batch_size_count{stage=\"fusion\"}"), 36);
    CHECK_NEAR(value_of("minivlm_stage_busy_seconds_total{stage=\"decode\"}"), 1.5, 1e-12);
    CHECK_NEAR(value_of("minivlm_load_ratio"), 0.25, 0);
}

static void test_gate_and_memory(void)
{
    begin();
    state.gate = (struct gate_stats){.accepted = 7, .late = 1, .inside = 3, .backlog_us = 1500000, .margin = 0.25};
    state.gate.refused[GATE_SHARE_USED] = 5;
    state.ledger.held[LEDGER_BODIES] = 1000;
    state.ledger.refused[LEDGER_ANSWERS] = 2;
    state.reloads_failed = 4;
    read_all(print());
    CHECK_INT(value_of("minivlm_inflight_requests"), 3);
    CHECK_INT(value_of("minivlm_accepted_total"), 7);
    CHECK_INT(value_of("minivlm_gate_refused_total{reason=\"share_used\"}"), 5);
    CHECK_INT(value_of("minivlm_late_total"), 1);
    CHECK_NEAR(value_of("minivlm_backlog_seconds"), 1.5, 1e-9);
    CHECK_INT(value_of("minivlm_memory_held_bytes{account=\"bodies\"}"), 1000);
    CHECK_INT(value_of("minivlm_memory_refused_total{account=\"answers\"}"), 2);
    CHECK_INT(value_of("minivlm_reloads_total{outcome=\"failed\"}"), 4);
}

static void test_bounds_belong_to_their_bucket(void)
{
    begin();
    take("caption", 200, 1000); /* le means less or equal */
    take("caption", 200, 1001);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"0.001\"}"), 1);
    CHECK_INT(value_of("minivlm_request_duration_seconds_bucket{route=\"caption\",le=\"0.0025\"}"), 2);
}

static void test_stages_and_faults(void)
{
    begin();
    struct exchange x = ended("caption", 504, 10);
    x.timings.decode_us = 2000;
    x.timings.fusion_us = 20000;
    x.timings.queue_us = 300;
    x.error_code = "deadline_exceeded";
    metrics_count(&metrics, &x, 1010);
    take("caption", 499, 10);
    CHECK_INT(value_of("minivlm_stage_duration_seconds_count{stage=\"decode\"}"), 1);
    CHECK_INT(value_of("minivlm_stage_duration_seconds_count{stage=\"regions\"}"), 0);
    CHECK_INT(value_of("minivlm_stage_duration_seconds_count{stage=\"fusion\"}"), 1);
    CHECK_INT(value_of("minivlm_queue_wait_seconds_count{stage=\"all\"}"), 1);
    CHECK_INT(value_of("minivlm_rejected_total{reason=\"deadline_exceeded\"}"), 1);
    CHECK_INT(value_of("minivlm_rejected_total{reason=\"internal\"}"), 0);
    CHECK_INT(value_of("minivlm_client_gone_total"), 1);
}

/* More routes than there is room for, and statuses that are none: counted somewhere, nothing is overrun. */
static void test_too_many_routes(void)
{
    static char names[METRICS_ROUTES + 8][8];
    begin();
    for (int i = 0; i < METRICS_ROUTES + 8; i++) {
        snprintf(names[i], sizeof(names[i]), "r%d", i);
        take(names[i], i % 2 ? 200 : -1, 10);
        take(names[i], 100000, 10);
    }
    read_all(print());
    CHECK_INT(value_of("minivlm_requests_total{route=\"r0\",code=\"0\"}"), 2);
    CHECK_INT(value_of("minivlm_request_duration_seconds_count{route=\"r1\"}"), 2);
}

/* Counters are there before their first event, one for each name of the table. */
static void test_from_zero(void)
{
    static const struct route rows[] = {{.name = "caption"}, {.name = "vqa"}, {.name = "caption"}};
    begin();
    metrics_begin(&metrics, &(struct route_table){rows, 3});
    read_all(print());
    CHECK_INT(value_of("minivlm_requests_total{route=\"caption\",code=\"200\"}"), 0);
    CHECK_INT(value_of("minivlm_requests_total{route=\"none\",code=\"200\"}"), 0);
    CHECK_INT(value_of("minivlm_request_duration_seconds_count{route=\"vqa\"}"), 0);
    CHECK(!metrics.routes[3].name);
}

static void test_labels_are_escaped(void)
{
    begin();
    state.has_engine = true;
    state.info = (struct engine_info){
        .model_name = "a\"b\\c\nd\xc3\xa9", .model_version = "\"} 1\nminivlm_ready 5\n", .isa = "avx2", .gemm = "own"};
    const char *text = print();
    read_all(text);
    CHECK(strstr(text,
                 ",model=\"a\\\"b\\\\c\\nd\xc3\xa9\",model_version=\"\\\"} 1\\nminivlm_ready 5\\n\",isa=\"avx2\"") !=
          NULL);
    CHECK_INT(value_of("minivlm_ready"), 1);
    state.info = (struct engine_info){.model_name = "m", .model_version = "1", .isa = "ref", .gemm = "openblas"};
    CHECK(strstr(print(), ",model=\"m\",model_version=\"1\",isa=\"ref\",gemm=\"openblas\"} 1\n") != NULL);
    state.has_engine = false;
    CHECK(strstr(print(), ",model=\"\",model_version=\"\",isa=\"\",gemm=\"\"} 1\n") != NULL);
}

int main(void)
{
    test_nothing_happened();
    test_busy();
    test_gate_and_memory();
    test_bounds_belong_to_their_bucket();
    test_stages_and_faults();
    test_too_many_routes();
    test_from_zero();
    test_labels_are_escaped();
    buf_release(&out);
    return check_result();
}
