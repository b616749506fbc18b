/* sections - the configuration as structs: c->server.port, c->limits.body_bytes, ... made from keys.h.
 *
 * Included by config.h alone. Threads: plain data. */
#ifndef CONFIG_SECTIONS_H
#define CONFIG_SECTIONS_H

#include "config/keys.h"

#include <stdbool.h>
#include <stdint.h>

enum { CONFIG_TEXT_MAX = 1024 };

#define CONFIG_FIELD_INT(name)                                                   long long name;
#define CONFIG_FIELD_BYTES(name)                                                 uint64_t name;
#define CONFIG_FIELD_BOOL(name)                                                  bool name;
#define CONFIG_FIELD_TEXT(name)                                                  char name[CONFIG_TEXT_MAX];
#define CONFIG_FIELD_CHOICE(name)                                                char name[CONFIG_TEXT_MAX];
#define CONFIG_FIELD(section, name, kind, default_, min, max, words, when, help) CONFIG_FIELD_##kind(name)
#define CONFIG_SECTION(section, help)                                                                                  \
    struct {                                                                                                           \
        CONFIG_KEYS_##section(CONFIG_FIELD)                                                                            \
    } section;

struct config {
    CONFIG_SECTIONS(CONFIG_SECTION)
};

#endif
