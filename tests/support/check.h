/* check - assertions of the unit tests: print file, line and both values; keep going; fail at the end.
 *
 * Use: int main(void) { test_a(); test_b(); return check_result(); } */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <math.h>
#include <stdio.h>
#include <string.h>

static int check_failures;
static int check_count;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond)) {                                                                                                 \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                                         \
        }                                                                                                              \
    } while (0)

#define CHECK_INT(actual, expected)                                                                                    \
    do {                                                                                                               \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                                      \
        check_count++;                                                                                                 \
        if (check_a != check_e) {                                                                                      \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #actual, check_a, check_e);      \
        }                                                                                                              \
    } while (0)

#define CHECK_STR(actual, expected)                                                                                    \
    do {                                                                                                               \
        const char *check_a = (actual), *check_e = (expected);                                                         \
        check_count++;                                                                                                 \
        if (!check_a || !check_e || strcmp(check_a, check_e) != 0) {                                                   \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #actual,                     \
                    check_a ? check_a : "(null)", check_e ? check_e : "(null)");                                       \
        }                                                                                                              \
    } while (0)

/* |actual - expected| <= tolerance * max(1, |expected|); NaN never passes. */
#define CHECK_NEAR(actual, expected, tolerance)                                                                        \
    do {                                                                                                               \
        double check_a = (double)(actual), check_e = (double)(expected);                                               \
        check_count++;                                                                                                 \
        if (!(fabs(check_a - check_e) <= (tolerance)*fmax(1.0, fabs(check_e)))) {                                      \
            check_failures++;                                                                                          \
            fprintf(stderr, "%s:%d: %s is %.9g, expected %.9g\n", __FILE__, __LINE__, #actual, check_a, check_e);      \
        }                                                                                                              \
    } while (0)

__attribute__((unused)) static int check_result(void)
{
    if (check_count == 0) {
        fprintf(stderr, "no check was made\n");
        return 1;
    }
    if (check_failures) {
        fprintf(stderr, "%d of %d checks failed\n", check_failures, check_count);
        return 1;
    }
    return 0;
}

#endif
