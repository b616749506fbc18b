#include "server/http/value.h"

#include "tests/support/check.h"

#include <string.h>

static void test_whole(void)
{
    static const struct {
        const char *text;
        uint64_t value;
    } right[] = {{"0", 0},   {"10", 10}, {"007", 7},  {"+5", 5},    {" 5", 5},   {"5 ", 5},
                 {"5.0", 5}, {"5.", 5},  {"1e1", 10}, {"50e-1", 5}, {".5e1", 5}, {"\t5\r\n", 5}};
    static const char *const wrong[] = {"",    " ",     "11",       "-1",
                                        "5.5", "0x5",   "5 5",      "5,0",
                                        "1_0", "five",  "nan",      "inf",
                                        "1e9", "\"5\"", "\xd9\xa1", "\xef\xbc\x95",
                                        "+-5", "1e",    "e1",       "00000000000000000000000000000005"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        uint64_t value = 4711;
        CHECK(value_whole(right[i].text, 0, 10, &value));
        CHECK_INT(value, right[i].value);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t value = 4711;
        CHECK(!value_whole(wrong[i], 0, 10, &value));
        CHECK_INT(value, 4711);
    }
    uint64_t value;
    CHECK(!value_whole("0", 1, 10, &value));
    CHECK(!value_whole("18446744073709551617", 1, 10, &value)); /* 2^64 + 1 */
}

static void test_number(void)
{
    double number = 4711;
    CHECK(value_number("-5e-1x", 5, &number) && number == -0.5); /* n counts, not a NUL byte */
    CHECK(!value_number("1\0", 2, &number) && number == -0.5);
}

static void test_bool(void)
{
    static const char *const is_true[] = {"true", "True", "TRUE", "1", " 1 ", "true\r\n"};
    static const char *const is_false[] = {"false", "False", "0"};
    static const char *const neither[] = {"", "yes", "on", "2", "tru", "true1", "None", "\"true\""};
    for (size_t i = 0; i < sizeof(is_true) / sizeof(is_true[0]); i++) {
        bool value = false;
        CHECK(value_bool(is_true[i], strlen(is_true[i]), &value) && value);
    }
    for (size_t i = 0; i < sizeof(is_false) / sizeof(is_false[0]); i++) {
        bool value = true;
        CHECK(value_bool(is_false[i], strlen(is_false[i]), &value) && !value);
    }
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
        bool value = true;
        CHECK(!value_bool(neither[i], strlen(neither[i]), &value) && value);
    }
}

int main(void)
{
    test_whole();
    test_number();
    test_bool();
    return check_result();
}
