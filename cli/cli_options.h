/* cli_options - commands and options of the program as tables, and what is printed from them.
 *
 * Threads: constants. */
#ifndef CLI_CLI_OPTIONS_H
#define CLI_CLI_OPTIONS_H

#include "cli/cli_args.h"

#include <stdio.h>

enum { CLI_OPTIONS_MAX = 64 };

/* Sets of commands. */
enum { CLI_FOR_IMAGES = 1 << CLI_CAPTION | 1 << CLI_VQA | 1 << CLI_RETRIEVE | 1 << CLI_REGIONS };
enum { CLI_FOR_WORDS = 1 << CLI_CAPTION | 1 << CLI_VQA | 1 << CLI_RETRIEVE };
enum { CLI_FOR_SERVER = 1 << CLI_IMPORT | 1 << CLI_SEARCH };
enum { CLI_FOR_ALL = (1 << CLI_COMMAND_COUNT) - 1, CLI_FOR_ENGINE = CLI_FOR_ALL & ~CLI_FOR_SERVER };

enum cli_option_id {
    OPT_HELP = 'h',
    OPT_MODEL = 'm',
    OPT_JSON = 256,
    OPT_THREADS,
    OPT_SPLIT,
    OPT_ISA,
    OPT_PRECISION,
    OPT_OPENBLAS,
    OPT_NO_VERIFY,
    OPT_JSONL,
    OPT_NO_FAST_SCALING,
    OPT_NO_PROGRESS,
    OPT_TRUNCATED,
    OPT_REGIONS,
    OPT_EXPLAIN,
    OPT_QUESTION,
    OPT_TEXT,
    OPT_TOP_K,
    OPT_BEAMS,
    OPT_CAPTIONS,
    OPT_TOKENS,
    OPT_PENALTY,
    OPT_DRAW,
    OPT_MIN_SCORE,
    OPT_ROUNDS,
    OPT_AT_ONCE,
    OPT_PLAN,
    OPT_STAGES,
    OPT_OUTPUT,
    OPT_RESUME,
    OPT_SIDECAR,
    OPT_SERVER,
    OPT_COLLECTION,
    OPT_PARALLEL,
};

struct cli_option {
    const char *name, *argument; /* argument NULL: none */
    enum cli_option_id id;
    int commands; /* bits */
    const char *help;
};
extern const struct cli_option cli_options[];
extern const int cli_options_n;

struct cli_command_text {
    const char *name, *arguments, *summary, *more;
};
extern const struct cli_command_text cli_options_commands[CLI_COMMAND_COUNT];

static inline bool cli_options_is_of(const struct cli_option *o, enum cli_command c)
{
    return o->commands >> c & 1;
}

/* Engine and server speak of parameters (max_tokens, tolerate_truncated=true); here they are options (--max-tokens,
 * --tolerate-truncated). Replaces the names in a message. */
void cli_options_rename(struct errbuf *message);

void cli_options_print_commands(FILE *to);       /* --help */
void cli_options_print_help(enum cli_command c); /* COMMAND --help */
/* A completion for the shell ("bash", "zsh"), or the manual page (NULL). False: unknown shell, or it cannot be
 * written. */
bool cli_options_print_usage(const char *shell);

#endif
