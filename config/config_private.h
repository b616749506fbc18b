/* config_private - the table of keys as data, shared by the parts of config. Threads: constants. */
#ifndef CONFIG_CONFIG_PRIVATE_H
#define CONFIG_CONFIG_PRIVATE_H

#include "config/config.h"

enum config_kind { INT, BYTES, BOOL, TEXT, CHOICE };
enum config_when { START, RELOAD };

struct config_key {
    const char *section, *name;
    enum config_kind kind;
    size_t at; /* in struct config */
    double default_number;
    const char *default_text;
    double min, max;
    const char *words;
    enum config_when when;
    const char *help;
};
extern const struct config_key config_keys[];
extern const int config_n_keys;

struct config_action_flag {
    const char *name;
    enum config_action action; /* CONFIG_MAKE_KEY: read_key_flag reads it */
    const char *help;
    const char *argument; /* as in struct usage_option */
};
extern const struct config_action_flag config_actions[];
extern const int config_n_actions;

const struct config_key *config_find(const char *section, const char *name);

static inline void *config_place(struct config *c, const struct config_key *k)
{
    return (char *)c + k->at;
}
static inline const void *config_value(const struct config *c, const struct config_key *k)
{
    return (const char *)c + k->at;
}

/* Sets a key from text. False, with a line in `faults` that begins with `where`. */
bool config_set_text(struct config *c, const struct config_key *k, const char *text, const char *where,
                     struct buf *faults);
/* Sets a key from a number. */
bool config_set_number(struct config *c, const struct config_key *k, double value, const char *where,
                       struct buf *faults);
void config_fault_unknown(const char *full_name, const char *where, struct buf *faults);
/* The values a key accepts, in words. */
void config_expected(const struct config_key *k, struct buf *out);

/* Reads JSON; faults are lines that begin with `where`. */
void config_read_text(struct config *c, const char *text, size_t n, const char *where, struct buf *faults);
/* The same from a file. */
void config_read_file(struct config *c, const char *path, struct buf *faults);

#endif
