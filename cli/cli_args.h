/* cli_args - the command line, parsed and checked.
 *
 * Ownership: texts and files point into argv or own_files, their arrays belong to the args. Threads: one owner. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "engine/base/err.h"
#include "engine/engine.h"

enum { CLI_MAX_AT_ONCE = 64 };

enum cli_command {
    CLI_CAPTION,
    CLI_VQA,
    CLI_RETRIEVE,
    CLI_REGIONS,
    CLI_INSPECT,
    CLI_BENCH,
    CLI_IMPORT,
    CLI_SEARCH,
    CLI_COMMAND_COUNT,
};

struct cli_args {
    enum cli_command command;
    /* all commands */
    const char *model_dir;
    bool use_json;
    int threads; /* 0: one per CPU */
    int split;   /* threads that share a step; 0: not given */
    int isa_cap, precision;
    bool use_openblas;
    bool no_verify;
    /* what works on images */
    const char **files; /* [n_files]; "-" is standard input */
    int n_files;
    int *key_at;      /* [n_files]: where the path relative to a named folder, or the file name, begins */
    char **own_files; /* [n_own_files]: the files found in named folders */
    size_t n_own_files;
    int n_missing;      /* names that were left out: there is nothing of that name */
    const char *output; /* NULL, or a file that ends in .jsonl or .csv */
    bool resume;
    bool with_sidecar;
    /* collections of a server */
    const char *server; /* NULL: not given */
    const char *collection;
    int parallel;      /* pictures in flight at once */
    const char *jsonl; /* NULL, a file or "-" */
    bool no_progress;
    bool no_fast_scaling;
    bool tolerate_truncated;
    bool with_regions;
    bool explain;
    const char **texts; /* [n_texts]: --question, --text */
    int n_texts;
    int top_k, num_beams, num_captions, max_tokens;
    float length_penalty;
    float min_score; /* of regions; negative: not given */
    const char *draw;
    int rounds, at_once;
    bool with_plan;   /* inspect: show the execution plan instead of the model */
    bool with_stages; /* bench: kernel by kernel */
};

enum cli_args_result { CLI_ARGS_RUN, CLI_ARGS_HELP, CLI_ARGS_WRONG };
/* HELP: help was printed. WRONG: an error was printed. */
enum cli_args_result cli_args_parse(struct cli_args *a, int argc, char **argv);
void cli_args_release(struct cli_args *a);
bool cli_args_wants_csv(const struct cli_args *a); /* with output */

#endif
