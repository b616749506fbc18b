/* torture - make every allocation of a piece of work fail once: the 1st, the 2nd, ... until the work succeeds.
 *
 * After each failure the answer must be ERR_NOMEM and nothing may be left allocated. Counted are the allocations of
 * engine/base/mem, not those of libraries. Include check.h first. */
#ifndef TESTS_SUPPORT_TORTURE_H
#define TESTS_SUPPORT_TORTURE_H

#include "engine/base/mem.h"

/* `work` releases all it made. Returns how many allocations were made to fail. */
static long torture(enum err (*work)(void *arg), void *arg)
{
    for (long n = 1;; n++) {
        size_t before = mem_live_bytes();
        mem_fail_after(n);
        enum err rc = work(arg);
        mem_fail_after(0);
        CHECK_INT(mem_live_bytes(), before);
        if (rc == OK || n == 100000) {
            CHECK_INT(rc, OK);
            return n - 1;
        }
        CHECK_INT(rc, ERR_NOMEM);
    }
}

#endif
