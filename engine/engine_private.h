/* engine_private - what the parts of the engine share: the model, the scheduler, the places of images.
 *
 * Ownership: engine_open makes everything, engine_close releases it in reverse order.
 * Threads:   immutable after engine_open but for `scheduler` (its lock) and the slots (whoever holds a flight). */
#ifndef ENGINE_ENGINE_PRIVATE_H
#define ENGINE_ENGINE_PRIVATE_H

#include "engine/base/pages.h"
#include "engine/image/preprocess.h"
#include "engine/scheduler.h"

struct decode_pool;
struct runner;

struct engine {
    struct engine_options options; /* with all defaults filled in; model_dir is not kept */
    struct model *model;
    const struct model_config *config;
    struct preprocess_params preprocess;
    int max_side;                  /* of a padded input */
    size_t slot_floats;            /* of an input slot */
    int max_tokens;                /* of a caption */
    int max_item_rows;             /* of any new item */
    struct pages slots;            /* float [input_slots, slot_floats] */
    struct caption_slot *captions; /* [max_captions] */
    struct feature_cache *cache;
    struct scheduler scheduler;
    struct decode_pool *decode_pool;
    struct runner **runners; /* [engine_threads] */
    size_t memory_bytes;
};

/* How a model is opened, and how its pictures are resized. */
struct model_options engine_model_options(const struct engine_options *o);
struct preprocess_params engine_preprocess_params(const struct model_config *c);

/* What is left of a picture that is decoded smaller (image_limits.min_side): twice the network's input, so that the
 * resize still has something to average; once is sharper than what the network was trained on (SPEED.md). */
static inline int engine_min_side(const struct engine_options *o, const struct preprocess_params *p)
{
    return o->fast_scaling ? 2 * p->size : 0;
}

static inline float *engine_slot(const struct engine *e, int slot)
{
    return (float *)e->slots.block + (size_t)slot * e->slot_floats;
}

#endif
