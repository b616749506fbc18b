/* occlusion - explain="occlusion": how much each region of a picture matters to an answer, measured by leaving it out.
 *
 * When the ordinary answer of a request with one image is ready, the request is repeated once per region, without that
 * region: a second round of the same work, whose jobs batch like any others. A region's weight is the score with all
 * regions minus the score without it: of the answer (vqa), of the match of sentence and picture (retrieve), of the
 * match of the caption and the picture (caption). It costs as many fusion runs as there are regions.
 *
 * Ownership: w->state; the features are copied, so that the first job's slot is free meanwhile.
 * Threads:   the loop thread. */
#ifndef SERVER_API_OCCLUSION_H
#define SERVER_API_OCCLUSION_H

#include "server/work/work.h"

/* Call from the item callback of the ordinary answer: keeps what is needed later. False: out of memory. */
MUST_USE bool occlusion_keep(struct work *w, const struct job *job);
/* Call at the end of the round instead of answering: takes `object` and, when all results are in, sends it with
 * "explain" added to `place` (a part of it, borrowed). */
void occlusion_begin(struct work *w, json_t *object, json_t *place);
void occlusion_release(struct work *w); /* also fine when there was none */

#endif
