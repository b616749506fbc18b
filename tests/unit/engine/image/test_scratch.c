#include "engine/image/scratch.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

int main(void)
{
    struct scratch s = {NULL, 0};
    size_t live = mem_live_bytes();
    CHECK_INT(scratch_reserve(&s, 100, 3), OK);
    uint8_t *first = s.bytes;
    CHECK(first != NULL);
    CHECK_INT(scratch_reserve(&s, 300, 1), OK);
    CHECK_INT(scratch_reserve(&s, 1, 1), OK);
    CHECK(s.bytes == first); /* neither smaller nor equal needs moves it */
    CHECK_INT(scratch_reserve(&s, 5000, 1), OK);
    CHECK(mem_live_bytes() - live < 2 * 5000); /* the old block is gone */
    memset(s.bytes, 1, 5000);
    CHECK_INT(scratch_reserve(&s, SIZE_MAX / 2, 3), ERR_NOMEM); /* the product overflows: the block stays */
    CHECK(s.bytes != NULL);
    mem_fail_after(1);
    CHECK_INT(scratch_reserve(&s, 9000, 1), ERR_NOMEM);
    CHECK(s.bytes == NULL);
    CHECK_INT(scratch_reserve(&s, 10, 1), OK); /* and it can be used again */
    scratch_release(&s);
    scratch_release(&s);
    CHECK_INT(mem_live_bytes(), live);
    return check_result();
}
