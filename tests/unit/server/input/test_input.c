/* Raw bodies, query strings, UTF-8, counts, and allocations that fail. */
#include "tests/unit/server/input/test_input.h"

#define RAW(route, query) take(route, "image/jpeg", query, "bytes", 5)

/* ---- raw bodies ---- */

static void test_raw_body(void)
{
    static const char *const types[] = {NULL,
                                        "",
                                        "image/jpeg",
                                        "application/octet-stream",
                                        "text/plain",
                                        "application/x-www-form-urlencoded",
                                        "application/jsonx",
                                        "multipart/mixed"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CHECK_TAKEN(take(INPUT_CAPTION, types[i], NULL, "\xff\xd8\0x", 4));
        CHECK(input.n_images == 1 && IS_IMAGE(0, "\xff\xd8\0x"));
        CHECK(!input.has_image_list && isnan(input.length_penalty));
        CHECK_FAULT(take(INPUT_CAPTION, types[i], NULL, "", 0), FAULT_BAD_REQUEST, "image", "no body");
    }
    CHECK_TAKEN(take(INPUT_CAPTION, "Application/JSON; charset=utf-8", NULL, "{\"image\": \"QUI=\"}", 17));
    CHECK(IS_IMAGE(0, "AB"));
}

static void test_parameters(void)
{
    CHECK_TAKEN(RAW(INPUT_CAPTION, "num_beams=5&num_captions=3&max_tokens=64&length_penalty=-0.5&regions=1&explain=true"
                                   "&tolerate_truncated=1&timeout_ms=250"));
    CHECK(input.num_beams == 5 && input.num_captions == 3 && input.max_tokens == 64 && input.timeout_ms == 250);
    CHECK_NEAR(input.length_penalty, -0.5, 1e-9);
    CHECK(input.regions && input.explain && input.tolerate_truncated && !input.stream);
    CHECK_TAKEN(RAW(INPUT_CAPTION, "stream=true&num_beams=1&regions=false&explain=0"));
    CHECK(input.stream && !input.regions && !input.explain);
    CHECK_TAKEN(RAW(INPUT_VQA, "question=what?&top_k=20"));
    CHECK(input.top_k == 20 && IS_TEXT(0, "what?") && !input.has_text_list);
    CHECK_TAKEN(RAW(INPUT_VQA, "questions=what?&question=who?"));
    CHECK(input.n_texts == 2 && IS_TEXT(1, "who?") && input.has_text_list);
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "text=a&text=b&top_k=2147483647"));
    CHECK(input.n_texts == 2 && input.top_k == 2147483647 && IS_TEXT(0, "a") && IS_TEXT(1, "b"));
    CHECK_TAKEN(RAW(INPUT_CAPTION, "num_beams=1&num_beams=+2e0")); /* the last one counts */
    CHECK_INT(input.num_beams, 2);
    CHECK_TAKEN(take(INPUT_RETRIEVE, NULL, "collection=pets&text=a", "", 0));
    CHECK_STR(input.collection, "pets");
}

static void test_faults_of_parameters(void)
{
    static const struct {
        enum input_route route;
        const char *query, *param;
    } cases[] = {
        {INPUT_CAPTION, "colour=1", "colour"},
        {INPUT_CAPTION, "=1", ""},
        {INPUT_CAPTION, "Num_beams=1", "Num_beams"},
        {INPUT_CAPTION, "question=a", "question"},
        {INPUT_CAPTION, "top_k=1", "top_k"},
        {INPUT_VQA, "question=a&num_beams=1", "num_beams"},
        {INPUT_VQA, "question=a&text=1", "text"},
        {INPUT_STORE, "regions=1", "regions"},
        {INPUT_CHECK, "collection=a", "collection"},
        {INPUT_CAPTION, "num_beams=0", "num_beams"},
        {INPUT_CAPTION, "num_beams=11", "num_beams"},
        {INPUT_CAPTION, "num_beams=1.5", "num_beams"},
        {INPUT_CAPTION, "num_beams=", "num_beams"},
        {INPUT_CAPTION, "num_beams", "num_beams"},
        {INPUT_CAPTION, "num_beams=1x", "num_beams"},
        {INPUT_CAPTION, "num_beams= 1", "num_beams"},
        {INPUT_CAPTION, "num_beams=0x1", "num_beams"},
        {INPUT_CAPTION, "num_beams=nan", "num_beams"},
        {INPUT_CAPTION, "num_beams=e", "num_beams"},
        {INPUT_CAPTION, "num_beams=00000000000000000000000000000001", "num_beams"},
        {INPUT_CAPTION, "num_captions=11", "num_captions"},
        {INPUT_CAPTION, "num_captions=3&num_beams=2", "num_captions"},
        {INPUT_CAPTION, "max_tokens=65", "max_tokens"},
        {INPUT_CAPTION, "length_penalty=5.01", "length_penalty"},
        {INPUT_CAPTION, "length_penalty=-inf", "length_penalty"},
        {INPUT_CAPTION, "length_penalty=1e999", "length_penalty"},
        {INPUT_VQA, "question=a&top_k=21", "top_k"},
        {INPUT_RETRIEVE, "text=a&top_k=2147483648", "top_k"},
        {INPUT_CAPTION, "timeout_ms=0", "timeout_ms"},
        {INPUT_CAPTION, "timeout_ms=1e13", "timeout_ms"},
        {INPUT_CAPTION, "regions=yes", "regions"},
        {INPUT_CAPTION, "regions=", "regions"},
        {INPUT_CAPTION, "stream=1&num_beams=2", "stream"},
        {INPUT_CAPTION, "stream=1&num_captions=2", "stream"},
        {INPUT_VQA, NULL, "question"},
        {INPUT_VQA, "question=", "question"},
        {INPUT_VQA, "question= \t", "question"},
        {INPUT_VQA, "questions=\xff", "questions"},
        {INPUT_RETRIEVE, NULL, "texts"},
        {INPUT_RETRIEVE, "collection=", "collection"},
        {INPUT_RETRIEVE, "collection=a&text=b", "collection"}, /* and an image */
        {INPUT_RETRIEVE, "collection=a", "texts"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *query = cases[i].query;
        CHECK_FAULT(RAW(cases[i].route, query), FAULT_BAD_REQUEST, cases[i].param, query ? query : "(none)");
    }
    CHECK_FAULT(take(INPUT_RETRIEVE, NULL, "collection=a&text=b&text=c", "", 0), FAULT_BAD_REQUEST, "collection",
                "two");
}

/* http.c gives decoded values with their length: NUL bytes may be inside. */
static void test_nul_in_the_query(void)
{
    struct exchange_pair pair = {"num_beams", "1\0x", 9, 3};
    struct exchange x = {.query = &pair, .n_query = 1};
    input_release(&input);
    CHECK_FAULT(input_take(&input, INPUT_CAPTION, &x, &limits, &fault), FAULT_BAD_REQUEST, "num_beams", "NUL");
    pair = (struct exchange_pair){"collection", "pets\0x", 10, 6};
    input_release(&input);
    CHECK_FAULT(input_take(&input, INPUT_RETRIEVE, &x, &limits, &fault), FAULT_BAD_REQUEST, "collection", "NUL");
}

/* ---- limits ---- */

static void test_limits(void)
{
    set_limits(2, 3, 4, 16);
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "text=a&text=b&text=c"));
    CHECK_FAULT(RAW(INPUT_RETRIEVE, "text=a&text=b&text=c&text=d"), FAULT_TOO_MANY_INPUTS, "text", "4 texts");
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "text=0123456789abcdef"));
    CHECK_FAULT(RAW(INPUT_RETRIEVE, "text=0123456789abcdefg"), FAULT_TEXT_TOO_LONG, "text", "17 bytes");
    CHECK_TAKEN(take_json(INPUT_RETRIEVE, NULL, "{\"images\": [\"QQ==\", \"QQ==\"], \"texts\": [\"a\", \"b\"]}"));
    CHECK_FAULT(take_json(INPUT_RETRIEVE, NULL, "{\"images\": [\"QQ==\", \"QQ==\"], \"texts\": [\"a\", \"b\", \"c\"]}"),
                FAULT_TOO_MANY_INPUTS, "texts", "6 pairs");
    CHECK_FAULT(take_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", \"QQ==\", \"QQ==\"]}"), FAULT_TOO_MANY_INPUTS,
                "/images/2", "3 images");
    set_limits(16, 128, 1, 4096);
    CHECK_FAULT(take_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", \"QQ==\"]}"), FAULT_TOO_MANY_INPUTS, "texts",
                "2 pairs of images alone");
    set_limits(16, 128, 1024, 4096);
}

static void test_one_image_at_a_time(void)
{
    CHECK_TAKEN(RAW(INPUT_STORE, NULL));
    CHECK_TAKEN(RAW(INPUT_CHECK, "tolerate_truncated=1&timeout_ms=5"));
    CHECK_FAULT(take(INPUT_STORE, NULL, NULL, "", 0), FAULT_BAD_REQUEST, "image", "none");
    static const char two[] = "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n"
                              "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nb\r\n--B--";
    CHECK_FAULT(take_form(INPUT_STORE, two, sizeof(two) - 1), FAULT_BAD_REQUEST, "image", "two");
}

/* ---- UTF-8 ---- */

static void test_utf8(void)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        {"", true},
        {"a\x7f\x01", true},
        {"\xc2\x80", true}, /* U+0080 */
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true}, /* U+0800 */
        {"\xed\x9f\xbf", true}, /* U+D7FF */
        {"\xee\x80\x80", true}, /* U+E000 */
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true}, /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF */
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\x80", false}, /* overlong NUL */
        {"\xc0\xaf", false}, /* overlong / */
        {"\xc1\xbf", false},
        {"\xc2", false},
        {"\xc2\x7f", false},
        {"\xc2\xc0", false},
        {"\xe0\x80\xaf", false},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0", false},
        {"\xe0\xa0\x7f", false},
        {"\xe1\x80\xc0", false},
        {"\xed\xa0\x80", false}, /* a surrogate */
        {"\xed\xbf\xbf", false},
        {"\xf0\x80\x80\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80", false},
        {"\xf4\x90\x80\x80", false}, /* U+110000 */
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"a\xc3\xa9z", true},
        {"a\xc3", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *exact = malloc(strlen(cases[i].text) + 1); /* asan sees a byte too much */
        memcpy(exact, cases[i].text, strlen(cases[i].text));
        if (input_is_utf8(exact, strlen(cases[i].text)) != cases[i].is_good) {
            fprintf(stderr, "row %zu\n", i);
        }
        CHECK_INT(input_is_utf8(exact, strlen(cases[i].text)), cases[i].is_good);
        free(exact);
    }
    CHECK(input_is_utf8("a\0b", 3));
}

/* ---- allocations that fail ---- */

/* True when it was taken; a failure must say so and leave nothing. */
static bool fails_well(long n, const char *type, const char *body)
{
    input_release(&input);
    buf_release(&exchange.body);
    size_t before = mem_live_bytes();
    exchange = (struct exchange){.n_query = 0};
    exchange.headers[HEADER_CONTENT_TYPE] = type;
    buf_init(&exchange.body, 4096);
    buf_text(&exchange.body, body);
    mem_fail_after(n);
    bool is_good = input_take(&input, INPUT_CAPTION, &exchange, &limits, &fault);
    mem_fail_after(0);
    CHECK(is_good || (fault.fault == FAULT_INTERNAL && strcmp(fault.text.text, "out of memory") == 0));
    input_release(&input);
    CHECK_INT(mem_live_bytes(), before);
    return is_good;
}

static void test_no_memory(void)
{
    static const char *const requests[][2] = {
        {"image/png", "bytes"},
        {"application/json", "{\"images\": [\"QQ==\", \"data:image/png;base64,QUI=\"]}"},
        {"multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n--B--"}};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        long n = 1;
        while (n < 100 && !fails_well(n, requests[i][0], requests[i][1])) {
            n++;
        }
        CHECK(n > 4 && n < 100);
    }
}

int main(void)
{
    set_limits(16, 128, 1024, 4096);
    test_raw_body();
    test_parameters();
    test_faults_of_parameters();
    test_nul_in_the_query();
    test_limits();
    test_one_image_at_a_time();
    test_utf8();
    test_no_memory();
    input_release(&input);
    return check_result();
}
