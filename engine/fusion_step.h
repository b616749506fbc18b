/* fusion_step - one run of the fusion layers: which items could join, which do, the run itself, and where results go.
 *
 * A step belongs to one engine thread and is used again and again:
 *     gather    inside: all captions and items that could join now
 *     begin     inside: the policy's choice is taken; they belong to this thread until the end
 *     run       outside: the network, then answers, scores, finished captions, streamed words
 *     end       inside: items are returned to their jobs, captions go back in line
 * gather without begin is undone by fusion_step_drop.
 *
 * Ownership: owns its room, made once. Threads: one owner. */
#ifndef ENGINE_FUSION_STEP_H
#define ENGINE_FUSION_STEP_H

#include "engine/engine_private.h"

struct fusion_step;

MUST_USE enum err fusion_step_create(struct fusion_step **out, struct engine *e, int thread);
void fusion_step_destroy(struct fusion_step *f); /* NULL is fine */
size_t fusion_step_bytes(const struct engine *e);

/* Fills the fusion part of the view. */
void fusion_step_gather(struct fusion_step *f, struct batcher_view *v);
void fusion_step_drop(struct fusion_step *f);
/* n_helpers: see batcher_compose. */
void fusion_step_begin(struct fusion_step *f, int n_helpers, uint64_t now_us);
void fusion_step_run(struct fusion_step *f, struct session *session);
/* work_us: time that the step took, summed over all threads. */
void fusion_step_end(struct fusion_step *f, uint64_t work_us, uint64_t now_us, struct job_list *leaving);
int fusion_step_n_items(const struct fusion_step *f);

#endif
