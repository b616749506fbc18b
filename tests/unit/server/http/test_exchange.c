/* What is read from a request before its body comes: id, deadline, priority, numbers; and what its answer may carry. */
#include "server/http/exchange.h"

#include "tests/support/check.h"

#include <ctype.h>
#include <time.h>

/* ---- ids ---- */

static bool is_taken(const char *id)
{
    struct exchange x = {.headers[HEADER_REQUEST_ID] = id};
    exchange_read_id(&x);
    return strcmp(x.request_id, id) == 0;
}

static void test_ids_of_the_caller(void)
{
    char longest[EXCHANGE_ID_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[EXCHANGE_ID_MAX + 1] = '\0';
    CHECK(!is_taken(longest));
    longest[EXCHANGE_ID_MAX] = '\0';
    CHECK(is_taken(longest));
    CHECK(is_taken("a"));
    CHECK(is_taken("!~<\"'%s%n>"));
    CHECK(!is_taken("two words"));
    CHECK(!is_taken("a\tb"));
    CHECK(!is_taken("a\r\nSet-Cookie: b"));
    CHECK(!is_taken("a\x7f"));
    CHECK(!is_taken("\xc3\xa9"));
    CHECK(!is_taken("\xff"));
    struct exchange x = {.headers[HEADER_REQUEST_ID] = ""};
    exchange_read_id(&x);
    CHECK_INT(strlen(x.request_id), 36);
}

static void check_uuid7(const char *id)
{
    CHECK_INT(strlen(id), 36);
    for (int i = 0; i < 36 && id[i]; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        CHECK(is_dash ? id[i] == '-' : isdigit((unsigned char)id[i]) || (id[i] >= 'a' && id[i] <= 'f'));
    }
    CHECK(id[14] == '7');
    CHECK(strchr("89ab", id[19]) != NULL);
}

static void test_made_ids(void)
{
    struct exchange a = {.method = "GET"}, b = {.method = "GET"};
    struct timespec before, after;
    unsigned long long high, low;
    clock_gettime(CLOCK_REALTIME, &before);
    exchange_read_id(&a);
    exchange_read_id(&b);
    clock_gettime(CLOCK_REALTIME, &after);
    check_uuid7(a.request_id);
    check_uuid7(b.request_id);
    CHECK(strcmp(a.request_id, b.request_id) != 0);
    CHECK_INT(sscanf(a.request_id, "%8llx-%4llx", &high, &low), 2);
    unsigned long long ms = high << 16 | low;
    CHECK(ms >= (unsigned long long)before.tv_sec * 1000 + (unsigned long long)before.tv_nsec / 1000000);
    CHECK(ms <= (unsigned long long)after.tv_sec * 1000 + (unsigned long long)after.tv_nsec / 1000000);
}

static void test_masked_ids(void)
{
    struct caller c = {.has_id_key = false};
    uint8_t id[32], was[32];
    for (int i = 0; i < 32; i++) {
        was[i] = id[i] = (uint8_t)i;
        c.id_mask[i] = (uint8_t)(200 - i);
    }
    caller_mask_id(&c, id);
    CHECK(memcmp(id, was, 32) == 0); /* no keys: ids are seen as they are */
    c.has_id_key = true;
    caller_mask_id(&c, id);
    CHECK(memcmp(id, was, 32) != 0 && id[0] == 200);
    caller_mask_id(&c, id);
    CHECK(memcmp(id, was, 32) == 0);
}

/* ---- deadline ---- */

static const char *take(struct exchange *x, const char *query, const char *header, const char *envoy)
{
    static struct exchange_pair pair;
    const char *faulty = NULL;
    pair = (struct exchange_pair){"timeout_ms", query, 10, query ? strlen(query) : 0};
    *x = (struct exchange){.began_us = 5000, .query = &pair, .n_query = query != NULL};
    x->headers[HEADER_TIMEOUT] = header;
    x->headers[HEADER_ENVOY_TIMEOUT] = envoy;
    return exchange_read_deadline(x, 1000, &faulty) ? NULL : faulty ? faulty : "?";
}

static void test_deadlines(void)
{
    static const struct {
        const char *query, *header, *envoy;
        uint64_t ms;
        const char *faulty;
    } cases[] = {
        {NULL, NULL, NULL, 1000, NULL},
        {"100", NULL, NULL, 100, NULL},
        {NULL, "200", NULL, 200, NULL},
        {NULL, NULL, "300", 300, NULL},
        {"300", "200", "100", 100, NULL},
        {"300", "100", "200", 100, NULL},
        {"100", "300", "200", 100, NULL},
        {"1", NULL, NULL, 1, NULL},
        {"5000", "6000", "7000", 1000, NULL}, /* no longer than the limit */
        {"1000000000000", NULL, NULL, 1000, NULL},
        {"1000000000001", NULL, NULL, 0, "timeout_ms"},
        {"0", NULL, NULL, 0, "timeout_ms"},
        {"", NULL, NULL, 1000, NULL}, /* not given */
        {" 1e2", "+250.0", NULL, 100, NULL},
        {"1s", "10", "10", 0, "timeout_ms"},
        {"10", "-1", "10", 0, "X-Request-Timeout-Ms"},
        {"10", "10", "1.5", 0, "x-envoy-expected-rq-timeout-ms"},
        {NULL, "", NULL, 0, "X-Request-Timeout-Ms"},
    };
    struct exchange x;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *faulty = take(&x, cases[i].query, cases[i].header, cases[i].envoy);
        if (cases[i].faulty) {
            CHECK_STR(faulty, cases[i].faulty);
            CHECK_INT(x.deadline_us, 0);
        } else {
            CHECK(faulty == NULL);
            CHECK_INT(x.deadline_us, 5000 + cases[i].ms * 1000);
        }
    }
}

/* ---- query and headers ---- */

static void test_query(void)
{
    struct exchange_pair pairs[] = {{"a", "1", 1, 1}, {"b", NULL, 1, 0}, {"a", "2", 1, 1}};
    struct exchange x = {.query = pairs, .n_query = 3};
    CHECK_STR(exchange_query(&x, "a"), "2"); /* the last one counts */
    CHECK_STR(exchange_query(&x, "b"), "");
    CHECK(exchange_query(&x, "c") == NULL);
    CHECK(exchange_query(&x, "") == NULL);
    CHECK(exchange_query(&x, "A") == NULL);
}

static void test_names_of_headers(void)
{
    CHECK_STR(exchange_header_name(HEADER_ACCEPT), "Accept");
    CHECK_STR(exchange_header_name(HEADER_TRACEPARENT), "traceparent");
    for (int i = 0; i < HEADER_COUNT; i++) {
        CHECK(exchange_header_name((enum exchange_header)i) != NULL);
    }
}

static void test_priorities(void)
{
    static const struct {
        const char *text;
        int priority;
    } cases[] = {
        {NULL, 3},    {"", 3},      {"u=0", 0},    {"u=7", 7},       {"u=8", 3},    {"u=-1", 3},   {"u=10", 3},
        {"u=", 3},    {"u", 3},     {"i", 3},      {"i, u=1", 1},    {"i,u=2", 2},  {"u=4, i", 4}, {"u=5 ,i", 5},
        {"  u=6", 6}, {"u = 1", 3}, {"U=1", 3},    {"xu=1", 3},      {",,,u=1", 1}, {",", 3},      {"u=x, u=2", 2},
        {"u=1\t", 1}, {"u=1.0", 3}, {"urgent", 3}, {"a=\"u=1\"", 3}, {"u=9,", 3},   {"u=1;x", 1},  {"i;u=2", 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct exchange x = {.headers[HEADER_PRIORITY] = cases[i].text};
        if (exchange_priority(&x) != cases[i].priority) {
            fprintf(stderr, "Priority: %s\n", cases[i].text ? cases[i].text : "(none)");
        }
        CHECK_INT(exchange_priority(&x), cases[i].priority);
    }
}

/* ---- the answer ---- */

static void test_headers_of_the_answer(void)
{
    static const char *const bad[] = {"a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\tb", "\x01", "\x7f", "a\x1f"};
    char longest[EXCHANGE_MAX_VALUE + 1];
    struct exchange x = {.n_out = 0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        exchange_out(&x, "Bad", "%s", bad[i]);
        exchange_out_text(&x, "Bad", bad[i]);
        CHECK_INT(x.n_out, 0);
    }
    memset(longest, 'v', sizeof(longest));
    longest[EXCHANGE_MAX_VALUE] = '\0';
    exchange_out(&x, "Long", "%s", longest);
    exchange_out_text(&x, "Long", longest);
    CHECK_INT(x.n_out, 0);
    longest[EXCHANGE_MAX_VALUE - 1] = '\0';
    exchange_out(&x, "Long", "%s", longest);
    CHECK_INT(x.n_out, 1);
    CHECK_STR(x.out[0].value, longest);
    exchange_out_text(&x, "Long", longest);
    CHECK_STR(x.out[1].value, longest);
    x.n_out = 1;
    exchange_out(&x, "Empty", "%s", "");
    exchange_out(&x, "Number", "%d \xc3\xa9", 7);
    CHECK_INT(x.n_out, 3);
    CHECK_STR(x.out[2].name, "Number");
    CHECK_STR(x.out[2].value, "7 \xc3\xa9");
    for (int i = 3; i < EXCHANGE_MAX_OUT; i++) {
        exchange_out(&x, "More", "%d", i);
    }
    CHECK_INT(x.n_out, EXCHANGE_MAX_OUT);
    exchange_answer(&x, 204, NULL);
    CHECK(x.status == 204 && !x.content_type);
}

int main(void)
{
    test_ids_of_the_caller();
    test_made_ids();
    test_masked_ids();
    test_deadlines();
    test_query();
    test_names_of_headers();
    test_priorities();
    test_headers_of_the_answer();
    return check_result();
}
