/* usage - a manual page and completions for bash and zsh, made from the tables that make --help.
 *
 * Ownership: borrows the tables, appends to a buf. Threads: pure. Errors: in the buf. */
#ifndef ENGINE_BASE_USAGE_H
#define ENGINE_BASE_USAGE_H

#include "engine/base/buf.h"

struct usage_option {
    const char *name;     /* without -- */
    const char *argument; /* NULL: none; "FILE" and "DIR" are paths, small letters the words it accepts: "a|b" */
    const char *help;
    const char *group; /* the heading to list it under, or NULL; options of one group are adjacent */
    unsigned commands; /* bit n: command n accepts it; 0: the program without a command */
    bool repeats;      /* may be given more than once */
    const char *value; /* the default, or NULL */
};

struct usage_command {
    const char *name, *arguments, *summary;
    bool has_files; /* among its arguments */
};

struct usage {
    const char *program, *summary, *arguments, *description;
    int section;                          /* of the manual */
    const struct usage_command *commands; /* [n_commands] */
    int n_commands;
    const struct usage_option *options; /* [n_options] */
    int n_options;
};

void usage_man(const struct usage *u, struct buf *out);
/* shell: "bash" or "zsh"; false: another one. */
bool usage_completion(const struct usage *u, const char *shell, struct buf *out);

#endif
