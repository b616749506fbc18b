/* self_test - runs every task twice on a synthetic picture, before a service starts serving.
 *
 * It warms up: the first caller does not pay for cold memory. It also tests machine and weights: scores must be finite,
 * identical the second time, and close to those that the reference recorded when the model was exported (selftest.json
 * of the model directory; without that file the model is only compared with itself).
 *
 * Threads: blocks; any thread, while nobody else uses the service. Errors: with a text that names the task;
 * ERR_CANCELLED when must_stop turns true; it is checked before every task. */
#ifndef SERVER_SELF_TEST_H
#define SERVER_SELF_TEST_H

#include "server/work/service.h"

#include <stdatomic.h>

MUST_USE enum err self_test_run(struct service *s, const char *model_dir, const atomic_bool *must_stop,
                                struct errbuf *e);

#endif
