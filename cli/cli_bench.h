/* cli_bench - how long every part takes on this machine, and how much memory it needs.
 *
 * One thread, one request at a time: decode, regions, vqa, retrieve, caption greedy and with beams. Then throughput of
 * captions with one and with all engine threads, many requests at once. Then resident memory.
 * Threads: one owner. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/cli_args.h"

/* options: as for the other commands; threads and cache are set here. */
int cli_bench_run(const struct engine_options *options, const struct cli_args *a);

#endif
