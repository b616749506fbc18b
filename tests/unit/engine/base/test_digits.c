#include "engine/base/digits.h"

#include "tests/support/check.h"

#include <inttypes.h>

static void check_one(uint64_t n)
{
    char expected[32], out[DIGITS_MAX + 1];
    int n_digits = snprintf(expected, sizeof(expected), "%" PRIu64, n);
    memset(out, 'x', sizeof(out));
    CHECK_INT(digits_write(out, n), n_digits);
    CHECK_STR(out, expected);
}

int main(void)
{
    uint64_t power = 1;
    for (int i = 0; i < 20; i++, power *= 10) {
        check_one(power - 1);
        check_one(power);
        check_one(power + 7);
    }
    check_one(UINT64_MAX);
    return check_result();
}
