/* Bytes between a writer and a reader: order, the end, the cap, and who frees it. */
#include "server/http/stream.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <pthread.h>

static struct stream *make(size_t max)
{
    struct stream *s = NULL;
    CHECK_INT(stream_create(&s, max), OK);
    return s;
}

static void drop(struct stream *s)
{
    stream_drop(s);
    stream_drop(s);
}

static void check_take(struct stream *s, size_t n, const char *expected, bool ends)
{
    char out[64];
    bool is_ended = !ends;
    memset(out, '#', sizeof(out));
    size_t got = stream_take(s, out, n, &is_ended);
    CHECK_INT(got, strlen(expected));
    CHECK(memcmp(out, expected, got) == 0 && out[got] == '#');
    CHECK_INT(is_ended, ends);
}

static void test_pieces(void)
{
    struct stream *s = make(1000);
    CHECK(stream_is_empty(s));
    check_take(s, 10, "", false);
    stream_add(s, "hello ", 6);
    stream_add(s, "", 0);
    stream_add(s, "world", 5);
    CHECK(!stream_is_empty(s));
    check_take(s, 0, "", false);
    check_take(s, 4, "hell", false);
    check_take(s, 20, "o world", false);
    CHECK(stream_is_empty(s));
    stream_add(s, "!", 1);
    stream_end(s);
    CHECK(!stream_is_empty(s));
    check_take(s, 20, "!", true);
    CHECK(!stream_is_empty(s)); /* an end is something to tell */
    check_take(s, 20, "", true);
    drop(s);
}

static void test_end_with_bytes_left(void)
{
    struct stream *s = make(1000);
    stream_add(s, "abcdef", 6);
    stream_end(s);
    stream_end(s);
    check_take(s, 5, "abcde", false);
    check_take(s, 5, "f", true);
    drop(s);
    s = make(1000);
    stream_end(s);
    CHECK(!stream_is_empty(s));
    check_take(s, 5, "", true);
    drop(s);
}

/* A reader that takes nothing: the stream ends, with what had room. */
static void test_cap(void)
{
    struct stream *s = make(8);
    stream_add(s, "12345", 5);
    stream_add(s, "67890", 5);
    stream_add(s, "x", 1);
    check_take(s, 3, "123", false);
    check_take(s, 20, "45", true);
    stream_add(s, "y", 1);
    check_take(s, 20, "", true); /* nothing after the gap */
    drop(s);
}

/* The cap is on what waits, not on what went through. */
static void test_more_than_the_cap_in_all(void)
{
    struct stream *s = make(8);
    for (int i = 0; i < 1000; i++) {
        stream_add(s, "abcdef", 6);
        check_take(s, 20, "abcdef", false);
    }
    stream_add(s, "123456", 6);
    check_take(s, 2, "12", false);
    stream_end(s);
    check_take(s, 20, "3456", true);
    drop(s);
}

static void test_no_memory(void)
{
    struct stream *s;
    size_t before = mem_live_bytes();
    mem_fail_after(1);
    CHECK_INT(stream_create(&s, 100), ERR_NOMEM);
    mem_fail_after(0);
    s = make(100);
    mem_fail_after(1);
    stream_add(s, "abc", 3);
    mem_fail_after(0);
    check_take(s, 20, "", true);
    drop(s);
    CHECK_INT(mem_live_bytes(), before);
}

/* ---- two threads ---- */

enum { N = 20000 };

static void *write_numbers(void *user)
{
    struct stream *s = user;
    for (int i = 0; i < N; i++) {
        unsigned char piece[3] = {(unsigned char)i, (unsigned char)(i >> 8), 7};
        stream_add(s, (const char *)piece, 3);
    }
    stream_end(s);
    stream_drop(s);
    return NULL;
}

static void test_two_threads(void)
{
    static unsigned char all[N * 3 + 1];
    size_t before = mem_live_bytes(), n = 0;
    struct stream *s = make(N * 3);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, write_numbers, s), 0);
    for (bool is_ended = false; !is_ended && n < sizeof(all);) {
        n += stream_take(s, (char *)all + n, sizeof(all) - n < 100 ? sizeof(all) - n : 100, &is_ended);
    }
    stream_drop(s);
    pthread_join(thread, NULL);
    CHECK_INT(n, N * 3);
    for (int i = 0; i < N; i++) {
        if (all[3 * i] != (unsigned char)i || all[3 * i + 1] != (unsigned char)(i >> 8) || all[3 * i + 2] != 7) {
            CHECK(!"the pieces in order");
            break;
        }
    }
    CHECK_INT(mem_live_bytes(), before);
}

int main(void)
{
    test_pieces();
    test_end_with_bytes_left();
    test_cap();
    test_more_than_the_cap_in_all();
    test_no_memory();
    test_two_threads();
    return check_result();
}
