/* /proc/self/cgroup says in which control groups this process is. In cgroup v2 there is one ("0::/a/b"); its files and
 * those of every group above it count, because a limit on /a also binds /a/b. In v1 each controller has a tree of its
 * own ("4:cpu,cpuacct:/a/b"). Inside a container the path may be that of the host and not exist here: then only the
 * group that is mounted as the top can be read, which is the container's own. So every group on the way is tried and
 * what cannot be read is no limit. */
#include "engine/base/cpu.h"

#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILE_BYTES = 16384, MAX_CPUS = 1 << 16 };
#define NO_LIMIT UINT64_MAX

/* Reads a small file as text; false if it cannot be read. */
static bool read_text(const char *path, char text[FILE_BYTES])
{
    size_t n = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    while (n < FILE_BYTES - 1 && ((got = read(fd, text + n, FILE_BYTES - 1 - n)) > 0 || (got < 0 && errno == EINTR))) {
        n += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    text[n] = '\0';
    return got >= 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A number, or NO_LIMIT for "max", "-1" and everything else. */
static uint64_t parse_limit(const char *text, const char **end)
{
    char *after;
    if (*text < '0' || *text > '9') {
        *end = text;
        return NO_LIMIT;
    }
    uint64_t value = strtoull(text, &after, 10); /* NO_LIMIT when out of range */
    *end = after;
    return value;
}

/* The number after `key` at the beginning of a line of a "key value" file. */
static uint64_t find_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0) {
            return parse_limit(line + n + strspn(line + n, " \t:"), &line);
        }
    }
    return NO_LIMIT;
}

/* ---- the groups of this process ---- */

/* A folder whose files are read, cut back to the folder above it step by step. */
struct group {
    char path[PATH_BYTES];
    size_t n_top; /* length of the part that is never cut */
};

static bool list_has(const char *list, size_t n_list, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= n_list; i++) {
        bool begins = i == 0 || list[i - 1] == ',', ends = i + n == n_list || list[i + n] == ',';
        if (begins && ends && strncmp(list + i, word, n) == 0) {
            return true;
        }
    }
    return false;
}

/* The group of a v1 controller, or of v2 when controller is "". */
static bool find_group(const char *root, const char *controller, struct group *g)
{
    char path[PATH_BYTES], text[FILE_BYTES];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!read_text(path, text)) {
        return false;
    }
    for (char *line = text, *next; *line; line = next) {
        next = strchrnul(line, '\n');
        if (*next) {
            *next++ = '\0';
        }
        char *list = strchr(line, ':'), *place = list ? strchr(list + 1, ':') : NULL;
        if (!place) {
            continue;
        }
        size_t n_list = (size_t)(place - list - 1);
        bool is_v2 = n_list == 0;
        if (*controller ? !list_has(list + 1, n_list, controller) : !is_v2) {
            continue;
        }
        int n_top = snprintf(g->path, sizeof(g->path), "%s/sys/fs/cgroup%s%s", root, is_v2 ? "" : "/", controller);
        if (n_top < 0 || (size_t)n_top + strlen(place + 1) + 64 > sizeof(g->path)) {
            return false;
        }
        g->n_top = (size_t)n_top;
        memcpy(g->path + n_top, place + 1, strlen(place + 1) + 1);
        return true;
    }
    return false;
}

static bool read_in_group(const struct group *g, const char *file, char text[FILE_BYTES])
{
    char path[PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", g->path, file);
    return read_text(path, text);
}

/* Goes to the group above; false when there is none. */
static bool go_up(struct group *g)
{
    char *slash = strrchr(g->path, '/');
    if (strlen(g->path) <= g->n_top || !slash) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* ---- CPUs ---- */

/* CPUs that a quota of microseconds in each period comes to, a part counted as one. */
static uint64_t cpus_of(uint64_t quota, uint64_t period)
{
    if (quota == NO_LIMIT || period == NO_LIMIT || period == 0) {
        return NO_LIMIT;
    }
    return quota / period + (quota % period != 0);
}

static uint64_t quota_cpus(const char *root)
{
    struct group g;
    char text[FILE_BYTES];
    uint64_t cpus = NO_LIMIT;
    const char *rest;
    if (find_group(root, "", &g)) {
        do {
            if (read_in_group(&g, "cpu.max", text)) { /* "150000 100000" or "max 100000" */
                uint64_t quota = parse_limit(text, &rest);
                cpus = smaller(cpus, cpus_of(quota, parse_limit(rest + strspn(rest, " "), &rest)));
            }
        } while (go_up(&g));
    }
    if (find_group(root, "cpu", &g)) {
        do {
            if (read_in_group(&g, "cpu.cfs_quota_us", text)) { /* -1: none */
                uint64_t quota = parse_limit(text, &rest);
                uint64_t period = read_in_group(&g, "cpu.cfs_period_us", text) ? parse_limit(text, &rest) : NO_LIMIT;
                cpus = smaller(cpus, cpus_of(quota, period));
            }
        } while (go_up(&g));
    }
    return cpus;
}

/* CPUs in the affinity mask; the kernel's mask may be wider than the fixed cpu_set_t. */
static uint64_t affinity_cpus(void)
{
    uint64_t found = NO_LIMIT;
    for (int n = CPU_SETSIZE; n <= MAX_CPUS && found == NO_LIMIT; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set) {
            break;
        }
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)n), set) == 0) {
            found = (uint64_t)CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)n), set);
        }
        CPU_FREE(set);
    }
    return found;
}

static int usable(uint64_t affinity, uint64_t quota)
{
    uint64_t cpus = smaller(affinity, quota);
    if (cpus == NO_LIMIT || cpus == 0) {
        return 1;
    }
    return (int)smaller(cpus, MAX_CPUS);
}

int cpu_usable(const char *root)
{
    return usable(affinity_cpus(), quota_cpus(root));
}

/* ---- memory ---- */

static const struct memory_files {
    const char *controller, *limit, *used, *cache_key; /* file caches are given back before anything fails */
} memory_files[] = {{"", "memory.max", "memory.current", "inactive_file"},
                    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}};

/* Narrows limit and available by one group. */
static void apply_group(const struct group *g, const struct memory_files *f, uint64_t *limit, uint64_t *available)
{
    char text[FILE_BYTES];
    const char *rest;
    uint64_t max = read_in_group(g, f->limit, text) ? parse_limit(text, &rest) : NO_LIMIT;
    if (max == NO_LIMIT) {
        return;
    }
    uint64_t used = read_in_group(g, f->used, text) ? parse_limit(text, &rest) : 0;
    uint64_t cache = read_in_group(g, "memory.stat", text) ? find_value(text, f->cache_key) : 0;
    used = used == NO_LIMIT ? 0 : used;
    used -= cache == NO_LIMIT ? 0 : smaller(cache, used);
    *limit = smaller(*limit, max);
    *available = smaller(*available, max - smaller(used, max));
}

static uint64_t kilobytes(const char *text, const char *key)
{
    uint64_t value = find_value(text, key);
    return value > NO_LIMIT / 1024 ? NO_LIMIT : value * 1024;
}

void cpu_memory(const char *root, struct cpu_memory *out)
{
    char path[PATH_BYTES], text[FILE_BYTES];
    uint64_t limit = NO_LIMIT, available = NO_LIMIT;
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    if (read_text(path, text)) {
        limit = kilobytes(text, "MemTotal:");
        available = kilobytes(text, "MemAvailable:");
    }
    for (size_t i = 0; i < sizeof(memory_files) / sizeof(memory_files[0]); i++) {
        struct group g;
        if (find_group(root, memory_files[i].controller, &g)) {
            do {
                apply_group(&g, &memory_files[i], &limit, &available);
            } while (go_up(&g));
        }
    }
    available = smaller(available, limit);
    out->limit_bytes = limit == NO_LIMIT ? 0 : limit;
    out->available_bytes = available == NO_LIMIT ? 0 : available;
}
