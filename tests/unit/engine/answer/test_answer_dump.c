/* What every answer's text looks like. */
#include "engine/answer/answer_dump.h"
#include "tests/support/check.h"

static void test_six_digits(void)
{
    struct buf b;
    buf_init(&b, 4096);
    json_t *object = json_pack("{s:f, s:f, s:f, s:f, s:f, s:i, s:s}", "a", 0.123456789, "b", 1e-9 / 3, "c", 2.0 / 3e-9,
                               "d", 1.0, "e", -0.5, "f", 123456789, "g", "\xc3\xa9\"\x02/");
    answer_dump(object, &b);
    CHECK_STR(b.bytes, "{\"a\":0.123457,\"b\":3.33333e-10,\"c\":6.66667e8,\"d\":1.0,\"e\":-0.5,\"f\":123456789,"
                       "\"g\":\"\xc3\xa9\\\"\\u0002/\"}");
    CHECK_INT(b.err, OK);
    json_decref(object);
    buf_release(&b);
}

int main(void)
{
    test_six_digits();
    return check_result();
}
