#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/mem.h"
#include "engine/decode_pool.h"
#include "engine/engine_private.h"
#include "engine/figures.h"
#include "engine/image/sniff.h"
#include "engine/model/tee/regions.h"
#include "engine/runner.h"

#include <string.h>

/* New items of a step beside the captions under way: bounds the room for their answers. */
enum { MAX_NEW_ITEMS = 64 };

_Static_assert((int)ENGINE_MAX_SPLIT <= (int)CREW_MAX, "a crew is smaller");

/* ---- options ---- */

void engine_default_options(struct engine_options *o)
{
    int cpus = cpu_usable("");
    int decoders = cpus / 4 > 0 ? cpus / 4 : 1;
    *o = (struct engine_options){
        .isa_cap = ENGINE_ISA_AUTO,
        .engine_threads = cpus,
        .decode_threads = decoders,
        .split_threads = 4,
        .max_jobs = 256,
        .max_texts = 128,
        .max_text_bytes = 4096,
        .input_slots = 2 * cpus + decoders,
        .max_captions = 8 + 4 * cpus,
        .max_step_rows = 256,
        .max_image_batch = 1,
        .batch_wait_us = 2000,
        .continuous = true,
        .cache_bytes = (size_t)256 << 20,
        .max_pixels = image_default_limits.max_pixels,
        .max_progressive_pixels = image_default_limits.max_progressive_pixels,
        .fast_scaling = true,
    };
}

static enum err check_options(struct engine_options *o, struct errbuf *e)
{
    const struct {
        const char *name;
        int value, max;
    } limits[] = {
        {"engine_threads", o->engine_threads, 1024},
        {"decode_threads", o->decode_threads, 1024},
        {"split_threads", o->split_threads, ENGINE_MAX_SPLIT},
        {"max_jobs", o->max_jobs, 1 << 20},
        {"max_texts", o->max_texts, 1 << 20},
        {"input_slots", o->input_slots, 1 << 16},
        {"max_captions", o->max_captions, 1 << 16},
        {"max_step_rows", o->max_step_rows, 1 << 16},
        {"max_image_batch", o->max_image_batch, 1 << 16},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        int min = i < 2 ? 0 : 1; /* 0 threads: one per CPU */
        if (limits[i].value < min || limits[i].value > limits[i].max) {
            return err_set(e, ERR_BAD_CONFIG, "%s is %d; allowed are %d to %d", limits[i].name, limits[i].value, min,
                           limits[i].max);
        }
    }
    struct engine_options defaults;
    engine_default_options(&defaults);
    o->engine_threads = o->engine_threads ? o->engine_threads : defaults.engine_threads;
    o->decode_threads = o->decode_threads ? o->decode_threads : defaults.decode_threads;
    return OK;
}

/* ---- what the model asks for ---- */

struct preprocess_params engine_preprocess_params(const struct model_config *c)
{
    struct preprocess_params p = {.mode = c->image.resize == MODEL_RESIZE_SQUARE ? RESIZE_SQUARE : RESIZE_SHORT_SIDE,
                                  .size = c->image.size,
                                  .max_size = c->image.max_size,
                                  .divisor = c->image.divisor};
    memcpy(p.mean, c->image.mean, sizeof(p.mean));
    memcpy(p.std, c->image.std, sizeof(p.std));
    return p;
}

/* How pictures are resized, and how large the network's input can become. */
static void plan_input(struct engine *e)
{
    const struct model_config *c = e->config;
    e->preprocess = engine_preprocess_params(c);
    int shorter;
    model_config_max_input(c, &shorter, &e->max_side);
    e->slot_floats = (size_t)e->max_side * (size_t)shorter * 3;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

static struct batcher_limits plan_steps(struct engine *e)
{
    const struct engine_options *o = &e->options;
    const struct model_config *c = e->config;
    int beside = model_config_max_context(c);
    e->max_tokens = c->text.caption_length - 1 < JOB_MAX_TOKENS ? c->text.caption_length - 1 : JOB_MAX_TOKENS;
    e->max_item_rows = max(beside + max(c->text.text_length, 2), 2 * JOB_MAX_CAPTIONS);
    struct batcher_limits l = {.max_rows = max(o->max_step_rows, 2 * e->max_item_rows),
                               .max_images = o->max_image_batch,
                               .image_wait_us = o->batch_wait_us,
                               .is_continuous = o->continuous};
    l.max_items = o->max_captions + MAX_NEW_ITEMS;
    return l;
}

/* ---- life cycle ---- */

struct model_options engine_model_options(const struct engine_options *o)
{
    return (struct model_options){.isa_cap = o->isa_cap < 0 ? ISA_COUNT - 1 : (enum isa)o->isa_cap,
                                  .gemm_backend = o->use_openblas ? GEMM_OPENBLAS : GEMM_NATIVE,
                                  .precision = (enum model_precision)o->precision,
                                  .is_split = o->split_threads > 1 && o->engine_threads > 1,
                                  .verify_hash = o->verify_hash};
}

static enum err open_model(struct engine *e, const char *dir, struct errbuf *why)
{
    struct model_options o = engine_model_options(&e->options);
    enum err rc = model_open(&e->model, dir, &o, why);
    if (!rc) {
        e->config = model_config(e->model);
    }
    return rc;
}

/* Most captions are asked for as the model's defaults have it; every sixth place, and at least one, is made for the
 * most beams and tokens there may be. */
static enum err make_captions(struct engine *e)
{
    int n = e->options.max_captions;
    enum err rc = mem_array(&e->captions, (size_t)n, sizeof(*e->captions));
    for (int i = 0; !rc && i < n; i++) {
        struct caption_slot *slot = &e->captions[i];
        slot->is_large = i % 6 == 0;
        slot->max_beams = slot->is_large ? JOB_MAX_CAPTIONS : e->config->caption.num_beams;
        slot->max_tokens = slot->is_large ? e->max_tokens : e->config->caption.max_tokens;
        rc = caption_state_create(&slot->state, e->model, slot->max_beams, slot->max_tokens);
        scheduler_return_slot(&e->scheduler, slot);
        e->memory_bytes += caption_state_bytes(e->model, slot->max_beams, slot->max_tokens);
    }
    return rc;
}

void engine_limit(struct engine *e, size_t cache_bytes, size_t decode_bytes)
{
    scheduler_enter(&e->scheduler);
    feature_cache_limit(e->cache, cache_bytes);
    e->scheduler.decode_budget = decode_bytes > 0 ? decode_bytes : SIZE_MAX;
    scheduler_leave(&e->scheduler);
}

static enum err make_rooms(struct engine *e)
{
    const struct engine_options *o = &e->options;
    struct scheduler_limits limits = {.batcher = plan_steps(e),
                                      .max_jobs = o->max_jobs,
                                      .n_slots = o->input_slots,
                                      .n_engine_threads = o->engine_threads,
                                      .n_decode_threads = o->decode_threads,
                                      .split_threads = o->split_threads,
                                      .decode_bytes = o->decode_bytes};
    size_t slot_bytes = e->slot_floats * sizeof(float);
    enum err rc = feature_cache_create(&e->cache, o->cache_bytes, features_bytes(e->config));
    rc = rc ? rc : scheduler_init(&e->scheduler, &limits, e->cache);
    rc = rc ? rc : pages_init(&e->slots, (size_t)o->input_slots, slot_bytes);
    e->memory_bytes =
        model_memory_bytes(e->model) + (size_t)o->input_slots * slot_bytes + (size_t)o->max_jobs * job_bytes(e);
    return rc ? rc : make_captions(e);
}

static enum err start_threads(struct engine *e)
{
    const struct engine_options *o = &e->options;
    enum err rc = mem_array(&e->runners, (size_t)o->engine_threads, sizeof(struct runner *));
    for (int i = 0; !rc && i < o->engine_threads; i++) {
        rc = runner_open(&e->runners[i], e, i);
        e->memory_bytes += rc ? 0 : runner_bytes(e->runners[i]);
    }
    return rc ? rc : decode_pool_open(&e->decode_pool, e, o->decode_threads);
}

enum err engine_open(struct engine **out, const struct engine_options *options, struct errbuf *why)
{
    struct engine *e = NULL;
    *out = NULL;
    if (why) {
        errbuf_clear(why);
    }
    enum err rc = mem_alloc(&e, sizeof(*e));
    if (rc) {
        return rc;
    }
    mem_tune();
    e->options = *options;
    e->options.model_dir = NULL; /* borrowed for this call only */
    rc = check_options(&e->options, why);
    rc = rc ? rc : open_model(e, options->model_dir, why);
    if (!rc) {
        plan_input(e);
        rc = make_rooms(e);
    }
    rc = rc ? rc : start_threads(e);
    if (rc) {
        engine_close(e);
        return rc;
    }
    *out = e;
    return OK;
}

static void stop_threads(struct engine *e)
{
    scheduler_stop(&e->scheduler);
    decode_pool_close(e->decode_pool);
    for (int i = 0; e->runners && i < e->options.engine_threads; i++) {
        runner_close(e->runners[i]);
    }
    mem_free(e->runners);
}

void engine_close(struct engine *e)
{
    if (!e) {
        return;
    }
    stop_threads(e);
    scheduler_release(&e->scheduler);
    for (int i = 0; e->captions && i < e->options.max_captions; i++) {
        caption_state_destroy(e->captions[i].state);
    }
    mem_free(e->captions);
    pages_release(&e->slots);
    feature_cache_destroy(e->cache);
    model_close(e->model);
    mem_free(e);
}

/* ---- jobs ---- */

enum err engine_submit(struct engine *e, struct job *job, struct errbuf *why)
{
    struct scheduler *s = &e->scheduler;
    enum err rc = job_check(job, why);
    if (rc) {
        return rc;
    }
    scheduler_enter(s);
    rc = scheduler_submit(s, job->_private, clock_us(), why);
    scheduler_leave(s);
    return rc;
}

void engine_drain(struct engine *e, uint64_t timeout_us)
{
    uint64_t now_us = clock_us();
    scheduler_drain(&e->scheduler, timeout_us < UINT64_MAX - now_us ? now_us + timeout_us : UINT64_MAX);
}

/* ---- questions ---- */

bool engine_find_isa(const char *name, int *out)
{
    *out = ENGINE_ISA_AUTO;
    bool is_known = strcmp(name, "auto") == 0;
    for (int i = 0; i < ISA_COUNT && !is_known; i++) {
        if (strcmp(name, isa_name((enum isa)i)) == 0) {
            *out = i;
            is_known = true;
        }
    }
    return is_known;
}

bool engine_find_precision(const char *name, int *out)
{
    static const char *const names[MODEL_PRECISION_COUNT] = {
        [MODEL_PRECISION_AUTO] = "auto", [MODEL_PRECISION_FP32] = "fp32", [MODEL_PRECISION_INT8] = "int8"};
    for (int i = 0; i < MODEL_PRECISION_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

void engine_info(const struct engine *e, struct engine_info *out)
{
    const struct model_config *c = e->config;
    const struct kernels *k = model_kernels(e->model);
    *out = (struct engine_info){
        .model_name = c->name,
        .model_version = c->version,
        .model_sha256 = model_sha256(e->model),
        .model_identity = model_identity(e->model),
        .isa = isa_name(k->isa),
        .precision = model_precision(e->model),
        .gemm = gemm_backend_name(k->gemm_backend),
        .engine_threads = e->options.engine_threads,
        .decode_threads = e->options.decode_threads,
        .split_threads = e->scheduler.crew ? e->options.split_threads : 1,
        .parameters = model_parameters(e->model),
        .features_bytes = features_bytes(c),
        .memory_bytes = e->memory_bytes,
        .max_regions = c->roi.max_regions,
        .n_answers = c->vqa.answers,
        .cells = model_config_max_cells(c),
        .cell_channels = c->context.channels,
        .own_blocks = c->context.own_blocks,
        .pool = c->context.pool,
        .regions_seen = model_config_max_seen(c),
        .decoder = model_config_decoder_name(c->caption.decoder),
        .num_beams = c->caption.num_beams,
        .max_tokens = c->caption.max_tokens,
        .longest_caption = e->max_tokens,
        .length_penalty = c->caption.length_penalty,
    };
}

void engine_leave_out(const struct engine *e, const struct features *from, int index, struct features *out)
{
    regions_leave_out(e->model, from, index, out);
}

uint64_t engine_pixels(const uint8_t *image, size_t n_bytes)
{
    return sniff_pixels(image, n_bytes);
}

bool engine_cache_has(struct engine *e, const struct image_id *id)
{
    scheduler_enter(&e->scheduler);
    bool has = feature_cache_has(e->cache, id);
    scheduler_leave(&e->scheduler);
    return has;
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
    scheduler_enter(&e->scheduler);
    figures_stats(&e->scheduler, clock_us(), out);
    scheduler_leave(&e->scheduler);
}
