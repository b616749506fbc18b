/* runner - one engine thread with its own session: it repeatedly runs the step that the policy chooses.
 *
 * Threads: open and close belong to the engine's owner. */
#ifndef ENGINE_RUNNER_H
#define ENGINE_RUNNER_H

#include "engine/engine.h"

struct runner;

MUST_USE enum err runner_open(struct runner **out, struct engine *e, int index);
void runner_close(struct runner *r);         /* NULL is fine; the scheduler is stopping */
size_t runner_bytes(const struct runner *r); /* its session and steps */

#endif
