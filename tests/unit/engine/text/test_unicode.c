/* Characters: flags and folds. Ids over thousands of strings are compared in test_wordpiece.c. */
#include "engine/text/unicode.h"

#include "engine/base/utf8.h"
#include "tests/support/check.h"

static void test_flags(void)
{
    static const struct {
        uint32_t c;
        int flags, order;
    } cases[] = {
        {'a', 0, 0},
        {'!', UNICODE_PUNCT, 0},
        {'$', UNICODE_PUNCT, 0},
        {' ', UNICODE_SPACE, 0},
        {'\t', UNICODE_SPACE, 0},
        {0, UNICODE_DROP, 0},
        {0x0b, UNICODE_DROP, 0},
        {0x7f, UNICODE_DROP, 0},
        {0x85, UNICODE_DROP, 0},
        {0xa0, UNICODE_SPACE, 0},
        {0xad, UNICODE_DROP, 0},
        {0xe9, 0, 0},
        {0x301, UNICODE_MARK, 0},
        {0x34f, UNICODE_MARK | UNICODE_STARTER_MARK, 0},
        {0x378, 0, 0},   /* unassigned: kept */
        {0x61d, 0, 0},   /* punctuation since Unicode 14: a letter to the package */
        {0x8d4, 0, 230}, /* a mark since Unicode 9: kept, and sorted */
        {0x1b44, 0, 9},  /* spacing mark with a class */
        {0x200b, UNICODE_DROP, 0},
        {0x200d, UNICODE_DROP, 0},
        {0x2014, UNICODE_PUNCT, 0},
        {0x2028, UNICODE_SPACE, 0},
        {0x3000, UNICODE_SPACE, 0},
        {0x4dff, 0, 0},
        {0x4e00, UNICODE_CJK, 0},
        {0x9fff, UNICODE_CJK, 0},
        {0xac00, 0, 0},
        {0xe000, UNICODE_DROP, 0},
        {0xf900, UNICODE_CJK, 0},
        {0xfeff, UNICODE_DROP, 0},
        {0xfffd, UNICODE_DROP, 0},
        {0xfffe, 0, 0},
        {0x1f642, 0, 0},
        {0x20000, UNICODE_CJK, 0},
        {0x2a6e0, 0, 0},
        {0x2fa1d, UNICODE_CJK, 0},
        {0xe0041, UNICODE_DROP, 0},
        {0xe0100, UNICODE_MARK, 0},
        {0x10fffd, UNICODE_DROP, 0},
        {0x10ffff, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct unicode_traits traits = unicode_traits(cases[i].c);
        int flags = traits.flags;
        if (cases[i].c == 0xe0100) { /* variation selectors are marks of class 0 */
            flags &= ~UNICODE_STARTER_MARK;
        }
        CHECK_INT(flags, cases[i].flags);
        CHECK_INT(traits.order, cases[i].order);
    }
}

static void check_fold(uint32_t c, const char *expected)
{
    uint32_t out[UNICODE_MAX_FOLD];
    char bytes[16];
    size_t n = 0;
    int count = unicode_fold(c, out);
    for (int i = 0; i < count; i++) {
        n += utf8_write(out[i], bytes + n);
    }
    bytes[n] = '\0';
    CHECK_STR(bytes, expected);
}

static void test_folds(void)
{
    check_fold('a', "a");
    check_fold('Z', "z");
    check_fold('@', "@");
    check_fold('[', "[");
    check_fold(0xc9, "e");      /* É */
    check_fold(0x130, "i");     /* İ: the dot is stripped before lower-casing */
    check_fold(0xdf, "\u00df"); /* ß */
    check_fold(0x1e9e, "\u00df");
    check_fold(0x3a3, "\u03c3"); /* Σ, never the final sigma */
    check_fold(0x37e, ";");      /* Greek question mark */
    check_fold(0x212b, "a");     /* Ångström */
    check_fold(0x1c4, "\u01c6"); /* Ǆ: no compatibility decomposition */
    check_fold(0xac00, "\u1100\u1161");
    check_fold(0xac01, "\u1100\u1161\u11a8");
    check_fold(0xd7a3, "\u1112\u1175\u11c2");
    check_fold(0xd7a4, "\ud7a4");
    check_fold(0xf900, "\u8c48");
    check_fold(0x2fa1d, "\U0002a600");
    check_fold(0x1d160, "\U0001d158\U0001d165\U0001d16e");
    check_fold(0x10400, "\U00010428");
    check_fold(0x10ffff, "\U0010ffff");
}

/* What a fold gives is folded already, and never something that would have been removed. */
static void test_folding_twice_is_folding_once(void)
{
    int bad = 0;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint32_t once[UNICODE_MAX_FOLD], twice[UNICODE_MAX_FOLD];
        if (unicode_traits(c).flags & (UNICODE_DROP | UNICODE_SPACE | UNICODE_MARK)) {
            continue;
        }
        int n = unicode_fold(c, once);
        bad += n < 1 || n > UNICODE_MAX_FOLD;
        for (int i = 0; i < n; i++) {
            bad += unicode_fold(once[i], twice) != 1 || twice[0] != once[i];
            bad += (unicode_traits(once[i]).flags & (UNICODE_DROP | UNICODE_SPACE | UNICODE_MARK)) != 0;
        }
    }
    CHECK_INT(bad, 0);
}

int main(void)
{
    test_flags();
    test_folds();
    test_folding_twice_is_folding_once();
    return check_result();
}
