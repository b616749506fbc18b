/* config - the settings, read from defaults, a JSON file, the environment and flags, in this order.
 *
 *     file         {"server": {"port": 9000}}          --config FILE, or MINIVLM_CONFIG
 *     environment  MINIVLM_SERVER_PORT=9000            upper case, one underscore between section and name
 *     flag         --server.port=9000  or  --server.port 9000; --engine.openblas alone means true
 *
 * keys.h is the only list. All faults are reported, not just the first, each with its location (file:line:column where
 * the parser knows it, variable or flag), the key, what was expected and what was found; unknown keys are faults, with
 * the nearest known key as a hint. An unknown MINIVLM_ variable is a fault too, except MINIVLM_CONFIG, MINIVLM_MODEL
 * and those that begin with MINIVLM_TEST_, MINIVLM_BUILD_ or MINIVLM_GOLDEN_.
 *
 * Ownership: struct config is plain data; copy it at will. Threads: no state.
 * Errors:    ERR_BAD_CONFIG with all faults in a buf, one per line; ERR_NOMEM. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "config/sections.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stdint.h>

enum config_action {
    CONFIG_RUN,
    CONFIG_HELP,
    CONFIG_VERSION,
    CONFIG_PRINT,
    CONFIG_CHECK,
    CONFIG_SCHEMA,
    CONFIG_REFERENCE,
    CONFIG_API,
    CONFIG_MAN,
    CONFIG_BASH,
    CONFIG_ZSH,
    CONFIG_HEALTHCHECK,
    CONFIG_MAKE_KEY
};

struct config_request {
    enum config_action action;
    char file[CONFIG_TEXT_MAX]; /* the JSON file that was read; empty: none */
    struct {
        const char *name, *role, *rate, *share; /* of argv; "" where not given */
    } key;                                      /* of CONFIG_MAKE_KEY */
};

void config_defaults(struct config *c);
/* Reads everything. argv[1..] may hold key flags, --config FILE and one of the actions that --help
 * lists. environ: NULL-terminated NAME=VALUE list. */
MUST_USE enum err config_load(struct config *c, struct config_request *request, int argc, char **argv, char **environ,
                              struct buf *faults);
/* For SIGHUP: a copy of `now` with the reloadable keys of `fresh`; names of START keys that differ go to `ignored`,
 * separated by spaces. */
void config_merge_reload(struct config *now, const struct config *fresh, struct buf *ignored);

void config_print_help(struct buf *out);                         /* --help */
void config_print_json(const struct config *c, struct buf *out); /* --print-config, a file for --config */
void config_print_schema(struct buf *out);                       /* JSON Schema 2020-12 */
void config_print_reference(struct buf *out);                    /* docs/configuration.md */
void config_print_man(struct buf *out);                          /* --print-man */
void config_print_bash(struct buf *out);                         /* --print-completion=bash */
void config_print_zsh(struct buf *out);

#endif
