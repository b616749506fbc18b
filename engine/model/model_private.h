/* model_private - the inside of a model, for the files of this folder only.
 *
 * Ownership, threads: as in model.h; all of it is immutable after model_open. */
#ifndef ENGINE_MODEL_MODEL_PRIVATE_H
#define ENGINE_MODEL_MODEL_PRIVATE_H

#include "engine/base/sha256.h"
#include "engine/model/fusion/caption.h"
#include "engine/model/load/bind.h"
#include "engine/model/load/labels.h"
#include "engine/model/model.h"

struct model {
    struct model_config config;
    const struct kernels *kernels; /* what the network calls */
    const struct kernels *whole;   /* the same, or what is below it if calls are split */
    struct kernels _split;
    enum model_precision precision;
    struct wordpiece *wordpiece;
    struct labels *labels;
    struct weights *weights;
    struct bind *bound;
    struct wordpiece_special special;
    struct caption_rules caption_rules;
    unsigned char *_is_forbidden; /* [vocab], of caption_rules */
    char sha256[65], identity[65];
    struct sha256 _identity; /* while it is opened */
};

#endif
