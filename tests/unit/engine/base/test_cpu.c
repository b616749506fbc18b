/* Made-up machines: folders with the files of /proc and /sys/fs/cgroup. */
#include "engine/base/cpu.c"

#include "tests/support/check.h"

#include <ftw.h>
#include <sys/stat.h>

static char folder[] = "/tmp/test_cpu_XXXXXX";
static char root[128];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

/* Writes root/path, making its folders. */
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    CHECK(f && fputs(text, f) >= 0);
    if (f) {
        fclose(f);
    }
}

/* A new machine: no files yet. */
static void machine(const char *name)
{
    snprintf(root, sizeof(root), "%s/%s", folder, name);
    mkdir(root, 0700);
}

static void test_v2(void)
{
    machine("v2");
    put("/proc/self/cgroup", "0::/a/b\n");
    CHECK(quota_cpus(root) == NO_LIMIT);
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK(quota_cpus(root) == NO_LIMIT);
    put("/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    CHECK_INT(quota_cpus(root), 3); /* a part counts as one */
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    CHECK_INT(quota_cpus(root), 2); /* the group above binds too */
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    CHECK_INT(quota_cpus(root), 1); /* and the top */
    put("/sys/fs/cgroup/a/cpu.max", "nonsense\n");
    put("/sys/fs/cgroup/cpu.max", "100000 0\n");
    CHECK_INT(quota_cpus(root), 3);
}

/* In a container the path may be the host's: only the top is there. */
static void test_v2_in_a_container(void)
{
    machine("container");
    put("/proc/self/cgroup", "0::/kubepods/burstable/pod1/x\n");
    put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/memory.current", "500000000\n");
    put("/sys/fs/cgroup/memory.stat", "anon 1\nfile 2\ninactive_file 100000000\nactive_file 7\n");
    put("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  5 kB\nMemAvailable:   12000000 kB\n");
    struct cpu_memory m;
    cpu_memory(root, &m);
    CHECK_INT(quota_cpus(root), 4);
    CHECK_INT(m.limit_bytes, 1073741824);
    CHECK_INT(m.available_bytes, 1073741824 - 400000000);
    put("/sys/fs/cgroup/memory.current", "2000000000\n"); /* over the limit: nothing is left */
    cpu_memory(root, &m);
    CHECK_INT(m.available_bytes, 0);
    put("/sys/fs/cgroup/memory.max", "max\n");
    cpu_memory(root, &m);
    CHECK_INT(m.limit_bytes, 16000000LL * 1024);
    CHECK_INT(m.available_bytes, 12000000LL * 1024);
}

static void test_v1(void)
{
    machine("v1");
    put("/proc/self/cgroup", "12:memory:/docker/x\n5:cpuset:/\n4:cpuacct,cpu:/docker/x\n1:name=systemd:/docker/x\n");
    put("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    CHECK(quota_cpus(root) == NO_LIMIT);
    put("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "600000\n");
    CHECK_INT(quota_cpus(root), 6);
    put("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "300000\n");
    put("/sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "100000\n");
    put("/sys/fs/cgroup/memory/docker/x/memory.stat", "inactive_file 5\ntotal_inactive_file 50000\n");
    struct cpu_memory m;
    cpu_memory(root, &m);
    CHECK_INT(m.limit_bytes, 300000);
    CHECK_INT(m.available_bytes, 250000);
}

static void test_nothing_there(void)
{
    machine("bare");
    struct cpu_memory m;
    cpu_memory(root, &m);
    CHECK_INT(m.limit_bytes, 0);
    CHECK_INT(m.available_bytes, 0);
    CHECK(cpu_usable(root) >= 1);
    put("/proc/self/cgroup", "0::\nnot a line\n::\n0:\n");
    put("/proc/meminfo", "MemTotal: lots\n");
    CHECK(quota_cpus(root) == NO_LIMIT);
    cpu_memory(root, &m);
    CHECK_INT(m.limit_bytes, 0);
}

static void test_usable(void)
{
    CHECK_INT(usable(8, NO_LIMIT), 8);
    CHECK_INT(usable(8, 3), 3);
    CHECK_INT(usable(2, 3), 2);
    CHECK_INT(usable(NO_LIMIT, NO_LIMIT), 1);
    CHECK_INT(usable(4, 0), 1);
    CHECK_INT(cpus_of(1, 100000), 1);
    CHECK_INT(cpus_of(100000, 100000), 1);
    CHECK_INT(cpus_of(100001, 100000), 2);
}

/* The machine that runs the test: the answers make sense and follow the affinity mask. */
static void test_here(void)
{
    cpu_set_t one, all;
    struct cpu_memory m;
    cpu_memory("", &m);
    CHECK(m.limit_bytes > 1 << 20);
    CHECK(m.available_bytes <= m.limit_bytes);
    CHECK(cpu_usable("") >= 1);
    CHECK_INT(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    }
    CHECK_INT(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_INT(cpu_usable(""), 1);
    CHECK_INT(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void test_list(void)
{
    CHECK(list_has("cpu,cpuacct", 11, "cpu"));
    CHECK(list_has("cpu,cpuacct", 11, "cpuacct"));
    CHECK(!list_has("cpuacct,cpuset", 14, "cpu"));
    CHECK(!list_has("", 0, "cpu"));
}

int main(void)
{
    if (!mkdtemp(folder)) {
        return 1;
    }
    test_v2();
    test_v2_in_a_container();
    test_v1();
    test_nothing_there();
    test_usable();
    test_here();
    test_list();
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return check_result();
}
