/* session - the workspace of one thread: one arena that TEE and fusion use in turn.
 *
 * The public half is in model.h; this part is for tests of the stages.
 * Ownership: owns arena and plan. Threads: one owner. */
#ifndef ENGINE_MODEL_SESSION_H
#define ENGINE_MODEL_SESSION_H

#include "engine/model/fusion/fusion.h"
#include "engine/model/tee/tee.h"

struct session {
    const struct model *model;
    struct session_limits limits;
    struct tee tee;
    struct fusion fusion;
    float *arena;
    size_t arena_bytes;
};

#endif
