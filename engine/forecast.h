/* forecast - how long work will take, learned from past measurements.
 *
 * A stage is a line t = a * n + b through its last FORECAST_SAMPLES measurements (n: images, or rows of a fusion step).
 * A measurement far above the line counts as FORECAST_CLIP times the line only: a single outlier does not spoil the
 * line, while a lasting change moves it within a few samples.
 *
 * Used for prediction only, never to choose what runs next. Pure arithmetic: no clock, no threads (the caller's lock
 * guards it), no failure. */
#ifndef ENGINE_FORECAST_H
#define ENGINE_FORECAST_H

#include "engine/job.h"

#include <stdbool.h>
#include <stdint.h>

enum { FORECAST_SAMPLES = 64, FORECAST_CLIP = 4 };

/* ---- one stage; begins as zeros ---- */
struct forecast_line {
    double n[FORECAST_SAMPLES], us[FORECAST_SAMPLES];
    int count, next;
    double a, b; /* microseconds for each n, and for a step; neither is negative */
};
void forecast_add(struct forecast_line *f, double n, double us);
/* Microseconds of a step of n; 0 while nothing was measured. */
double forecast_us(const struct forecast_line *f, double n);

/* ---- a slowly moving mean; begins as zeros ---- */
struct forecast_mean {
    double value;
    int count;
};
void forecast_mean_add(struct forecast_mean *m, double value);

/* ---- the engine ---- */
struct forecast {
    struct forecast_line decode, regions, fusion;
    struct forecast_mean caption_steps; /* steps of a caption */
    struct forecast_mean caption_rows;  /* rows of one of its steps */
    struct forecast_mean pair_rows;     /* rows of a question or a sentence beside its image */
};

/* Work that waits or is under way. */
struct forecast_load {
    int decodes, images;             /* before, and ready for, the TEE */
    int pairs;                       /* questions and sentences */
    int captions_running;            /* between two steps or in one */
    int captions;                    /* not begun */
    int captions_ahead, pairs_ahead; /* fusion work that the images will turn into */
    int engine_threads, decode_threads, max_rows;
};
/* Microseconds until all of it is done. */
double forecast_backlog_us(const struct forecast *f, const struct forecast_load *l);

/* Microseconds until one more job would be done; 0 while its task was never measured. */
double forecast_finish_us(const struct forecast *f, const struct forecast_load *l, enum job_task task, bool is_cached,
                          int n_pairs);

/* ---- utilisation: busy threads over time, as a mean that forgets; begins as zeros ---- */
struct forecast_usage {
    double value; /* 0..1 */
    uint64_t at_us;
};
/* `busy` of `threads` were busy since the last call. */
void forecast_usage_note(struct forecast_usage *u, int busy, int threads, uint64_t now_us);
/* 0: idle. 1: the backlog is more than a second long. In between: the share of busy threads. */
double forecast_load_ratio(double usage, double backlog_us);

#endif
