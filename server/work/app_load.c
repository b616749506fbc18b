/* Opening an engine takes long (reading, repacking, warming up): a thread of its own does it, the loop goes on. */
#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/app.h"
#include "server/collections/archive.h"
#include "server/watch/self_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct loader {
    pthread_t thread;
    struct engine_options options;
    char model_dir[CONFIG_TEXT_MAX];
    uint64_t memory_limit;
    struct loop *loop;
    struct service *service;
    enum err err;
    struct errbuf error;
    atomic_bool is_done;
};

/* ---- options ---- */

static enum engine_isa isa_of(const char *name)
{
    return strcmp(name, "ref") == 0      ? ENGINE_ISA_REF
           : strcmp(name, "avx2") == 0   ? ENGINE_ISA_AVX2
           : strcmp(name, "avx512") == 0 ? ENGINE_ISA_AVX512
                                         : ENGINE_ISA_AUTO;
}

void app_engine_options(const struct app *a, struct engine_options *o)
{
    const struct config *c = &a->config;
    engine_default_options(o);
    o->model_dir = c->model.dir;
    o->isa = isa_of(c->engine.isa);
    o->use_openblas = c->engine.openblas;
    o->verify_hash = c->model.verify;
    o->engine_threads = c->engine.threads ? (int)c->engine.threads : o->engine_threads;
    o->decode_threads = c->engine.decode_threads ? (int)c->engine.decode_threads : o->decode_threads;
    o->max_jobs = (int)c->limits.requests;
    o->max_texts = (int)c->limits.texts;
    o->max_text_bytes = c->limits.text_bytes;
    o->input_slots = 2 * o->engine_threads + o->decode_threads;
    o->max_captions = c->engine.max_captions ? (int)c->engine.max_captions : 8 + 4 * o->engine_threads;
    o->max_step_rows = (int)c->engine.max_step_rows;
    o->max_image_batch = (int)c->engine.max_image_batch;
    o->nice = (int)c->engine.nice;
    o->batch_wait_us = (uint64_t)c->engine.batch_wait_us;
    o->continuous = strcmp(c->engine.batching, "continuous") == 0;
    o->cache_bytes = c->cache.bytes;
    o->max_pixels = (uint64_t)c->limits.pixels;
    o->max_progressive_pixels = (uint64_t)c->limits.progressive_pixels;
    if (strcmp(c->engine.batching, "off") == 0) {
        o->max_captions = 1;
        o->continuous = false;
    }
}

/* ---- the thread ---- */

/* The worst that decoding can need: RGB of the largest image and a copy, for each worker. */
static uint64_t decode_bytes(const struct engine_options *o)
{
    return (uint64_t)o->decode_threads * o->max_pixels * 6;
}

static enum err check_memory(const struct loader *l, const struct service *s, struct errbuf *e)
{
    uint64_t planned = s->info.memory_bytes + l->options.cache_bytes;
    uint64_t most = l->memory_limit;
    if (most > 0 && planned > most) {
        return err_set(e, ERR_BAD_CONFIG,
                       "the plan needs %llu MB (engine %llu MB, feature cache %llu MB) and %llu MB are allowed: lower "
                       "cache.bytes, engine.threads or limits.requests, or raise limits.memory_bytes",
                       (unsigned long long)(planned >> 20), (unsigned long long)(s->info.memory_bytes >> 20),
                       (unsigned long long)(l->options.cache_bytes >> 20), (unsigned long long)(most >> 20));
    }
    if (most > 0 && planned + decode_bytes(&l->options) > most) {
        log_warn("memory is tight", LOG_UINT("planned_mb", planned >> 20),
                 LOG_UINT("largest_images_mb", decode_bytes(&l->options) >> 20), LOG_UINT("limit_mb", most >> 20));
    }
    return OK;
}

static void *load(void *user)
{
    struct loader *l = user;
    l->err = service_open(&l->service, &l->options, l->loop, &l->error);
    if (!l->err) {
        l->err = check_memory(l, l->service, &l->error);
        l->err = l->err ? l->err : self_test_run(l->service, l->model_dir, &l->error);
        if (l->err) {
            service_close(l->service);
            l->service = NULL;
        }
    }
    atomic_store(&l->is_done, true);
    loop_wake(l->loop);
    return NULL;
}

bool app_load_begin(struct app *a)
{
    struct loader *l;
    struct cpu_memory memory;
    if (a->loader || mem_alloc(&l, sizeof(*l))) {
        return false;
    }
    app_engine_options(a, &l->options);
    memcpy(l->model_dir, a->config.model.dir, sizeof(l->model_dir));
    l->options.model_dir = l->model_dir;
    cpu_memory("", &memory);
    l->memory_limit = a->config.limits.memory_bytes ? a->config.limits.memory_bytes : memory.limit_bytes;
    l->loop = a->loop;
    if (pthread_create(&l->thread, NULL, load, l)) {
        mem_free(l);
        return false;
    }
    a->loader = l;
    return true;
}

void app_load_join(struct app *a)
{
    if (a->loader) {
        pthread_join(a->loader->thread, NULL);
        service_close(a->loader->service);
        mem_free(a->loader);
        a->loader = NULL;
    }
}

/* ---- taking what was loaded ---- */

static void wake_loop(void *user)
{
    loop_wake(user);
}

/* False when the service cannot start for it. */
static bool open_archive(struct app *a)
{
    struct errbuf e;
    const struct archive_options options = {.path = a->config.collections.path, .wake = wake_loop, .user = a->loop};
    if (!a->config.collections.path[0] || a->archive) {
        return true;
    }
    errbuf_clear(&e);
    enum err rc = archive_open(&a->archive, &options, &e);
    if (rc) {
        log_error("cannot open the collections", LOG_STR("path", a->config.collections.path),
                  LOG_STR("reason", errbuf_text(&e, rc)));
        a->exit_code = 1;
        loop_stop(a->loop);
    }
    return rc == OK;
}

static void take(struct app *a, struct loader *l)
{
    const struct engine_info *i = &l->service->info;
    if (a->service) {
        a->service->next = a->retired;
        a->retired = a->service;
        a->reloads++;
    }
    a->service = l->service;
    l->service = NULL;
    if (!open_archive(a)) {
        return;
    }
    if (a->state == APP_LOADING) {
        a->state = APP_READY;
    }
    log_info("ready", LOG_STR("model", i->model_name), LOG_STR("model_version", i->model_version),
             LOG_STR("isa", i->isa), LOG_STR("gemm", i->gemm), LOG_INT("engine_threads", i->engine_threads),
             LOG_INT("decode_threads", i->decode_threads), LOG_UINT("memory_mb", i->memory_bytes >> 20),
             LOG_UINT("start_ms", (clock_us() - a->started_us) / 1000));
}

void app_load_reap(struct app *a)
{
    struct loader *l = a->loader;
    if (!l || !atomic_load(&l->is_done)) {
        return;
    }
    if (l->err) {
        log_error("model not loaded", LOG_STR("model_dir", l->model_dir), LOG_STR("code", err_slug(l->err)),
                  LOG_STR("reason", errbuf_text(&l->error, l->err)));
        if (!a->service) {
            a->exit_code = 1;
            loop_stop(a->loop);
        }
    } else {
        take(a, l);
    }
    app_load_join(a);
}
