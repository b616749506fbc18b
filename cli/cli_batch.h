/* cli_batch - runs all inputs of the command line through the engine, several at once, and prints them in order.
 *
 * Threads: one owner; the engine's threads only report completion. */
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include "cli/cli_args.h"

/* CLI_OK, or CLI_FAILED when any input failed. */
int cli_batch_run(struct engine *e, const struct cli_args *a);

#endif
