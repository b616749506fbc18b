#include "server/gate/auth.h"

#include "engine/base/hash.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "server/gate/auth_file.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* ---- names ---- */

static struct auth_key **bucket_of(const struct auth *a, const char *name)
{
    return &a->buckets[hash_text(name) % AUTH_BUCKETS];
}

static struct auth_use *find_use(const struct auth *a, const char *name)
{
    struct auth_key *k = a && a->keys ? *bucket_of(a, name) : NULL;
    while (k && strcmp(k->name, name) != 0) {
        k = k->next;
    }
    return k ? k->use : NULL;
}

static void drop(struct auth_use *use)
{
    if (use && --use->n_refs == 0) {
        mem_free(use);
    }
}

/* Ties each key to its name's use. */
static enum err index_names(struct auth *a, const struct auth *before)
{
    for (int i = 0; i < a->n_keys; i++) {
        struct auth_key *k = &a->keys[i], **bucket = bucket_of(a, k->name);
        struct auth_use *use = find_use(a, k->name);
        use = use ? use : find_use(before, k->name);
        if (!use && mem_alloc(&use, sizeof(*use))) {
            return ERR_NOMEM;
        }
        use->n_refs++;
        k->use = use;
        k->next = *bucket;
        *bucket = k;
    }
    return OK;
}

/* ---- life ---- */

enum err auth_load(struct auth *a, const char *path, const struct auth *before, struct errbuf *e)
{
    *a = (struct auth){.n_keys = 0};
    if (!path[0]) {
        return OK;
    }
    enum err rc = auth_file_read(path, &a->keys, &a->n_keys, e);
    if (!rc) {
        rc = mem_array(&a->buckets, AUTH_BUCKETS, sizeof(struct auth_key *));
        rc = rc ? rc : index_names(a, before);
        rc = rc ? err_set(e, rc, "out of memory") : OK;
    }
    if (rc) {
        auth_release(a);
    }
    return rc;
}

void auth_release(struct auth *a)
{
    for (int i = 0; i < a->n_keys; i++) {
        drop(a->keys[i].use);
    }
    mem_free(a->keys);
    mem_free(a->buckets);
    *a = (struct auth){.n_keys = 0};
}

const struct auth_key *auth_check(const struct auth *a, const char *authorization)
{
    uint8_t digest[SHA256_BYTES];
    const struct auth_key *found = NULL;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) {
        return NULL;
    }
    const char *key = authorization + 7 + strspn(authorization + 7, " ");
    sha256(key, strlen(key), digest);
    for (int i = 0; i < a->n_keys; i++) {
        if (sha256_equal(digest, a->keys[i].digest)) {
            found = &a->keys[i];
        }
    }
    return found;
}

/* ---- limits ---- */

static double burst_of(const struct auth_key *k)
{
    return k->rate > 1 ? k->rate : 1;
}

static bool has_token(const struct auth_key *k, uint64_t now_us, uint64_t *after_us)
{
    struct auth_use *u = k->use;
    double max = burst_of(k);
    if (k->rate <= 0) {
        return true;
    }
    u->tokens = u->filled_us ? u->tokens + (double)(now_us - u->filled_us) * 1e-6 * k->rate : max;
    u->tokens = u->tokens < max ? u->tokens : max;
    u->filled_us = now_us;
    *after_us = u->tokens >= 1 ? 0 : (uint64_t)((1 - u->tokens) / k->rate * 1e6) + 1;
    return u->tokens >= 1;
}

enum auth_verdict auth_enter(const struct auth_key *k, uint64_t now_us, int places, uint64_t *after_us)
{
    struct auth_use *u = k->use;
    int max = k->share > 0 ? (places * k->share + 99) / 100 : places;
    *after_us = 0;
    if (!has_token(k, now_us, after_us)) {
        u->rate_refused++;
        return AUTH_OVER_RATE;
    }
    if (k->share > 0 && u->in_flight >= max) {
        u->share_refused++;
        *after_us = 1000000;
        return AUTH_OVER_SHARE;
    }
    u->tokens -= k->rate > 0;
    u->in_flight++;
    u->n_refs++;
    return AUTH_OK;
}

void auth_leave(struct auth_use *use)
{
    if (use) {
        use->in_flight--;
        drop(use);
    }
}

/* ---- making ---- */

static bool fill_random(uint8_t *out, size_t n)
{
    while (n > 0) {
        ssize_t more = getrandom(out, n, 0);
        if (more < 0 && errno != EINTR) {
            return false;
        }
        out += more > 0 ? more : 0;
        n -= more > 0 ? (size_t)more : 0;
    }
    return true;
}

enum err auth_make(const char *name, const char *role, const char *rate, const char *share, char key[AUTH_KEY_MAX],
                   struct buf *line, struct errbuf *e)
{
    uint8_t random[32], digest[SHA256_BYTES];
    char hex[SHA256_HEX], problem[160];
    struct auth_key parsed;
    if (!fill_random(random, sizeof(random))) {
        return err_set(e, ERR_IO, "the system has no random numbers to give: %s", strerrordesc_np(errno));
    }
    memcpy(key, "mvk_", 4);
    for (int i = 0; i < 43; i++) { /* six bits a letter, the last one four */
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        unsigned bit = (unsigned)i * 6, byte = bit / 8;
        unsigned pair = (unsigned)random[byte] << 8 | (byte + 1 < sizeof(random) ? random[byte + 1] : 0u);
        key[4 + i] = letters[pair >> (10 - bit % 8) & 63];
    }
    key[47] = '\0';
    sha256(key, strlen(key), digest);
    sha256_hex(digest, hex);
    buf_printf(line, "%s %s", name, hex);
    const char *const options[][2] = {{"role", role}, {"rate", rate}, {"share", share}};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i][1][0]) {
            buf_printf(line, " %s=%s", options[i][0], options[i][1]);
        }
    }
    if (line->err || !auth_file_line(line->bytes, &parsed, problem, sizeof(problem)) || name[0] == '#' ||
        strcmp(parsed.name, name) != 0) {
        return err_set(
            e, ERR_BAD_CONFIG, "%s",
            strcmp(parsed.name, name) != 0 || name[0] == '#'
                ? "the name must be 1 to 63 letters, digits or other visible ASCII characters, and not begin with #"
                : problem);
    }
    return OK;
}
