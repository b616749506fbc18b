/* cpu - how many CPUs and how much memory this process may really use.
 *
 * A container sees all CPUs and all memory of the host; its limits are set in the control group (cgroup v2 or v1) and
 * in any visible group above it. CPUs: the smaller of the affinity mask and the quotas, rounded up to whole CPUs.
 * Memory: the smallest of the machine's and the groups' limits. A missing or odd file means "no limit": these are hints
 * for defaults, never errors.
 *
 * root: "" for this machine; tests pass a folder with proc/ and sys/ in it.
 * Threads: thread-safe. Reads small files: call at start, not per request. */
#ifndef ENGINE_BASE_CPU_H
#define ENGINE_BASE_CPU_H

#include <stdint.h>

int cpu_usable(const char *root); /* >= 1 */

struct cpu_memory {
    uint64_t limit_bytes;     /* the most this process can ever have; 0: unknown */
    uint64_t available_bytes; /* of that not in use now (file caches count as free); 0: unknown */
};
void cpu_memory(const char *root, struct cpu_memory *out);

#endif
