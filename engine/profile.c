#include "engine/profile.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/engine_private.h"
#include "engine/kernels/trace.h"

#include <string.h>

enum stage { PICTURE, REGIONS, QUESTION, CAPTION, WORDS, STAGES };
static const char *const stage_names[STAGES] = {"picture", "regions", "question", "caption", "words"};

/* What a run works with. */
struct bench {
    const struct profile_request *request;
    struct trace *trace;
    struct crew *crew; /* of a plan; nobody is in it */
    struct model *model;
    const struct model_config *config;
    struct session *session;
    struct image_decoder *decoder;
    struct preprocess_params params;
    struct preprocessor *preprocessor;
    struct features *features;
    struct caption_state *caption;
    float *pixels, *answers;
    int max_side;
    int *tokens;
    int n_tokens, words;
    uint64_t decode_ns, resize_ns, stage_ns[STAGES];
};

/* ---- what there must be ---- */

static enum err open_rooms(struct bench *b)
{
    const struct model_config *c = b->config;
    int shorter, max_words = c->text.caption_length - 1;
    model_config_max_input(c, &shorter, &b->max_side);
    struct session_limits limits = {.max_input_width = b->max_side,
                                    .max_input_height = b->max_side,
                                    .max_rows = model_config_max_context(c) + c->text.text_length + 2};
    b->params = engine_preprocess_params(c);
    enum err rc = session_create(&b->session, b->model, &limits);
    rc = rc ? rc : image_decoder_create(&b->decoder);
    rc = rc ? rc : preprocessor_create(&b->preprocessor, &b->params);
    rc = rc ? rc : mem_alloc(&b->features, features_bytes(c));
    rc = rc ? rc
            : caption_state_create(&b->caption, b->model, 1,
                                   max_words < MODEL_MAX_TOKENS ? max_words : MODEL_MAX_TOKENS);
    rc = rc ? rc : mem_array(&b->pixels, 3 * (size_t)b->max_side * (size_t)b->max_side, sizeof(float));
    rc = rc ? rc : mem_array(&b->answers, (size_t)c->vqa.answers, sizeof(float));
    rc = rc ? rc : mem_array(&b->tokens, (size_t)c->text.text_length, sizeof(int));
    if (!rc) {
        const char *question = b->request->question;
        int n = wordpiece_encode(model_wordpiece(b->model), question, strlen(question), b->tokens, c->text.text_length);
        b->n_tokens = n < c->text.text_length ? n : c->text.text_length;
    }
    return rc;
}

static enum err open_bench(struct bench *b, struct errbuf *e)
{
    const struct engine_options *o = b->request->engine;
    struct model_options options = engine_model_options(o);
    enum err rc = trace_create(&b->trace, !b->request->is_plan);
    if (rc) {
        return rc;
    }
    trace_enter(b->trace); /* opening a model widens numbers with kernels too */
    trace_stage("open");
    options.trace = b->trace;
    options.is_split = options.is_split && b->request->is_plan;
    rc = model_open(&b->model, o->model_dir, &options, e);
    rc = rc || !options.is_split ? rc : crew_create(&b->crew, 1);
    if (!rc) {
        b->config = model_config(b->model);
        rc = open_rooms(b);
    }
    trace_leave();
    return rc;
}

static void close_bench(struct bench *b)
{
    crew_destroy(b->crew);
    mem_free(b->tokens);
    mem_free(b->answers);
    mem_free(b->pixels);
    caption_state_destroy(b->caption);
    mem_free(b->features);
    preprocessor_destroy(b->preprocessor);
    image_decoder_destroy(b->decoder);
    session_destroy(b->session);
    model_close(b->model);
    trace_destroy(b->trace);
}

/* ---- stages ---- */

static enum err decode(struct bench *b, const struct profile_picture *p, struct tee_input *in, struct errbuf *e)
{
    const struct engine_options *o = b->request->engine;
    struct image_limits limits = {.max_pixels = o->max_pixels,
                                  .max_progressive_pixels = o->max_progressive_pixels,
                                  .min_side = engine_min_side(o, &b->params)};
    struct image image;
    struct preprocess_shape shape;
    uint64_t from_ns = clock_ns();
    enum err rc = image_decode(b->decoder, p->bytes, p->n_bytes, &limits, &image, e);
    uint64_t decoded_ns = clock_ns();
    if (rc) {
        struct errbuf why = *e;
        return err_set(e, rc, "%s: %.300s", p->name, errbuf_text(&why, rc));
    }
    preprocess_shape(&b->params, image.info.width, image.info.height, &shape);
    if (shape.padded_width > b->max_side || shape.padded_height > b->max_side) {
        return err_set(e, ERR_IMAGE_TOO_LARGE,
                       "%s is too narrow for its length: %d x %d pixels; take a wider part of it", p->name,
                       image.info.width, image.info.height);
    }
    rc = preprocessor_run(b->preprocessor, &image, &shape, b->pixels);
    b->decode_ns += decoded_ns - from_ns;
    b->resize_ns += clock_ns() - decoded_ns;
    *in = (struct tee_input){b->pixels,           shape.padded_width,   shape.padded_height,
                             shape.resized_width, shape.resized_height, image.info.width,
                             image.info.height};
    return rc;
}

/* Noise, so that there is something to propose everywhere. */
static void make_up(struct bench *b, struct tee_input *in)
{
    struct preprocess_shape shape;
    int height = b->params.size, width = b->params.mode == RESIZE_SHORT_SIDE ? height * 4 / 3 : height;
    preprocess_shape(&b->params, width, height, &shape);
    uint32_t state = 1;
    for (size_t i = 0; i < 3 * (size_t)shape.padded_width * (size_t)shape.padded_height; i++) {
        state = state * 1664525U + 1013904223U;
        b->pixels[i] = (float)(int32_t)state / 1073741824.0F;
    }
    *in = (struct tee_input){
        b->pixels, shape.padded_width, shape.padded_height, shape.resized_width, shape.resized_height, width, height};
}

static enum err step(struct bench *b, enum stage stage, struct fusion_item *item)
{
    enum err rc = OK;
    uint64_t from_ns = clock_ns();
    trace_stage(stage_names[stage]);
    session_fusion_step(b->session, item, 1, &rc);
    b->stage_ns[stage] += clock_ns() - from_ns;
    return rc;
}

static enum err caption(struct bench *b)
{
    struct caption_params params = {.num_beams = 1,
                                    .num_captions = 1,
                                    .max_tokens = b->config->caption.max_tokens,
                                    .length_penalty = b->config->caption.length_penalty};
    struct fusion_item item = {.kind = FUSION_CAPTION, .features = b->features, .caption = b->caption};
    caption_state_reset(b->caption, &params);
    enum err rc = step(b, CAPTION, &item);
    while (!rc && !caption_state_is_done(b->caption) && !(b->request->is_plan && b->words > 0)) {
        rc = step(b, WORDS, &item);
        b->words++;
    }
    return rc;
}

static enum err run_picture(struct bench *b, const struct profile_picture *picture, struct errbuf *e)
{
    struct tee_input in;
    enum err rc = OK;
    if (picture) {
        rc = decode(b, picture, &in, e);
    } else {
        make_up(b, &in);
    }
    if (rc) {
        return rc;
    }
    uint64_t from_ns = clock_ns();
    trace_stage(stage_names[REGIONS]);
    features_init(b->features, b->config);
    rc = session_regions(b->session, &in, b->features);
    b->stage_ns[REGIONS] += clock_ns() - from_ns;
    struct fusion_item question = {
        .kind = FUSION_VQA, .features = b->features, .tokens = b->tokens, .n_tokens = b->n_tokens, .out = b->answers};
    rc = rc ? rc : step(b, QUESTION, &question);
    return rc ? rc : caption(b);
}

static enum err run_rounds(struct bench *b, struct errbuf *e)
{
    const struct profile_request *r = b->request;
    enum err rc = OK;
    if (r->is_plan) {
        const struct engine_options *o = r->engine;
        if (b->crew) {
            crew_pretend(b->crew, 0, (o->split_threads < o->engine_threads ? o->split_threads : o->engine_threads) - 1);
            model_enter(b->model, b->crew, 0);
        }
        rc = run_picture(b, NULL, e);
        model_enter(b->model, NULL, 0);
        return rc;
    }
    for (int round = -1; !rc && round < r->rounds; round++) { /* the first one warms up */
        for (int i = 0; !rc && i < r->n_pictures; i++) {
            rc = run_picture(b, &r->pictures[i], e);
        }
        if (round < 0) {
            trace_forget(b->trace);
            b->decode_ns = b->resize_ns = 0;
            b->words = 0;
            memset(b->stage_ns, 0, sizeof(b->stage_ns));
        }
    }
    return rc;
}

/* ---- rows ---- */

static double measure_peak(uint64_t (*multiply_add)(uint64_t rounds))
{
    enum { RUNS = 40, ROUNDS = 20000 };
    double best = 0.0;
    for (int i = 0; i < RUNS; i++) {
        uint64_t from_ns = clock_ns(), operations = multiply_add(ROUNDS), ns = clock_ns() - from_ns;
        double rate = (double)operations / (double)(ns ? ns : 1);
        best = rate > best ? rate : best;
    }
    return best;
}

static struct profile_peaks measure_peaks(const struct kernels *k)
{
    return (struct profile_peaks){{[TRACE_FLOATS] = measure_peak(k->multiply_add),
                                   [TRACE_BYTES] = measure_peak(k->multiply_add8),
                                   [TRACE_WORDS] = measure_peak(k->multiply_add16)}};
}

double profile_peak_ms(const struct profile_peaks *p, enum trace_unit unit, uint64_t operations)
{
    return p->of[unit] > 0.0 ? (double)operations / (p->of[unit] * 1e6) : 0.0;
}

struct profile_row profile_sum(const struct profile_row *rows, int n)
{
    struct profile_row sum = rows[0];
    for (int i = 1; i < n; i++) {
        sum.ms += rows[i].ms;
        sum.peak_ms += rows[i].peak_ms;
        sum.calls += rows[i].calls;
        sum.operations += rows[i].operations;
        sum.bytes += rows[i].bytes;
    }
    return sum;
}

double profile_share(const struct profile_row *r)
{
    return r->ms > 0.0 ? 100.0 * r->peak_ms / r->ms : 0.0;
}

static void put_time(struct profile *p, const char *stage, const char *name, uint64_t ns)
{
    p->rows[p->n_rows++] = (struct profile_row){
        .stage = stage, .step = name, .kernel = "", .act = "", .format = "", .calls = 1, .ms = (double)ns * 1e-6};
}

/* The rows of a stage and what is left of its time. */
static void put_stage(struct profile *p, const struct bench *b, enum stage stage, const struct trace_row *rows, int n)
{
    uint64_t in_kernels = 0;
    for (int i = 0; i < n; i++) {
        const struct trace_row *r = &rows[i];
        if (strcmp(r->stage, stage_names[stage]) == 0) {
            p->rows[p->n_rows++] = (struct profile_row){.stage = stage_names[stage],
                                                        .step = r->step,
                                                        .kernel = r->kernel,
                                                        .act = trace_act_name(r->act),
                                                        .format = r->format,
                                                        .turn = r->turn,
                                                        .m = r->m,
                                                        .n = r->n,
                                                        .k = r->k,
                                                        .calls = r->calls,
                                                        .operations = r->operations,
                                                        .bytes = r->bytes,
                                                        .cuts = r->cuts,
                                                        .peak_ms = profile_peak_ms(&p->peaks, r->unit, r->operations),
                                                        .ms = (double)r->ns * 1e-6};
            in_kernels += r->ns;
        }
    }
    if (!b->request->is_plan && b->stage_ns[stage] > 0) {
        put_time(p, stage_names[stage], "rest", clock_since(b->stage_ns[stage], in_kernels));
    }
}

static enum err collect(struct profile *p, const struct bench *b)
{
    const struct trace_row *rows;
    int n;
    enum err rc = trace_rows(b->trace, &rows, &n);
    rc = rc ? rc : mem_array(&p->rows, (size_t)n + STAGES + 2, sizeof(*p->rows));
    if (rc) {
        return rc;
    }
    if (!b->request->is_plan) {
        put_time(p, stage_names[PICTURE], "decode", b->decode_ns);
        put_time(p, stage_names[PICTURE], "resize", b->resize_ns);
        p->peaks = measure_peaks(model_kernels(b->model));
    }
    for (int s = REGIONS; s < STAGES; s++) {
        put_stage(p, b, (enum stage)s, rows, n);
    }
    p->n_runs = b->request->is_plan ? 1 : b->request->rounds * b->request->n_pictures;
    p->words = b->words;
    p->isa = isa_name(model_kernels(b->model)->isa);
    p->gemm = gemm_backend_name(model_kernels(b->model)->gemm_backend);
    return OK;
}

enum err profile_run(struct profile *out, const struct profile_request *request, struct errbuf *e)
{
    struct bench b = {.request = request};
    *out = (struct profile){0};
    errbuf_clear(e);
    enum err rc = open_bench(&b, e);
    if (!rc) {
        trace_enter(b.trace);
        rc = run_rounds(&b, e);
        trace_leave();
    }
    rc = rc ? rc : collect(out, &b);
    close_bench(&b);
    return rc;
}

void profile_release(struct profile *p)
{
    mem_free(p->rows);
    p->rows = NULL;
    p->n_rows = 0;
}
