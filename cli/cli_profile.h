/* cli_profile - `minivlm inspect --plan` and `minivlm bench --stages`: what runs, and where time goes.
 *
 *     plan      stage, turn, step, kernel, format, shape (m x n x k, the activation), calls, kB, million operations
 *     stages    stage, step, kernel, ms and share of the whole per picture, calls, GFLOP/s and their share of the
 *               measured peak, GB/s
 *
 * Threads: one owner. */
#ifndef CLI_CLI_PROFILE_H
#define CLI_CLI_PROFILE_H

#include "cli/cli_input.h"
#include "engine/profile.h"

/* images: [n_images], read; a plan takes none. Returns the exit code. */
int cli_profile_run(const struct engine_options *options, const struct cli_args *a, const struct cli_input *images,
                    int n_images);

#endif
