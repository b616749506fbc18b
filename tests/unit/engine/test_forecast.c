#include "engine/forecast.c"

#include "tests/support/check.h"

/* ---- a stage ---- */

static void test_line(void)
{
    struct forecast_line f = {0};
    CHECK_NEAR(forecast_us(&f, 10), 0, 0);
    forecast_add(&f, 100, 5000);
    CHECK_NEAR(forecast_us(&f, 100), 5000, 1e-9);
    CHECK_NEAR(forecast_us(&f, 200), 5000, 1e-9); /* nothing known about the slope */
    for (int n = 1; n <= 50; n++) {
        forecast_add(&f, n, 1000.0 + 40.0 * n);
    }
    forecast_add(&f, 100, 5000);
    CHECK_NEAR(f.a, 40, 1e-6);
    CHECK_NEAR(f.b, 1000, 1e-6);
    CHECK_NEAR(forecast_us(&f, 256), 1000 + 40 * 256, 1e-6);
}

static void test_never_negative(void)
{
    struct forecast_line f = {0};
    for (int n = 1; n <= 20; n++) {
        forecast_add(&f, n, 1000.0 - 10 * n); /* falling */
    }
    CHECK(f.a >= 0 && f.b >= 0);
    struct forecast_line g = {0};
    for (int n = 10; n <= 30; n++) {
        forecast_add(&g, n, 100.0 * n - 900); /* would cut the axis below zero */
    }
    CHECK_NEAR(g.b, 0, 0);
    CHECK(g.a > 0);
}

static void test_outlier(void)
{
    struct forecast_line f = {0};
    for (int i = 0; i < 20; i++) {
        forecast_add(&f, 1, 1000);
    }
    forecast_add(&f, 1, 1000000); /* a hiccup of a second counts as FORECAST_CLIP times the usual */
    CHECK_NEAR(forecast_us(&f, 1), (20 * 1000 + FORECAST_CLIP * 1000) / 21.0, 1e-6);
    for (int i = 0; i < 2 * FORECAST_SAMPLES; i++) {
        forecast_add(&f, 1, 20000); /* a lasting change is believed */
    }
    CHECK_NEAR(forecast_us(&f, 1), 20000, 1e-6);
}

static void test_forgets(void)
{
    struct forecast_line f = {0};
    for (int i = 0; i < 1000; i++) {
        forecast_add(&f, 1, 1000);
    }
    for (int i = 0; i < FORECAST_SAMPLES; i++) {
        forecast_add(&f, 1, 100);
    }
    CHECK_NEAR(forecast_us(&f, 1), 100, 1e-9);
    CHECK_INT(f.count, FORECAST_SAMPLES);
}

static void test_mean(void)
{
    struct forecast_mean m = {0};
    forecast_mean_add(&m, 10);
    CHECK_NEAR(m.value, 10, 0);
    forecast_mean_add(&m, 20);
    CHECK_NEAR(m.value, 15, 1e-12);
    for (int i = 0; i < 500; i++) {
        forecast_mean_add(&m, 4);
    }
    CHECK_NEAR(m.value, 4, 1e-6);
}

/* ---- the engine: decode 5 ms, TEE 50 ms, step 8 ms + 0.1 ms a row ---- */

static struct forecast measured(void)
{
    struct forecast f = {0};
    forecast_add(&f.decode, 1, 5000);
    forecast_add(&f.regions, 1, 50000);
    forecast_add(&f.fusion, 10, 9000);
    forecast_add(&f.fusion, 100, 18000);
    forecast_mean_add(&f.caption_steps, 10);
    forecast_mean_add(&f.caption_rows, 2);
    forecast_mean_add(&f.pair_rows, 90);
    return f;
}

static const struct forecast_load idle = {.engine_threads = 1, .decode_threads = 1, .max_rows = 256};

static void test_finish_when_idle(void)
{
    struct forecast f = measured(), nothing = {0};
    CHECK_NEAR(forecast_finish_us(&f, &idle, JOB_REGIONS, false, 0), 55000, 1e-6);
    CHECK_NEAR(forecast_finish_us(&f, &idle, JOB_VQA, true, 1), 17000, 1e-6);
    CHECK_NEAR(forecast_finish_us(&f, &idle, JOB_VQA, false, 4), 55000 + 36000 + 2 * 8000, 1e-6);
    CHECK_NEAR(forecast_finish_us(&f, &idle, JOB_CAPTION, true, 0), 10 * 8200, 1e-6);
    CHECK_NEAR(forecast_finish_us(&nothing, &idle, JOB_REGIONS, false, 0), 0, 0);
    CHECK_NEAR(forecast_finish_us(&nothing, &idle, JOB_VQA, true, 1), 0, 0);
    f.caption_steps.count = 0;
    CHECK_NEAR(forecast_finish_us(&f, &idle, JOB_CAPTION, true, 0), 0, 0);
}

static void test_backlog(void)
{
    struct forecast f = measured();
    struct forecast_load l = idle;
    CHECK_NEAR(forecast_backlog_us(&f, &l), 0, 0);
    l.images = 10;
    CHECK_NEAR(forecast_backlog_us(&f, &l), 500000, 1e-6);
    l.engine_threads = 2;
    CHECK_NEAR(forecast_backlog_us(&f, &l), 250000, 1e-6);
    l.decodes = 4;
    l.captions_ahead = 14;
    double with_captions = forecast_backlog_us(&f, &l);
    CHECK(with_captions > 14 * 50000 / 2);
    CHECK(with_captions < 14 * (50000 + 82000) / 2); /* they share their steps */
    l = idle;
    l.pairs = 100;
    CHECK_NEAR(forecast_backlog_us(&f, &l), 900000 + 36 * 8000, 1e-6);
    l = idle;
    l.decodes = 1000; /* many small pictures: decoding may be what takes long */
    l.engine_threads = 64;
    CHECK_NEAR(forecast_backlog_us(&f, &l), 5000000, 1e-6);
}

static void test_usage(void)
{
    struct forecast_usage u = {0};
    forecast_usage_note(&u, 1, 2, 1000000);
    CHECK_NEAR(u.value, 0, 0); /* nothing before the first call */
    for (int i = 0; i < 100; i++) {
        forecast_usage_note(&u, 1, 2, 1000000 + 100000 * (uint64_t)(i + 1));
    }
    CHECK_NEAR(u.value, 0.5, 0.01);
    forecast_usage_note(&u, 0, 2, 60000000);
    CHECK_NEAR(u.value, 0, 0.01);
    forecast_usage_note(&u, 2, 2, 59000000); /* a clock that stands still or goes back changes nothing */
    CHECK_NEAR(u.value, 0, 0.01);
}

static void test_load_ratio(void)
{
    CHECK_NEAR(forecast_load_ratio(0, 0), 0, 0);
    CHECK_NEAR(forecast_load_ratio(0.7, 0), 0.7, 1e-12);
    CHECK_NEAR(forecast_load_ratio(1, 0), 1, 0);
    CHECK_NEAR(forecast_load_ratio(0.6, 500000), 0.8, 1e-12);
    CHECK_NEAR(forecast_load_ratio(0.2, 9e9), 1, 0);
}

int main(void)
{
    test_line();
    test_never_negative();
    test_outlier();
    test_forgets();
    test_mean();
    test_finish_when_idle();
    test_backlog();
    test_usage();
    test_load_ratio();
    return check_result();
}
