/* A ring of places, each with an input and a job. Inputs enter at the tail and are submitted at once; the head is
 * printed when it is done. So there is always work for the engine, and memory is bounded whatever the number of
 * inputs. */
#include "cli/cli_batch.h"

#include "cli/cli.h"
#include "cli/cli_draw.h"
#include "cli/cli_json.h"
#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_progress.h"
#include "cli/cli_sidecar.h"
#include "cli/cli_text.h"
#include "engine/base/clock.h"
#include "engine/base/mailbox.h"
#include "engine/base/mem.h"

#include <unistd.h>

enum { PLACES = 32 };

struct place {
    struct mailbox_item item; /* the first member */
    struct batch *batch;
    struct cli_input input;
    struct job *job;
    bool is_done; /* and out of the mailbox */
};

struct batch {
    struct engine *engine;
    struct engine_info info;
    const struct cli_args *args;
    struct cli_args rest; /* when resuming: the args, with the files that are left */
    struct cli_output *output;
    struct cli_source *source;
    struct cli_progress progress;
    bool has_terminal; /* results and progress share it */
    struct mailbox done;
    struct place places[PLACES];
    int head, n; /* places in use */
    int n_printed, n_failed;
    bool has_warned; /* of the texts */
    float *scores;   /* retrieve with several images: [files, texts] */
    bool *has_scores;
    struct cli_json_images *images; /* the same with --json */
};

/* ---- in ---- */

/* On an engine thread. */
static void on_done(struct job *job)
{
    struct place *p = job->request.user;
    mailbox_put(&p->batch->done, &p->item);
}

static void fill_request(struct batch *b, struct place *p)
{
    static const enum job_task tasks[] = {
        [CLI_CAPTION] = JOB_CAPTION, [CLI_VQA] = JOB_VQA, [CLI_RETRIEVE] = JOB_RETRIEVE, [CLI_REGIONS] = JOB_REGIONS};
    const struct cli_args *a = b->args;
    struct job_request *r = &p->job->request;
    job_reset(p->job);
    r->task = tasks[a->command];
    r->image = p->input.bytes;
    r->image_bytes = p->input.n_bytes;
    r->tolerate_truncated = a->tolerate_truncated;
    r->explain = a->explain;
    if (r->task == JOB_VQA || r->task == JOB_RETRIEVE) {
        r->texts = p->input.texts;
        r->text_bytes = p->input.text_bytes;
        r->n_texts = p->input.n_texts;
    }
    r->top_k = a->top_k;
    r->num_beams = a->num_beams;
    r->num_captions = a->num_captions;
    r->max_tokens = a->max_tokens;
    r->length_penalty = a->length_penalty;
    if (!r->num_beams && r->num_captions > b->info.num_beams) {
        r->num_beams = r->num_captions;
    }
    r->user = p;
}

/* Takes the next input, if there is one. */
static bool begin_one(struct batch *b)
{
    struct place *p = &b->places[(b->head + b->n) % PLACES];
    if (!cli_source_next(b->source, &p->input)) {
        return false;
    }
    if (!p->input.err) {
        fill_request(b, p);
        p->input.err = engine_submit(b->engine, p->job, &p->input.error);
    }
    p->is_done = !!p->input.err;
    b->n++;
    return true;
}

/* ---- out ---- */

static void print_error(struct batch *b, const struct cli_input *in, enum err rc, const struct errbuf *error,
                        const char *stage)
{
    struct errbuf told = *error;
    cli_options_rename(&told);
    error = &told;
    b->n_failed++;
    if (b->output) {
        cli_output_error(b->output, in, rc, error, stage);
    } else if (b->images) {
        cli_json_images_add_error(b->images, b->n_printed, rc, error, stage);
    } else if (b->args->use_json || b->args->jsonl) {
        cli_json_print_error(stdout, in, rc, error, stage);
    } else {
        fprintf(stderr, "minivlm: %s%s%s (%s)\n", in->path ? in->path : "", in->path ? ": " : "",
                errbuf_text(error, rc), err_slug(rc));
    }
}

static void keep_scores(struct batch *b, const struct job_result *r)
{
    int n = b->args->n_texts;
    if (b->scores) {
        memcpy(b->scores + (size_t)b->n_printed * (size_t)n, r->scores, (size_t)n * sizeof(*r->scores));
        b->has_scores[b->n_printed] = true;
    }
}

/* Texts that were cut, which text and CSV have no room for; they are the same for all pictures. */
static void warn_of_texts(struct batch *b, const struct job *job)
{
    b->has_warned = b->has_warned || cli_json_print_text_warnings(stderr, job);
}

static void print_place(struct batch *b, struct place *p)
{
    const struct job_result *r = &p->job->result;
    struct errbuf error = {{0}};
    bool is_answered = !p->input.err && !r->err;
    enum err rc = OK;
    if (is_answered && b->args->draw) {
        rc = cli_draw_regions(b->args->draw, &p->input, r, b->args->min_score, &error);
    } else if (is_answered && b->args->with_sidecar) {
        rc = cli_sidecar_write(p->input.path, r->captions[0].text, &error);
    }
    if (p->input.err) {
        print_error(b, &p->input, p->input.err, &p->input.error, NULL);
    } else if (r->err) {
        print_error(b, &p->input, r->err, &r->error, r->stage);
    } else if (rc) {
        print_error(b, &p->input, rc, &error, b->args->draw ? "draw" : "sidecar");
    } else {
        keep_scores(b, r);
        if (b->output) {
            cli_output_result(b->output, &p->input, p->job);
            warn_of_texts(b, p->job);
        } else if (b->images) {
            cli_json_images_add(b->images, b->n_printed, b->args, &p->input, p->job);
        } else if (b->args->use_json || b->args->jsonl) {
            cli_json_print_result(stdout, b->args, &b->info, &p->input, p->job);
        } else {
            cli_text_print_result(stdout, b->args, &p->input, p->job);
            warn_of_texts(b, p->job);
        }
    }
}

static void wait_for(struct batch *b, const struct place *p)
{
    while (!p->is_done) {
        for (struct mailbox_item *item = mailbox_wait(&b->done); item; item = item->next) {
            ((struct place *)item)->is_done = true;
        }
    }
}

static void leave(struct batch *b, struct place *p)
{
    cli_input_release(&p->input);
    b->head = (b->head + 1) % PLACES;
    b->n--;
}

/* Waits for the oldest and prints it. */
static void finish_one(struct batch *b)
{
    struct place *p = &b->places[b->head];
    cli_progress_show(&b->progress, b->n_printed, clock_us());
    wait_for(b, p);
    if (b->has_terminal) {
        cli_progress_clear(&b->progress);
    }
    print_place(b, p);
    leave(b, p);
    b->n_printed++;
}

/* Nobody can read the results any more. */
static void give_up(struct batch *b)
{
    for (int i = 0; i < b->n; i++) {
        job_cancel(b->places[(b->head + i) % PLACES].job);
    }
    while (b->n > 0) {
        struct place *p = &b->places[b->head];
        wait_for(b, p);
        leave(b, p);
    }
}

/* ---- images of each text ---- */

static void print_ranking(struct batch *b, int text, int *order, int *ranked, float *column)
{
    int n = 0, n_texts = b->args->n_texts;
    for (int i = 0; i < b->args->n_files; i++) {
        column[i] = b->scores[(size_t)i * (size_t)n_texts + (size_t)text];
    }
    cli_text_order(order, column, b->args->n_files);
    for (int i = 0; i < b->args->n_files; i++) {
        if (b->has_scores[order[i]]) {
            ranked[n++] = order[i];
        }
    }
    cli_text_print_ranking(stdout, b->args->texts[text], b->args, ranked, column, n);
}

static enum err print_rankings(struct batch *b)
{
    int *orders = NULL;
    float *column = NULL;
    size_t n = (size_t)b->args->n_files;
    if (b->images) {
        cli_json_images_print(stdout, b->images, b->args, &b->info, b->scores);
        return OK;
    }
    enum err rc = mem_array(&orders, 2 * n, sizeof(*orders));
    rc = rc ? rc : mem_array(&column, n, sizeof(*column));
    for (int t = 0; !rc && t < b->args->n_texts; t++) {
        print_ranking(b, t, orders, orders + n, column);
    }
    mem_free(orders);
    mem_free(column);
    return rc;
}

/* ---- all ---- */

/* Leaves the files that the output has already. */
static enum err leave_the_rest(struct batch *b)
{
    const struct cli_args *a = b->args;
    b->rest = *a;
    b->rest.n_files = 0;
    enum err rc = mem_array(&b->rest.files, (size_t)a->n_files, sizeof(*b->rest.files));
    for (int i = 0; !rc && i < a->n_files; i++) {
        if (!cli_output_has(b->output, a->files[i])) {
            b->rest.files[b->rest.n_files++] = a->files[i];
        }
    }
    b->args = rc ? a : &b->rest;
    return rc;
}

static enum err open_output(struct batch *b, struct errbuf *e)
{
    enum err rc = b->args->output ? cli_output_open(&b->output, b->args, &b->info, e) : OK;
    return !rc && b->args->resume ? leave_the_rest(b) : rc;
}

static enum err prepare(struct batch *b, struct errbuf *e)
{
    mailbox_init(&b->done);
    enum err rc = open_output(b, e);
    const struct cli_args *a = b->args;
    rc = rc ? rc : cli_source_open(&b->source, a, e);
    int n = a->jsonl || a->n_files > PLACES ? PLACES : a->n_files;
    for (int i = 0; !rc && i < n; i++) {
        rc = job_create(&b->places[i].job, b->engine);
        if (!rc) {
            b->places[i].batch = b;
            b->places[i].job->on_done = on_done;
        }
    }
    if (!rc && a->command == CLI_RETRIEVE && a->n_files > 1 && !a->output) {
        rc = mem_array(&b->scores, (size_t)a->n_files, (size_t)a->n_texts * sizeof(*b->scores));
        rc = rc ? rc : mem_array(&b->has_scores, (size_t)a->n_files, sizeof(*b->has_scores));
        rc = rc || !a->use_json ? rc : cli_json_images_create(&b->images, a->n_files);
    }
    return rc;
}

static void release(struct batch *b)
{
    for (int i = 0; i < PLACES; i++) {
        job_destroy(b->places[i].job);
    }
    mem_free(b->scores);
    mem_free(b->has_scores);
    cli_json_images_destroy(b->images);
    cli_source_close(b->source);
    mem_free(b->rest.files);
    mailbox_release(&b->done);
    mem_free(b);
}

static void run(struct batch *b)
{
    bool has_more = true;
    cli_progress_begin(&b->progress, !b->args->no_progress, cli_source_count(b->source), clock_us());
    while ((has_more || b->n > 0) && !ferror(stdout) && !(b->output && cli_output_has_failed(b->output))) {
        while (has_more && b->n < PLACES && (b->n == 0 || cli_source_is_ready(b->source)) &&
               (has_more = begin_one(b))) {
        }
        if (b->n > 0) {
            finish_one(b);
        }
    }
    give_up(b);
    cli_progress_clear(&b->progress);
}

/* Returns rc, or what went wrong with the file when all was well so far. */
static enum err close_output(struct batch *b, enum err rc, struct errbuf *e)
{
    struct errbuf why = {{0}};
    if (!b->output) {
        return rc;
    }
    enum err closed = cli_output_close(b->output, &why);
    if (rc || closed) {
        *e = rc ? *e : why;
        return rc ? rc : closed;
    }
    fprintf(stderr, "minivlm: %s: %d image%s written", b->args->output, b->n_printed, b->n_printed == 1 ? "" : "s");
    if (b->n_failed > 0) {
        fprintf(stderr, ", %d of them with an error; --resume tries those again", b->n_failed);
    }
    fputc('\n', stderr);
    return OK;
}

int cli_batch_run(struct engine *e, const struct cli_args *a)
{
    struct batch *b = NULL;
    struct errbuf error = {{0}};
    enum err rc = mem_alloc(&b, sizeof(*b));
    if (rc) {
        fprintf(stderr, "minivlm: %s\n", err_text(rc));
        return CLI_FAILED;
    }
    b->engine = e;
    b->args = a;
    b->has_terminal = !a->output && isatty(STDOUT_FILENO);
    engine_info(e, &b->info);
    rc = prepare(b, &error);
    if (!rc) {
        run(b);
        rc = b->scores && !ferror(stdout) ? print_rankings(b) : OK;
    }
    rc = close_output(b, rc, &error);
    if (rc) {
        fprintf(stderr, "minivlm: %s\n", errbuf_text(&error, rc));
    }
    bool has_failed = rc || b->n_failed > 0 || a->n_missing > 0;
    release(b);
    return has_failed ? CLI_FAILED : CLI_OK;
}
