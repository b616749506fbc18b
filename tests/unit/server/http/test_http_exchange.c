/* What an exchange takes over from a head: copies, decoded. */
#include "server/http/http_exchange.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"

static struct head last;

static void scan(const char *text, size_t n)
{
    struct head_scan s = {0};
    CHECK_INT(head_scan(&last, &s, text, n, 1 << 20), HEAD_WHOLE);
}

static void test_exchange(void)
{
    char text[] = "PUT /a%20b?x=1&&y&=z&x=%41%00+&t= HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n"
                  "X-Request-Id: mine\r\nAccept: b\r\n\r\n";
    struct exchange *x = NULL;
    size_t before = mem_live_bytes();
    scan(text, sizeof(text) - 1);
    CHECK_INT(http_exchange_create(&x, &last), OK);
    memset(text, '#', sizeof(text)); /* nothing is borrowed from it */
    CHECK_STR(x->method, "PUT");
    CHECK_STR(x->path, "/a b");
    CHECK_INT(x->n_query, 5);
    CHECK_STR(x->query[0].name, "x");
    CHECK_STR(x->query[0].value, "1");
    CHECK(strcmp(x->query[1].name, "y") == 0 && !x->query[1].value);
    CHECK(strcmp(x->query[2].name, "") == 0 && strcmp(x->query[2].value, "z") == 0);
    CHECK(x->query[3].n_value == 3 && memcmp(x->query[3].value, "A\0 ", 4) == 0);
    CHECK(x->query[4].value && x->query[4].n_value == 0);
    CHECK_STR(exchange_query(x, "x"), "A");
    CHECK_STR(x->headers[HEADER_ACCEPT], "b");
    CHECK(!x->headers[HEADER_ORIGIN]);
    CHECK_STR(x->request_id, "mine");
    CHECK_INT(x->content_length, 7);
    exchange_destroy(x);
    CHECK_INT(http_exchange_create(&x, NULL), OK);
    CHECK(x->method[0] == '\0' && x->path[0] == '\0' && x->request_id[0]);
    exchange_destroy(x);
    exchange_destroy(NULL);
    CHECK_INT(mem_live_bytes(), before);
}

static void test_many_parameters(void)
{
    static char text[8 * EXCHANGE_MAX_QUERY];
    for (int n = EXCHANGE_MAX_QUERY - 1; n <= EXCHANGE_MAX_QUERY + 1; n++) {
        int k = snprintf(text, sizeof(text), "GET /?");
        for (int i = 0; i < n; i++) {
            k += snprintf(text + k, sizeof(text) - (size_t)k, "q=%d&", i % 10);
        }
        k += snprintf(text + k, sizeof(text) - (size_t)k, " HTTP/1.0\r\n\r\n");
        struct exchange *x = NULL;
        scan(text, (size_t)k);
        CHECK_INT(http_exchange_create(&x, &last), OK);
        CHECK_INT(x->n_query, n < EXCHANGE_MAX_QUERY ? n : EXCHANGE_MAX_QUERY);
        CHECK_INT(x->has_too_much_query, n > EXCHANGE_MAX_QUERY);
        exchange_destroy(x);
    }
}

static void test_no_memory(void)
{
    char text[] = "GET /a HTTP/1.0\r\n\r\n";
    size_t before = mem_live_bytes();
    scan(text, sizeof(text) - 1);
    for (int n = 1; n <= 2; n++) {
        struct exchange *x = NULL;
        mem_fail_after(n);
        CHECK_INT(http_exchange_create(&x, &last), ERR_NOMEM);
        CHECK(!x);
    }
    mem_fail_after(0);
    CHECK_INT(mem_live_bytes(), before);
}

int main(void)
{
    test_exchange();
    test_many_parameters();
    test_no_memory();
    return check_result();
}
