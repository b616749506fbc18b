/* What the service is and how it fares, for people who look at it. */
#include "engine/base/clock.h"
#include "engine/base/version.h"
#include "server/api/api.h"

#include <math.h>
#include <stdlib.h>

enum { MINUTE_US = 60000000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank: the least value that `percent` of all do not exceed. */
static json_t *percentile(const uint64_t *sorted, int n, int percent)
{
    return n ? json_real((double)sorted[(n * percent + 99) / 100 - 1] * 1e-3) : json_null();
}

/* Of the requests that ended within the last minute, as far back as the history goes. */
static json_t *last_minute(const struct history *h, uint64_t now_us)
{
    static uint64_t took_us[HISTORY_SIZE];
    int n_good = 0, n = 0;
    const struct history_entry *e;
    for (int i = 0; (e = history_get(h, i)) && e->began_us + e->total_us + MINUTE_US >= now_us; i++) {
        n++;
        if (e->status < 400) {
            took_us[n_good++] = e->total_us;
        }
    }
    qsort(took_us, (size_t)n_good, sizeof(took_us[0]), compare);
    return json_pack("{s:i, s:i, s:o, s:o}", "answered", n_good, "failed", n - n_good, "p50_ms",
                     percentile(took_us, n_good, 50), "p99_ms", percentile(took_us, n_good, 99));
}

static const char *state(const struct api *a)
{
    if (a->admission.state == ADMISSION_LOADING) {
        return "loading";
    }
    return a->admission.state == ADMISSION_DRAINING || a->is_leaving ? "draining" : "ready";
}

void api_status(struct api *a, struct exchange *x)
{
    const struct service *serving = services_current(a->desk.services);
    const struct config *c = a->config;
    uint64_t now = clock_us();
    json_t *model = json_null(), *load = json_null();
    if (serving) {
        struct engine_stats s;
        engine_stats(serving->engine, &s);
        model = json_pack("{s:s, s:s}", "name", serving->info.model_name, "version", serving->info.model_version);
        load = json_real(round(s.load_ratio * 1e4) / 1e4);
    }
    exchange_out(x, "Cache-Control", "no-store");
    reply_json(x, 200,
               json_pack("{s:s, s:s, s:o, s:o, s:f, s:o, s:b, s:{s:I, s:I, s:I, s:I}}", "state", state(a), "version",
                         VERSION_TEXT, "model", model, "load", load, "uptime_s", (double)(now - a->started_us) * 1e-6,
                         "last_minute", last_minute(a->history, now), "collections", c->collections.path[0] != '\0',
                         "limits", "body_bytes", (json_int_t)c->limits.body_bytes, "images",
                         (json_int_t)c->limits.images, "texts", (json_int_t)c->limits.texts, "pixels",
                         (json_int_t)c->limits.pixels));
}
