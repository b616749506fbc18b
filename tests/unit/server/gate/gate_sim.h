/* gate_sim - a made-up engine and made-up clients around the real gate: discrete events, no threads, no clock.
 *
 * The engine serves pictures (decode, regions, a caption in steps that all running captions share) in the order of the
 * real one: fair between clients, those of one by deadline once half of the time is over. What it really takes differs
 * from what the gate reads in the statistics: noise, stalls, steps in speed, batches that get cheaper with size.
 *
 * Use: fill a sim_options, sim_run, read sim_result. */
#ifndef TESTS_UNIT_SERVER_GATE_GATE_SIM_H
#define TESTS_UNIT_SERVER_GATE_GATE_SIM_H

#include "engine/batcher.h"
#include "server/gate/gate_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_MAX_GROUPS = 4, SIM_MAX_JOBS = 4096, SIM_MAX_REQUESTS = 1024, SIM_THREADS = 2, SIM_SLOTS = 5 };
enum { SIM_CAPTIONS = 16, SIM_SOURCES = 80 };

/* Clients that behave alike. */
struct sim_group {
    double rate;       /* requests a second of all together, at random times; 0: closed loop */
    bool is_regular;   /* at equal distances */
    int n, n_clients;  /* closed loop: connections; ids of clients that they share */
    double pause_us;   /* closed loop: between an answer and the next request */
    double wait_us;    /* closed loop: after a refusal */
    int images, texts; /* texts 0: captions */
    double decode;     /* how many times a usual picture's decoding takes */
    double timeout_us;
};

enum sim_fault { SIM_NO_FAULT, SIM_NO_MARGIN, SIM_NO_FEEDBACK, SIM_WEIGHT_ONE };

struct sim_options {
    double seconds, warm_up;
    double noise;       /* relative, of each step */
    double stall_every; /* seconds between stalls of the machine, 0: none */
    double stall_us;
    double scale;           /* of all service times; 0 means 1, which is about 120 pictures a second */
    double speed_at, speed; /* from this second on everything takes 1 / speed */
    double hidden;          /* of the time is in no statistics */
    double weather;         /* other programs take up to this share of the machine, another one every half second */
    int max_jobs;
    struct sim_group groups[SIM_MAX_GROUPS];
    int n_groups;
    enum sim_fault fault;
    unsigned seed;
};

struct sim_group_result {
    int offered, accepted, in_time, late, pictures;
    double latency_us; /* mean of those in time */
};
struct sim_result {
    struct sim_group_result groups[SIM_MAX_GROUPS], all;
    double in_time;  /* share of the accepted */
    double goodput;  /* pictures in time a second */
    double requests; /* in time a second */
};

/* ---- state ---- */

struct sim_request {
    bool is_used, is_late;
    struct gate_place place;
    int group, left;
    double began, deadline;
};

enum sim_stage { SIM_NOWHERE, SIM_DECODE, SIM_REGIONS, SIM_FUSION };

struct sim_job {
    enum sim_stage stage;
    bool is_busy;
    bool is_large, has_begun;
    int request, steps_left, taken;
    uint64_t client;
    double line, end, urgent_at, deadline;
    uint64_t number; /* in the order of arrival */
};

struct sim_thread {
    bool is_busy;
    double until, from;
    enum sim_stage stage;
    int jobs[SIM_MAX_JOBS], n, rows;
    struct batcher_history history;
};

struct sim {
    const struct sim_options *o;
    struct gate *gate;
    struct ledger ledger;
    double now;
    struct sim_request requests[SIM_MAX_REQUESTS];
    struct sim_job jobs[SIM_MAX_JOBS];
    int n_jobs;                                          /* highest used + 1 */
    struct sim_thread decoders[2], engines[SIM_THREADS]; /* the second decoder takes the large pictures */
    uint64_t n_arrived;
    double reached, served;             /* place in the line of the last job begun; the last end of one served */
    double ends[SIM_MAX_GROUPS * 1000]; /* of each client's last job that was served */
    double next_arrival[SIM_MAX_GROUPS];
    double *wake[SIM_MAX_GROUPS]; /* closed loop: when each connection asks again; < 0: it waits for an answer */
    int *owner;                   /* [SIM_MAX_REQUESTS] connection of a request */
    struct engine_stats stats;
    double next_learn, next_stall, next_weather, weather;
    struct sim_result result;
    uint64_t random;
};

static double sim_random(struct sim *s)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return ((double)(s->random >> 11) + 0.5) / 9007199254740992.0;
}

static double sim_took(struct sim *s, double us)
{
    double speed = s->o->speed_at > 0 && s->now >= s->o->speed_at * 1e6 ? s->o->speed : 1;
    speed *= (1 - s->weather) / (s->o->scale > 0 ? s->o->scale : 1);
    double noise = exp(s->o->noise * (sim_random(s) + sim_random(s) + sim_random(s) - 1.5));
    return us * noise / speed;
}

/* ---- requests ---- */

static uint64_t sim_us(double t)
{
    return (uint64_t)t + 1000000000;
}

static void sim_leave(struct sim *s, int i, bool in_time)
{
    struct sim_request *r = &s->requests[i];
    struct sim_group_result *g = &s->result.groups[r->group];
    const struct sim_group *o = &s->o->groups[r->group];
    gate_leave(s->gate, sim_us(s->now), &r->place, in_time ? GATE_DONE : GATE_LATE);
    if (s->now >= s->o->warm_up * 1e6) {
        g->in_time += in_time;
        g->late += !in_time;
        g->pictures += in_time ? o->images : 0;
        g->latency_us += in_time ? s->now - r->began : 0;
    }
    if (o->rate == 0) {
        s->wake[r->group][s->owner[i]] = s->now + o->pause_us * (0.5 + sim_random(s));
    }
    r->is_used = false;
}

static void sim_drop_late(struct sim *s)
{
    for (int i = 0; i < SIM_MAX_REQUESTS; i++) {
        struct sim_request *r = &s->requests[i];
        if (r->is_used && !r->is_late && s->now >= r->deadline) {
            r->is_late = true;
            for (int j = 0; j < s->n_jobs; j++) {
                if (s->jobs[j].stage && s->jobs[j].request == i && !s->jobs[j].is_busy) {
                    s->jobs[j].stage = SIM_NOWHERE;
                    r->left--;
                }
            }
            if (r->left == 0) {
                sim_leave(s, i, false);
            }
        }
    }
}

/* Where a new job of this client stands: where its last one ends, or the least place that anybody still has. */
static double sim_line(struct sim *s, uint64_t client, double cost)
{
    double end = 0, min = INFINITY;
    for (int j = 0; j < s->n_jobs; j++) {
        const struct sim_job *other = &s->jobs[j];
        if (other->stage) {
            end = other->client == client ? fmax(end, other->end) : end;
            min = fmin(min, other->line);
        }
    }
    s->reached = fmax(s->reached, isfinite(min) ? min : s->served);
    end = fmax(end, fmin(s->ends[client], s->reached + cost));
    return fmax(s->reached, end);
}

static void sim_add_job(struct sim *s, int request, uint64_t client, const struct sim_group *g)
{
    int j = 0;
    while (s->jobs[j].stage) {
        j++;
    }
    BUG_ON(j >= SIM_MAX_JOBS - 1);
    double cost = 10000 + 3500 * g->texts, line = sim_line(s, client, cost), deadline = s->requests[request].deadline;
    s->n_jobs = j >= s->n_jobs ? j + 1 : s->n_jobs;
    s->jobs[j] = (struct sim_job){
        .stage = SIM_DECODE,
        .request = request,
        .client = client,
        .is_large = g->decode > 8,
        .steps_left = g->texts ? g->texts : 6 + (int)(8 * sim_random(s)),
        .line = line,
        .end = line + cost,
        .urgent_at = s->now + (deadline - s->now) / 2,
        .deadline = deadline,
        .number = s->n_arrived++,
    };
}

/* True: it got in. */
static bool sim_ask(struct sim *s, int group, int connection)
{
    const struct sim_group *o = &s->o->groups[group];
    int i = 0;
    uint64_t retry, client = (uint64_t)group * 1000 + (uint64_t)(connection % (o->n_clients > 0 ? o->n_clients : 1));
    while (i < SIM_MAX_REQUESTS && s->requests[i].is_used) {
        i++;
    }
    BUG_ON(i == SIM_MAX_REQUESTS);
    struct gate_request ask = {.client = client,
                               .task = o->texts ? JOB_RETRIEVE : JOB_CAPTION,
                               .images = s->o->fault == SIM_WEIGHT_ONE ? 1 : o->images,
                               .texts = o->texts,
                               .beams = 1,
                               .pixels = (uint64_t)(1e6 * o->decode * o->images),
                               .deadline_us = sim_us(s->now + o->timeout_us)};
    struct sim_request *r = &s->requests[i];
    bool counts = s->now >= s->o->warm_up * 1e6;
    s->result.groups[group].offered += counts;
    if (gate_glance(s->gate, sim_us(s->now), client, ask.task, 100000, ask.deadline_us, &retry) != GATE_ACCEPTED ||
        gate_enter(s->gate, sim_us(s->now), &ask, &r->place, &retry) != GATE_ACCEPTED) {
        return false;
    }
    s->result.groups[group].accepted += counts;
    r->is_used = true;
    r->is_late = false;
    r->group = group;
    r->left = o->images;
    r->began = s->now;
    r->deadline = s->now + o->timeout_us;
    s->owner[i] = connection;
    for (int k = 0; k < o->images; k++) {
        sim_add_job(s, i, client, o);
    }
    return true;
}

static void sim_arrivals(struct sim *s)
{
    for (int g = 0; g < s->o->n_groups; g++) {
        const struct sim_group *o = &s->o->groups[g];
        while (o->rate > 0 && s->now >= s->next_arrival[g]) {
            sim_ask(s, g, 0);
            s->next_arrival[g] += (o->is_regular ? 1 : -log(sim_random(s))) * 1e6 / o->rate;
        }
        for (int c = 0; o->rate == 0 && c < o->n; c++) {
            if (s->wake[g][c] >= 0 && s->now >= s->wake[g][c]) {
                s->wake[g][c] = sim_ask(s, g, c) ? -1 : s->now + o->wait_us * (0.5 + sim_random(s));
            }
        }
    }
}

#include "tests/unit/server/gate/gate_sim_engine.h"

/* ---- time ---- */

static void sim_plant(struct sim *s)
{
    struct gate *g = s->gate;
    if (s->o->fault == SIM_NO_MARGIN) {
        g->margin = 0;
    } else if (s->o->fault == SIM_NO_FEEDBACK) {
        g->ratio = g->mean = 1;
        g->margin = 0.05;
    }
}

static double sim_next(const struct sim *s)
{
    double t = s->next_learn;
    for (int g = 0; g < s->o->n_groups; g++) {
        t = s->o->groups[g].rate > 0 ? fmin(t, s->next_arrival[g]) : t;
        for (int c = 0; s->o->groups[g].rate == 0 && c < s->o->groups[g].n; c++) {
            t = s->wake[g][c] >= 0 ? fmin(t, s->wake[g][c]) : t;
        }
    }
    for (int i = 0; i < 2; i++) {
        t = s->decoders[i].is_busy ? fmin(t, s->decoders[i].until) : t;
    }
    for (int i = 0; i < SIM_THREADS; i++) {
        t = s->engines[i].is_busy ? fmin(t, s->engines[i].until) : t;
    }
    return t;
}

static void sim_stall(struct sim *s)
{
    if (s->now >= s->next_weather) {
        s->weather = s->o->weather * sim_random(s);
        s->next_weather = s->now + 500000;
    }
    if (s->o->stall_every > 0 && s->now >= s->next_stall) {
        s->decoders[0].until += s->o->stall_us;
        s->decoders[1].until += s->o->stall_us;
        for (int i = 0; i < SIM_THREADS; i++) {
            s->engines[i].until += s->o->stall_us;
        }
        s->next_stall += s->o->stall_every * 1e6 * (0.5 + sim_random(s));
    }
}

static void sim_step(struct sim *s)
{
    s->now = fmax(s->now, sim_next(s));
    sim_plant(s);
    sim_stall(s);
    for (int i = 0; i < 2; i++) {
        if (s->decoders[i].is_busy && s->decoders[i].until <= s->now) {
            sim_end(s, &s->decoders[i]);
        }
    }
    for (int i = 0; i < SIM_THREADS; i++) {
        if (s->engines[i].is_busy && s->engines[i].until <= s->now) {
            sim_end(s, &s->engines[i]);
        }
    }
    sim_drop_late(s);
    if (s->now >= s->next_learn) {
        gate_learn(s->gate, sim_us(s->now), &s->stats);
        s->next_learn += 100000;
    }
    sim_plant(s);
    sim_arrivals(s);
    sim_start_threads(s);
}

static void sim_sum(struct sim *s)
{
    struct sim_result *r = &s->result;
    double seconds = s->o->seconds - s->o->warm_up;
    for (int g = 0; g < s->o->n_groups; g++) {
        struct sim_group_result *x = &r->groups[g];
        x->latency_us = x->in_time > 0 ? x->latency_us / x->in_time : 0;
        r->all.offered += x->offered;
        r->all.accepted += x->accepted;
        r->all.in_time += x->in_time;
        r->all.late += x->late;
        r->all.pictures += x->pictures;
    }
    int ended = r->all.in_time + r->all.late;
    r->in_time = ended > 0 ? (double)r->all.in_time / ended : 1;
    r->goodput = r->all.pictures / seconds;
    r->requests = r->all.in_time / seconds;
}

__attribute__((unused)) static struct sim_result sim_run(const struct sim_options *o)
{
    struct sim *s = calloc(1, sizeof(*s));
    struct ledger_limits limits = {.total = UINT64_MAX, .account = {[LEDGER_BODIES] = 1 << 28}};
    struct engine_info info = {.engine_threads = SIM_THREADS, .decode_threads = 1, .num_beams = 1, .max_tokens = 20};
    BUG_ON(!s);
    s->o = o;
    s->random = o->seed;
    s->owner = calloc(SIM_MAX_REQUESTS, sizeof(*s->owner));
    ledger_init(&s->ledger, &limits);
    struct gate_options options = {.max_jobs = o->max_jobs ? o->max_jobs : 256, .ledger = &s->ledger};
    BUG_ON(!s->owner || gate_create(&s->gate, &options));
    gate_set_engine(s->gate, &info);
    for (int g = 0; g < o->n_groups; g++) {
        s->wake[g] = calloc((size_t)o->groups[g].n + 1, sizeof(double));
        BUG_ON(!s->wake[g]);
        for (int c = 0; c < o->groups[g].n; c++) {
            s->wake[g][c] = 1e6 * sim_random(s);
        }
    }
    s->next_stall = o->stall_every * 1e6;
    while (s->now < o->seconds * 1e6) {
        sim_step(s);
    }
    sim_sum(s);
    for (int i = 0; i < SIM_MAX_REQUESTS; i++) {
        gate_leave(s->gate, sim_us(s->now), &s->requests[i].place, GATE_ABANDONED);
    }
    struct sim_result r = s->result;
    gate_destroy(s->gate);
    for (int g = 0; g < o->n_groups; g++) {
        free(s->wake[g]);
    }
    free(s->owner);
    free(s);
    return r;
}

#endif
