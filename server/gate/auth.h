/* auth - API keys: who calls, what he may do and how much of it, and the name space of image ids that is his.
 *
 * The file holds one key a line; empty lines and those that begin with # are skipped:
 *
 *     NAME SHA256-OF-THE-KEY-IN-HEX [role=client,metrics,admin] [rate=5/s] [share=25%]
 *
 *     NAME   1 to 63 visible ASCII characters; it stands in log and metrics. Two keys may have one name (while a key is
 *            being replaced): limits and counts are the name's
 *     role   client: everything on the main port but /metrics (the default); metrics: /metrics; admin: all, also /admin
 *     rate   work requests, a number and /s, /min or /h; as many as a second (at least one) may come at once
 *     share  of limits.requests that may be under way at once, 1 to 100 %
 *
 * No key is kept in clear; comparing takes the same time wherever the first difference is.
 *
 * Ownership: auth_release frees. What is known of a name lives as long as a file or a request refers to it, so that a
 *            new file changes neither counts nor what is under way.
 * Threads: the loop thread. Errors: ERR_BAD_CONFIG with file and line. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "engine/base/buf.h"

#include <stdint.h>

enum auth_role { AUTH_CLIENT = 1, AUTH_METRICS = 2, AUTH_ADMIN = 4 };
enum { AUTH_NAME_MAX = 64, AUTH_KEY_MAX = 48 };

/* Of one name. */
struct auth_use {
    int n_refs, in_flight;
    uint64_t requests, rate_refused, share_refused;
    double tokens; /* requests that may come now */
    uint64_t filled_us;
};

struct auth_key {
    char name[AUTH_NAME_MAX];
    uint8_t digest[32];
    unsigned roles; /* of enum auth_role */
    double rate;    /* a second; 0: no limit */
    int share;      /* percent; 0: no limit */
    struct auth_use *use;
    struct auth_key *next; /* whose name falls into the same bucket */
};

enum { AUTH_BUCKETS = 1024 };
struct auth {
    struct auth_key *keys; /* NULL: nobody needs a key */
    int n_keys;
    struct auth_key **buckets;
};

/* path "": no keys are needed. before: what the file replaces, or NULL; names that it shares go on as they are. */
MUST_USE enum err auth_load(struct auth *a, const char *path, const struct auth *before, struct errbuf *e);
void auth_release(struct auth *a);
/* The key of an Authorization header ("Bearer ..."); NULL when it is missing or wrong. */
const struct auth_key *auth_check(const struct auth *a, const char *authorization);
/* "client", "metrics", "admin" or several with commas between. */
void auth_role_names(unsigned roles, char out[32]);

/* ---- limits ---- */

enum auth_verdict { AUTH_OK, AUTH_OVER_RATE, AUTH_OVER_SHARE };
/* One more request of this key, of `places` that there are for all. AUTH_OK: it is under way until auth_leave(k->use).
 * Else *after_us: when it is worth another try. */
enum auth_verdict auth_enter(const struct auth_key *k, uint64_t now_us, int places, uint64_t *after_us);
void auth_leave(struct auth_use *use); /* NULL is fine */

/* ---- making ---- */

/* A new key, and its line for the file. role, rate, share: as in the file, or "". ERR_BAD_CONFIG says what is wrong,
 * ERR_IO that the system has no random numbers. */
MUST_USE enum err auth_make(const char *name, const char *role, const char *rate, const char *share,
                            char key[AUTH_KEY_MAX], struct buf *line, struct errbuf *e);

#endif
