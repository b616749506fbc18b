#include "engine/base/pages.c"

#include "tests/support/check.h"
#include "tests/support/torture.h"

#include <unistd.h>

static long resident_kb(void)
{
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_block(void)
{
    struct pages p;
    CHECK_INT(pages_init(&p, 3, 1000), OK);
    unsigned char *bytes = p.block;
    int sum = 0;
    for (int i = 0; i < 3000; i++) {
        sum += bytes[i];
        bytes[i] = 7;
    }
    CHECK_INT(sum, 0);
    CHECK_INT((uintptr_t)p.block % 64, 0);
    pages_release(&p);
    CHECK(p.block == NULL);
    pages_release(&p);
    CHECK_INT(pages_init(&p, 0, 8), OK);
    CHECK(p.block != NULL);
    pages_release(&p);
}

static void test_costs_nothing_untouched(void)
{
    struct pages p;
    long before = resident_kb();
    CHECK_INT(pages_init(&p, 256, 1 << 20), OK);
    CHECK(resident_kb() - before < 64 * 1024);
    memset(p.block, 1, 4096);
    CHECK(resident_kb() - before < 64 * 1024);
    pages_release(&p);
}

static void test_impossible_sizes(void)
{
    struct pages p;
    CHECK_INT(pages_init(&p, SIZE_MAX, 2), ERR_NOMEM);
    CHECK(p.block == NULL);
    CHECK_INT(pages_init(&p, SIZE_MAX / 4, 1), ERR_NOMEM);
    pages_release(&p);
}

static enum err work(void *arg)
{
    (void)arg;
    struct pages p;
    enum err rc = pages_init(&p, 10, 10);
    pages_release(&p);
    return rc;
}

int main(void)
{
    test_block();
    test_costs_nothing_untouched();
    test_impossible_sizes();
    CHECK_INT(torture(work, NULL), 1);
    return check_result();
}
