/* Any bytes as a file of keys: refused with file and line, or keys whose names and limits are what they may be. Then
 * the same file replaces itself, while a request of each key is under way. */
#include "engine/base/mem.h"
#include "server/gate/auth.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLACES = 7 };

static void check(const struct auth *a)
{
    for (int i = 0; i < a->n_keys; i++) {
        const struct auth_key *k = &a->keys[i];
        size_t n = strlen(k->name);
        BUG_ON(n < 1 || n >= AUTH_NAME_MAX || !k->use || k->use->n_refs < 1);
        BUG_ON(!k->roles || k->roles > (AUTH_CLIENT | AUTH_METRICS | AUTH_ADMIN));
        BUG_ON(!(k->rate >= 0 && k->rate <= 1e6) || k->share < 0 || k->share > 100);
        for (size_t j = 0; j < n; j++) {
            BUG_ON(k->name[j] <= ' ' || k->name[j] > '~');
        }
    }
}

static void use(const char *path, struct auth *a)
{
    struct auth next;
    struct auth_use **under_way = NULL;
    uint64_t after_us;
    check(a);
    BUG_ON(auth_check(a, "Bearer no such key"));
    BUG_ON(mem_array(&under_way, (size_t)a->n_keys + 1, sizeof(struct auth_use *)));
    for (int i = 0; i < a->n_keys; i++) {
        const struct auth_key *k = &a->keys[i];
        enum auth_verdict v = auth_enter(k, 1000, PLACES, &after_us);
        BUG_ON(v != AUTH_OK && after_us == 0);
        under_way[i] = v == AUTH_OK ? k->use : NULL;
    }
    BUG_ON(auth_load(&next, path, a, NULL) || next.n_keys != a->n_keys);
    for (int i = 0; i < a->n_keys; i++) {
        BUG_ON(next.keys[i].use != a->keys[i].use);
    }
    int n = a->n_keys;
    auth_release(a);
    for (int i = 0; i < n; i++) {
        auth_leave(under_way[i]);
    }
    check(&next);
    auth_release(&next);
    mem_free(under_way);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    struct auth a;
    struct errbuf e;
    size_t before = mem_live_bytes();
    if (fd < 0) {
        fd = memfd_create("keys", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    BUG_ON(fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size);
    errbuf_clear(&e);
    if (auth_load(&a, path, NULL, &e)) {
        BUG_ON(!strstr(e.text, path) || a.keys);
    } else {
        use(path, &a);
    }
    BUG_ON(mem_live_bytes() != before);
    return 0;
}
