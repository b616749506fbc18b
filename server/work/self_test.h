/* self_test - every task twice on a made-up picture, before a service serves.
 *
 * It warms up: the first caller does not pay for cold memory. And it is a test of machine and weights: scores must be
 * numbers, the same ones the second time, and near those that the reference wrote down when the model was exported
 * (selftest.json of the model directory; a model without that file is only held against itself).
 *
 * Threads: blocks; any thread, while nobody else uses the service. Errors: with a text that names the task;
 * ERR_CANCELLED when must_stop turns true, which is looked at before every task. */
#ifndef SERVER_SELF_TEST_H
#define SERVER_SELF_TEST_H

#include "server/work/service.h"

#include <stdatomic.h>

MUST_USE enum err self_test_run(struct service *s, const char *model_dir, const atomic_bool *must_stop,
                                struct errbuf *e);

#endif
