#include "engine/base/buf.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

static void test_building(void)
{
    struct buf b;
    char *text = NULL;
    size_t n = 0;
    buf_init(&b, 1000);
    CHECK(b.bytes == NULL);
    buf_text(&b, "one");
    buf_append(&b, " two", 4);
    buf_append(&b, NULL, 0);
    buf_printf(&b, " %d %s", 3, "four");
    CHECK_STR(b.bytes, "one two 3 four");
    CHECK_INT(b.n, 14);
    CHECK_INT(b.err, OK);
    CHECK_INT(buf_take(&b, &text, &n), OK);
    CHECK_STR(text, "one two 3 four");
    CHECK_INT(n, 14);
    CHECK(b.bytes == NULL && b.n == 0);
    mem_free(text);
    buf_text(&b, "again"); /* usable after take */
    CHECK_STR(b.bytes, "again");
    buf_release(&b);
    buf_release(&b);
}

static void test_growth_keeps_bytes(void)
{
    struct buf b;
    buf_init(&b, 100000);
    for (int i = 0; i < 100000; i++) {
        char c = (char)('a' + i % 26);
        buf_append(&b, &c, 1);
    }
    CHECK_INT(b.err, OK);
    CHECK_INT(b.n, 100000);
    int wrong = 0;
    for (int i = 0; i < 100000; i++) {
        wrong += b.bytes[i] != 'a' + i % 26;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(b.bytes[100000], 0);
    CHECK_INT(b._capacity, 100001); /* growth stops at the cap */
    buf_append(&b, "x", 1);
    CHECK_INT(b.err, ERR_TEXT_TOO_LONG);
    CHECK_INT(b.n, 100000);
    buf_release(&b);
}

/* A text that fits to the last byte, one that needs more room, and one over the cap. */
static void test_printing_at_the_edge(void)
{
    for (int more = -1; more <= 1; more++) {
        struct buf b;
        buf_init(&b, 1000);
        buf_reserve(&b, 300);
        int room = (int)b._capacity - 1 - 4;
        buf_text(&b, "four");
        buf_printf(&b, "%*d", room + more, 7);
        CHECK_INT(b.err, OK);
        CHECK_INT(b.n, 4 + room + more);
        CHECK(b.bytes[b.n - 1] == '7' && b.bytes[b.n] == '\0');
        buf_printf(&b, "%*d", 1000, 7);
        CHECK_INT(b.err, ERR_TEXT_TOO_LONG);
        CHECK(b.n == (size_t)(4 + room + more) && strlen(b.bytes) == b.n);
        buf_release(&b);
    }
    struct buf b;
    buf_init(&b, 100);
    buf_uint(&b, 0);
    buf_uint(&b, 18446744073709551615U);
    CHECK_STR(b.bytes, "018446744073709551615");
    buf_release(&b);
}

static void test_shrink(void)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_shrink(&b, 10);
    buf_text(&b, "a longer text");
    buf_reserve(&b, 500);
    buf_shrink(&b, 100);
    CHECK_INT(buf_held(&b), 100);
    CHECK_STR(b.bytes, "a longer text");
    buf_shrink(&b, 100000);
    CHECK_INT(buf_held(&b), 100);
    buf_shrink(&b, 4);
    CHECK_STR(b.bytes, "a l");
    buf_text(&b, "ong one");
    CHECK_STR(b.bytes, "a long one");
    buf_release(&b);
}

/* An append that does not fit changes nothing, and the error stays until it is taken or reset. */
static void test_cap(void)
{
    struct buf b;
    char *text = (char *)&b;
    size_t n = 7;
    buf_init(&b, 5);
    buf_text(&b, "12345");
    CHECK_INT(b.err, OK);
    buf_text(&b, "6");
    CHECK_INT(b.err, ERR_TEXT_TOO_LONG);
    CHECK_STR(b.bytes, "12345");
    buf_append(&b, "", 0);
    CHECK_INT(buf_take(&b, &text, &n), ERR_TEXT_TOO_LONG);
    CHECK(text == NULL && n == 0 && b.bytes == NULL);
    buf_printf(&b, "%s", "123456");
    CHECK_INT(b.err, ERR_TEXT_TOO_LONG);
    buf_text(&b, "1");
    CHECK_INT(b.n, 0);
    buf_reset(&b);
    buf_text(&b, "1");
    CHECK_STR(b.bytes, "1");
    buf_reset(&b);
    CHECK_STR(b.bytes, "");
    buf_release(&b);
}

static void test_taking_nothing(void)
{
    struct buf b;
    char *text = NULL;
    size_t n = 9;
    buf_init(&b, 0);
    CHECK_INT(buf_take(&b, &text, &n), OK);
    CHECK_STR(text, "");
    CHECK_INT(n, 0);
    mem_free(text);
}

static void test_reserve(void)
{
    struct buf b;
    buf_init(&b, 5000);
    buf_reserve(&b, 5000);
    uint64_t count = mem_count();
    for (int i = 0; i < 5000; i++) {
        buf_append(&b, "x", 1);
    }
    CHECK_INT(mem_count(), count);
    buf_reserve(&b, 1);
    CHECK_INT(b.err, ERR_TEXT_TOO_LONG);
    buf_release(&b);
}

static void test_torture(void)
{
    size_t live = mem_live_bytes();
    enum err rc = ERR_NOMEM;
    for (int n = 1; rc; n++) {
        struct buf b;
        char *text;
        size_t length;
        buf_init(&b, 100000);
        mem_fail_after(n);
        for (int i = 0; i < 1000; i++) {
            buf_printf(&b, "%d ", i);
        }
        rc = buf_take(&b, &text, &length);
        mem_fail_after(0);
        CHECK(rc == ERR_NOMEM || n > 4);
        mem_free(text);
        CHECK_INT(mem_live_bytes(), live);
    }
}

int main(void)
{
    test_building();
    test_growth_keeps_bytes();
    test_shrink();
    test_printing_at_the_edge();
    test_cap();
    test_taking_nothing();
    test_reserve();
    test_torture();
    return check_result();
}
