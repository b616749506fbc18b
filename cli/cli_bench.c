#include "cli/cli_bench.h"

#include "cli/cli.h"
#include "cli/cli_input.h"
#include "cli/cli_json.h"
#include "cli/cli_profile.h"
#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/mailbox.h"
#include "engine/base/mem.h"

enum { MAX_AT_ONCE = CLI_MAX_AT_ONCE, DEFAULT_BEAMS = 3 };

static const char *const texts[] = {"what is in the picture?"};
static const size_t text_bytes[] = {23};

/* ---- samples of one part ---- */

struct samples {
    const char *name;
    double *ms; /* [n] */
    int n;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_samples(struct samples *s, const struct cli_args *a)
{
    qsort(s->ms, (size_t)s->n, sizeof(*s->ms), compare);
    struct cli_json_figure f = {.name = s->name, .unit = "ms", .n = s->n};
    f.median = s->n % 2 ? s->ms[s->n / 2] : (s->ms[s->n / 2 - 1] + s->ms[s->n / 2]) / 2;
    f.min = s->ms[0];
    f.max = s->ms[s->n - 1];
    if (a->use_json) {
        cli_json_print_figure(stdout, &f);
    } else {
        printf("%-20s %9.2f %9.2f %9.2f  ms  (%d)\n", f.name, f.median, f.min, f.max, f.n);
    }
}

static void print_figure(const char *name, double value, const char *unit, const struct cli_args *a)
{
    struct cli_json_figure f = {.name = name, .unit = unit, .median = value, .min = value, .max = value, .n = 1};
    if (a->use_json) {
        cli_json_print_figure(stdout, &f);
    } else {
        printf("%-20s %9.2f %19s  %s\n", name, value, "", unit);
    }
}

/* A line of /proc/self/status, in MB; 0 where there is none. */
static double status_mb(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;
    while (file && kb == 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kb = strtol(line + strlen(key), NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return (double)kb / 1024;
}

/* ---- jobs ---- */

struct place {
    struct mailbox_item item; /* the first member */
    struct bench *bench;
    struct job *job;
    uint8_t key[32]; /* its own: equal images in flight shall not be computed together */
};

struct bench {
    struct engine *engine;
    const struct cli_args *args;
    struct cli_input *images; /* [n_images] */
    int n_images;
    struct place places[MAX_AT_ONCE];
    struct mailbox done;
    struct mailbox_item *rest; /* out of the mailbox and still to be looked at */
};

static void on_done(struct job *job)
{
    struct place *p = job->request.user;
    mailbox_put(&p->bench->done, &p->item);
}

static enum err submit(struct place *p, enum job_task task, int image, int beams, struct errbuf *e)
{
    const struct bench *b = p->bench;
    struct job *job = p->job;
    job_reset(job);
    job->request.task = task;
    job->request.image = b->images[image].bytes;
    job->request.image_bytes = b->images[image].n_bytes;
    job->request.num_beams = beams;
    job->request.user = p;
    job->request.id_key = p->key;
    if (task == JOB_VQA || task == JOB_RETRIEVE) {
        job->request.texts = texts;
        job->request.text_bytes = text_bytes;
        job->request.n_texts = 1;
    }
    return engine_submit(b->engine, job, e);
}

static struct place *wait_for_one(struct bench *b)
{
    struct mailbox_item *first = b->rest ? b->rest : mailbox_wait(&b->done);
    b->rest = first->next;
    return (struct place *)first;
}

static enum err open_bench(struct bench *b, const struct engine_options *options, int threads, struct errbuf *e)
{
    struct engine_options o = *options;
    o.engine_threads = threads;
    o.cache_bytes = 0;
    o.max_captions = o.max_captions > b->args->at_once ? o.max_captions : b->args->at_once;
    enum err rc = engine_open(&b->engine, &o, e);
    for (int i = 0; !rc && i < b->args->at_once; i++) {
        struct place *p = &b->places[i];
        rc = job_create(&p->job, b->engine);
        if (!rc) {
            p->job->on_done = on_done;
            p->bench = b;
            p->key[0] = (uint8_t)i;
        }
    }
    return rc;
}

static void close_bench(struct bench *b)
{
    if (b->engine) {
        engine_drain(b->engine, UINT64_MAX);
    }
    b->rest = NULL; /* after a failure, some have not been looked at */
    (void)mailbox_take(&b->done);
    for (int i = 0; i < MAX_AT_ONCE; i++) {
        job_destroy(b->places[i].job);
        b->places[i].job = NULL;
    }
    engine_close(b->engine);
    b->engine = NULL;
}

/* ---- one at a time ---- */

enum part { DECODE, REGIONS, VQA, RETRIEVE, GREEDY, BEAMS, GREEDY_TOTAL, CAPTION_TOTAL, PARTS };

static void add(struct samples *s, uint64_t us)
{
    s->ms[s->n++] = (double)us / 1000;
}

static enum err run_alone(struct bench *b, int image, struct samples *parts, struct errbuf *e)
{
    static const struct {
        enum job_task task;
        int beams;
        enum part part;
    } runs[] = {
        {JOB_VQA, 0, VQA}, {JOB_RETRIEVE, 0, RETRIEVE}, {JOB_CAPTION, 1, GREEDY}, {JOB_CAPTION, DEFAULT_BEAMS, BEAMS}};
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        enum err rc = submit(&b->places[0], runs[i].task, image, runs[i].beams, e);
        if (rc) {
            return rc;
        }
        const struct job_result *r = &wait_for_one(b)->job->result;
        if (r->err) {
            return err_set(e, r->err, "%s: %.300s", b->images[image].path, errbuf_text(&r->error, r->err));
        }
        add(&parts[DECODE], r->decode_us);
        add(&parts[REGIONS], r->regions_us);
        add(&parts[runs[i].part], r->fusion_us);
        if (runs[i].task == JOB_CAPTION) {
            add(&parts[runs[i].part == BEAMS ? CAPTION_TOTAL : GREEDY_TOTAL], r->total_us);
        }
    }
    return OK;
}

static enum err measure_alone(struct bench *b, const struct engine_options *options, struct errbuf *e)
{
    struct samples parts[PARTS] = {{.name = "decode"},        {.name = "regions"},        {.name = "vqa"},
                                   {.name = "retrieve"},      {.name = "caption greedy"}, {.name = "caption 3 beams"},
                                   {.name = "greedy in all"}, {.name = "caption in all"}};
    size_t n = 4 * (size_t)b->args->rounds * (size_t)b->n_images;
    int threads = b->args->split > 1 ? options->engine_threads : 1;
    enum err rc = open_bench(b, options, threads, e);
    for (int i = 0; !rc && i < PARTS; i++) {
        rc = mem_array(&parts[i].ms, n, sizeof(double));
    }
    rc = rc ? rc : run_alone(b, 0, parts, e); /* once to warm up */
    for (int i = 0; i < PARTS; i++) {
        parts[i].n = 0;
    }
    for (int round = 0; !rc && round < b->args->rounds; round++) {
        for (int i = 0; !rc && i < b->n_images; i++) {
            rc = run_alone(b, i, parts, e);
        }
    }
    if (!rc && !b->args->use_json) {
        printf("%-20s %9s %9s %9s\n", threads > 1 ? "several threads" : "one thread", "median", "min", "max");
    }
    for (int i = 0; i < PARTS; i++) {
        if (!rc) {
            print_samples(&parts[i], b->args);
        }
        mem_free(parts[i].ms);
    }
    close_bench(b);
    return rc;
}

/* ---- many at once ---- */

static enum err measure_throughput(struct bench *b, const struct engine_options *options, int threads, struct errbuf *e)
{
    int at_once = b->args->at_once, n = b->args->rounds * b->n_images, n_begun = 0, n_done = 0;
    char name[64];
    n = n < 2 * at_once ? 2 * at_once : n;
    enum err rc = open_bench(b, options, threads, e);
    uint64_t from_us = clock_us();
    for (; !rc && n_begun < at_once; n_begun++) {
        rc = submit(&b->places[n_begun], JOB_CAPTION, n_begun % b->n_images, 1, e);
    }
    while (!rc && n_done < n_begun) {
        struct place *p = wait_for_one(b);
        rc = p->job->result.err;
        n_done++;
        if (!rc && n_begun < n) {
            rc = submit(p, JOB_CAPTION, n_begun++ % b->n_images, 1, e);
        }
    }
    double seconds = (double)(clock_us() - from_us) / 1e6, memory_mb = status_mb("VmRSS:");
    close_bench(b);
    if (!rc) {
        const char *plural = threads == 1 ? "" : "s";
        snprintf(name, sizeof(name), "captions, %d thread%s", threads, plural);
        print_figure(name, n_done / seconds, "/s", b->args);
        snprintf(name, sizeof(name), "memory, %d thread%s", threads, plural);
        print_figure(name, memory_mb, "MB resident", b->args);
    }
    return rc;
}

/* ---- all ---- */

static enum err read_images(struct bench *b, struct errbuf *e)
{
    struct cli_source *source = NULL;
    enum err rc = mem_array(&b->images, (size_t)b->args->n_files, sizeof(*b->images));
    rc = rc ? rc : cli_source_open(&source, b->args, e);
    while (!rc && b->n_images < b->args->n_files && cli_source_next(source, &b->images[b->n_images])) {
        struct cli_input *in = &b->images[b->n_images++];
        if (in->err) {
            rc = err_set(e, in->err, "%s: %.300s", in->path, errbuf_text(&in->error, in->err));
        }
    }
    cli_source_close(source);
    return rc;
}

int cli_bench_run(const struct engine_options *options, const struct cli_args *a)
{
    struct bench b = {.args = a};
    struct errbuf e = {{0}};
    int code = CLI_OK;
    mailbox_init(&b.done);
    enum err rc = read_images(&b, &e);
    if (!rc && a->with_stages) {
        code = cli_profile_run(options, a, b.images, b.n_images);
        goto out;
    }
    rc = rc ? rc : measure_alone(&b, options, &e);
    rc = rc ? rc : measure_throughput(&b, options, 1, &e);
    if (!rc && options->engine_threads > 1) {
        rc = measure_throughput(&b, options, options->engine_threads, &e);
    }
    if (rc) {
        fprintf(stderr, "minivlm bench: %s (%s)\n", errbuf_text(&e, rc), err_slug(rc));
        code = CLI_FAILED;
    } else {
        print_figure("peak memory", status_mb("VmHWM:"), "MB resident", a);
    }
out:
    for (int i = 0; i < b.n_images; i++) {
        cli_input_release(&b.images[i]);
    }
    mem_free(b.images);
    mailbox_release(&b.done);
    return code;
}
