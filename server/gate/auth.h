/* auth - API keys: who calls, what they may do and how much of it, and their name space of image ids.
 *
 * The file holds one key per line; empty lines and those that begin with # are skipped:
 *
 *     NAME SHA256-OF-THE-KEY-IN-HEX [role=client,metrics,admin] [rate=5/s] [share=25%]
 *
 *     NAME   1 to 63 visible ASCII characters; shown in log and metrics. Two keys may share a name (while a key is
 *            being replaced): limits and counts belong to the name
 *     role   client: everything on the main port but /metrics (the default); metrics: /metrics; admin: all, also /admin
 *     rate   work requests, a number and /s, /min or /h; one second's worth (at least one) may arrive at once
 *     share  of limits.requests that may be in progress at once, 1 to 100 %
 *
 * No key is kept in plain text; comparisons take constant time, wherever the first difference is.
 *
 * Ownership: auth_release frees. The record of a name lives as long as a file or a request refers to it, so that a new
 *            file changes neither counts nor requests in progress.
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
    double tokens; /* requests that may arrive now */
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
    struct auth_key *keys; /* NULL: no keys are needed */
    int n_keys;
    struct auth_key **buckets;
};

/* path "": no keys are needed. before: what the file replaces, or NULL; the records of shared names are carried
 * over. */
MUST_USE enum err auth_load(struct auth *a, const char *path, const struct auth *before, struct errbuf *e);
void auth_release(struct auth *a);
/* The key of an Authorization header ("Bearer ..."); NULL when it is missing or wrong. */
const struct auth_key *auth_check(const struct auth *a, const char *authorization);
/* "client", "metrics", "admin", or several separated by commas. */
void auth_role_names(unsigned roles, char out[32]);

/* ---- limits ---- */

enum auth_verdict { AUTH_OK, AUTH_OVER_RATE, AUTH_OVER_SHARE };
/* Counts one more request of this key, out of `places` in total. AUTH_OK: it is in progress until auth_leave(k->use).
 * Otherwise *after_us: how long to wait before another try. */
enum auth_verdict auth_enter(const struct auth_key *k, uint64_t now_us, int places, uint64_t *after_us);
void auth_leave(struct auth_use *use); /* NULL is fine */

/* ---- making keys ---- */

/* Makes a new key, and its line for the file. role, rate, share: as in the file, or "". ERR_BAD_CONFIG says what is
 * wrong, ERR_IO: no random numbers from the system. */
MUST_USE enum err auth_make(const char *name, const char *role, const char *rate, const char *share,
                            char key[AUTH_KEY_MAX], struct buf *line, struct errbuf *e);

#endif
