/* The error object, the statuses, numbers: what every client of the API parses. */
#include "server/http/reply.h"

#include "engine/base/mem.h"
#include "tests/support/answer_header.h"
#include "tests/support/check.h"

#include <stdlib.h>

static struct exchange x;
static json_t *parsed;

static void begin(void)
{
    buf_release(&x.answer);
    x = (struct exchange){.method = "GET"};
    snprintf(x.request_id, sizeof(x.request_id), "id-1");
    buf_init(&x.answer, 1 << 20);
}

/* The error object of the answer; NULL with a failed check. */
static const json_t *error(void)
{
    json_error_t e;
    json_decref(parsed);
    parsed = json_loadb(x.answer.bytes, x.answer.n, JSON_REJECT_DUPLICATES, &e);
    CHECK(parsed && json_object_size(parsed) == 1);
    CHECK(x.answer.n > 0 && x.answer.bytes[x.answer.n - 1] == '\n');
    CHECK_STR(x.content_type, "application/json");
    return json_object_get(parsed, "error");
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- errors ---- */

static void test_error_object(void)
{
    begin();
    reply_error(&x, FAULT_BAD_REQUEST, "/images/0", "not %s: %d", "\"good\"", 7);
    const json_t *e = error();
    CHECK_INT(x.status, 400);
    CHECK_INT(json_object_size(e), 8);
    CHECK_STR(text_of(e, "message"), "not \"good\": 7");
    CHECK_STR(text_of(e, "type"), "invalid_request_error");
    CHECK_STR(text_of(e, "param"), "/images/0");
    CHECK_STR(text_of(e, "code"), "bad_request");
    CHECK_STR(text_of(e, "request_id"), "id-1");
    CHECK(json_is_false(json_object_get(e, "retryable")));
    CHECK(json_is_null(json_object_get(e, "retry_after_ms")));
    CHECK(json_is_null(json_object_get(e, "stage")));
    CHECK_STR(x.error_code, "bad_request");
    CHECK(x.n_out == 0 && !x.must_close);
    begin();
    reply_error(&x, FAULT_INTERNAL, NULL, "%s", "");
    CHECK(json_is_null(json_object_get(error(), "param")));
    json_t *object = reply_error_object(&x, FAULT_CORRUPT_IMAGE, "m", NULL, "decode", 0);
    CHECK_STR(text_of(object, "stage"), "decode");
    json_decref(object);
}

/* Printed without a tree, letter for letter as jansson prints it. */
static void test_printed_like_jansson(void)
{
    static const char *const texts[] = {
        "", "\"", "\\", "a\"b\\c", "\t\n\r\b\f\v\x01\x1f\x7f", "end\n", "\303\244 \342\202\254 \360\237\220\221 </a>"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (int is_plain = 0; is_plain < 2; is_plain++) {
            begin();
            x.has_plain_errors = is_plain;
            reply_retry(&x, FAULT_OVERLOADED, 1234567, "%s", texts[i]);
            json_t *expected = is_plain
                                   ? json_pack("{s:s}", "error", texts[i])
                                   : json_pack("{s:{s:s, s:s, s:n, s:s, s:s, s:b, s:i, s:n}}", "error", "message",
                                               texts[i], "type", "rate_limit_error", "param", "code", "overloaded",
                                               "request_id", "id-1", "retryable", 1, "retry_after_ms", 1235, "stage");
            char *text = json_dumps(expected, JSON_COMPACT);
            CHECK(text && x.answer.n == strlen(text) + 1 && memcmp(x.answer.bytes, text, strlen(text)) == 0);
            CHECK_STR(answer_header(&x, "Retry-After"), "2");
            free(text);
            json_decref(expected);
        }
    }
}

static void test_every_fault(void)
{
    for (int f = 0; f < FAULT_COUNT; f++) {
        begin();
        reply_error(&x, (enum fault)f, NULL, "text");
        const json_t *e = error();
        CHECK_INT(x.status, reply_fault_status(&x, (enum fault)f));
        CHECK(x.status >= 400 && x.status < 600);
        CHECK_STR(text_of(e, "code"), reply_fault_code((enum fault)f));
        CHECK_INT(x.must_close, f == FAULT_DRAINING || f == FAULT_UPLOAD_TIMEOUT);
        CHECK((answer_header(&x, "WWW-Authenticate") != NULL) == (f == FAULT_UNAUTHORIZED));
        for (int g = 0; g < f; g++) {
            CHECK(strcmp(reply_fault_code((enum fault)f), reply_fault_code((enum fault)g)) != 0);
        }
    }
}

static void test_errors_of_the_engine(void)
{
    static const struct {
        enum err err;
        int status;
        const char *code;
    } cases[] = {
        {ERR_BAD_REQUEST, 400, "bad_request"},
        {ERR_UNSUPPORTED_IMAGE, 415, "unsupported_image"},
        {ERR_CORRUPT_IMAGE, 422, "corrupt_image"},
        {ERR_IMAGE_TOO_LARGE, 413, "image_too_large"},
        {ERR_TOO_MANY_INPUTS, 413, "too_many_inputs"},
        {ERR_TEXT_TOO_LONG, 413, "text_too_long"},
        {ERR_IMAGE_NOT_CACHED, 404, "image_not_cached"},
        {ERR_OVERLOADED, 429, "overloaded"},
        {ERR_BUSY, 503, "collection_busy"},
        {ERR_UNAVAILABLE, 503, "collection_unavailable"},
        {ERR_DISK_FULL, 503, "collection_unavailable"},
        {ERR_DEADLINE, 504, "deadline_exceeded"},
        {ERR_DRAINING, 503, "draining"},
        {ERR_CANCELLED, 503, "draining"},
        {ERR_NOMEM, 500, "internal"},
        {ERR_IO, 500, "internal"},
        {ERR_BAD_MODEL, 500, "internal"},
        {ERR_BAD_CONFIG, 500, "internal"},
        {ERR_INTERNAL, 500, "internal"},
    };
    CHECK_INT(sizeof(cases) / sizeof(cases[0]), ERR_COUNT - 1); /* all but OK */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum fault f = reply_fault(cases[i].err);
        CHECK_INT(reply_fault_status(&x, f), cases[i].status);
        CHECK_STR(reply_fault_code(f), cases[i].code);
    }
}

static void test_status_of_overload(void)
{
    begin();
    x.overload_status = 503;
    CHECK_INT(reply_fault_status(&x, FAULT_OVERLOADED), 503);
    CHECK_INT(reply_fault_status(&x, FAULT_DEADLINE_UNREACHABLE), 503);
    CHECK_INT(reply_fault_status(&x, FAULT_BAD_REQUEST), 400);
    reply_retry(&x, FAULT_OVERLOADED, 1, "full");
    CHECK_INT(x.status, 503);
    CHECK_STR(text_of(error(), "code"), "overloaded");
    CHECK(!x.must_close);
    x.overload_status = 0;
    CHECK_INT(reply_fault_status(&x, FAULT_OVERLOADED), 429);
}

static void check_retry(uint64_t after_us, const char *seconds, long long ms)
{
    begin();
    reply_retry(&x, FAULT_OVERLOADED, after_us, "full");
    const json_t *e = error();
    CHECK_STR(answer_header(&x, "Retry-After"), seconds);
    CHECK_INT(json_integer_value(json_object_get(e, "retry_after_ms")), ms);
    CHECK(json_is_true(json_object_get(e, "retryable")));
}

static void test_when_to_come_again(void)
{
    check_retry(0, "1", 1000);
    check_retry(1, "1", 1); /* never "0": that would say now */
    check_retry(1000000, "1", 1000);
    check_retry(1000001, "2", 1001);
    check_retry(90500000, "91", 90500);
}

/* What a caller sent may stand in a message, cut wherever it was cut: the answer is JSON all the same. */
static void test_text_that_is_no_utf8(void)
{
    static const char *const texts[] = {"caf\xc3",      "\xff\xfe",     "a\xc3\xa9z\xe2\x82",
                                        "\xf0\x9f\x99", "\xed\xa0\x80", "\x80"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        begin();
        reply_error(&x, FAULT_BAD_REQUEST, texts[i], "unknown parameter \"%s\"", texts[i]);
        const json_t *e = error();
        CHECK_INT(x.status, 400);
        CHECK_STR(text_of(e, "code"), "bad_request");
        CHECK(text_of(e, "message") && strncmp(text_of(e, "message"), "unknown parameter \"", 19) == 0);
        CHECK(text_of(e, "param") && strchr(text_of(e, "param"), '?'));
    }
    begin();
    reply_error(&x, FAULT_BAD_REQUEST, NULL, "a\xc3\xa9\xff\xe2\x82\xac\x01\"");
    CHECK_STR(text_of(error(), "message"), "a\xc3\xa9?\xe2\x82\xac\x01\"");
    char longest[4000];
    for (size_t i = 1; i < sizeof(longest) - 1; i += 2) {
        memcpy(longest + i, "\xc3\xa9", 2);
    }
    for (int shift = 0; shift < 2; shift++) {
        longest[0] = 'a';
        longest[sizeof(longest) - 1] = '\0';
        begin();
        reply_error(&x, FAULT_BAD_REQUEST, longest + shift, "%s", longest + shift);
        CHECK_INT(x.status, 400);
        CHECK(strlen(text_of(error(), "message")) < 1000);
    }
}

/* ---- results ---- */

static void test_results(void)
{
    begin();
    reply_json(&x, 201, json_pack("{s:i}", "a", 1));
    CHECK_INT(x.status, 201);
    CHECK_STR(x.answer.bytes, "{\"a\":1}\n");
    begin();
    buf_text(&x.answer, "left over");
    reply_text(&x, 200, "text/plain", "hello");
    CHECK_STR(x.answer.bytes, "hello");
    CHECK_STR(x.content_type, "text/plain");
}

static void test_no_memory(void)
{
    begin();
    reply_json(&x, 200, NULL);
    CHECK_INT(x.status, 500);
    CHECK_STR(text_of(error(), "code"), "internal");
    CHECK_STR(x.error_code, "internal");
    begin();
    buf_release(&x.answer);
    buf_init(&x.answer, 200); /* an answer over the cap of its buf is not sent in part */
    json_t *list = json_array();
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(list, json_integer(i));
    }
    reply_json(&x, 200, list);
    CHECK_INT(x.status, 500);
    CHECK_STR(text_of(error(), "code"), "internal");
    begin();
    mem_fail_after(1);
    reply_error(&x, FAULT_BAD_REQUEST, NULL, "text");
    mem_fail_after(0);
    CHECK_INT(x.status, 500);
    CHECK_STR(text_of(error(), "code"), "internal");
}

int main(void)
{
    test_error_object();
    test_printed_like_jansson();
    test_every_fault();
    test_errors_of_the_engine();
    test_status_of_overload();
    test_when_to_come_again();
    test_text_that_is_no_utf8();
    test_results();
    test_no_memory();
    json_decref(parsed);
    buf_release(&x.answer);
    return check_result();
}
