/* auth - API keys: who calls, and the name space of image ids that is his.
 *
 * The file holds one key a line, NAME and the SHA-256 of the key in hex; empty lines and those that begin with # are
 * skipped. No key is kept in clear; comparing takes the same time wherever the first difference is.
 *
 * Ownership: auth_release frees. Threads: the loop thread. Errors: ERR_BAD_CONFIG with file and line. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "engine/base/err.h"

#include <stdint.h>

struct auth_key {
    char name[64];
    uint8_t digest[32];
};

struct auth {
    struct auth_key *keys; /* NULL: nobody needs a key */
    int n_keys;
};

/* path "": no keys are needed. */
MUST_USE enum err auth_load(struct auth *a, const char *path, struct errbuf *e);
void auth_release(struct auth *a);
/* The key of an Authorization header ("Bearer ..."); NULL when it is missing or wrong. */
const struct auth_key *auth_check(const struct auth *a, const char *authorization);

#endif
