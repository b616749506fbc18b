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

static bool take_pair(enum input_route route, const struct exchange_pair *pair)
{
    struct buf b;
    buf_init(&b, 16);
    buf_text(&b, "bytes");
    return parse(&(struct input_source){.route = route, .query = pair, .n_query = 1, .body = &b, .limits = limits});
}

/* http.c gives decoded values with their length: NUL bytes may be inside. */
static void test_nul_in_the_query(void)
{
    CHECK_FAULT(take_pair(INPUT_CAPTION, &(struct exchange_pair){"num_beams", "1\0x", 9, 3}), FAULT_BAD_REQUEST,
                "num_beams", "NUL");
    CHECK_FAULT(take_pair(INPUT_CAPTION, &(struct exchange_pair){"regions", "1\0x", 7, 3}), FAULT_BAD_REQUEST,
                "regions", "NUL");
    CHECK_FAULT(take_pair(INPUT_RETRIEVE, &(struct exchange_pair){"collection", "pets\0x", 10, 6}), FAULT_BAD_REQUEST,
                "collection", "NUL");
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

/* ---- allocations that fail ---- */

/* True when it was taken; a failure must say so and leave nothing. */
static bool fails_well(long n, enum input_route route, const char *type, const char *body)
{
    struct input_source *copy = NULL;
    struct exchange_pair pair = {"timeout_ms", "5", 10, 1};
    struct buf b;
    input_release(&input);
    size_t before = mem_live_bytes();
    buf_init(&b, 4096);
    buf_text(&b, body);
    struct input_source s = {
        .route = route, .content_type = type, .query = &pair, .n_query = 1, .body = &b, .limits = limits};
    mem_fail_after(n);
    bool is_good = !input_source_copy(&copy, &s), is_copied = is_good;
    is_good = is_good && input_parse(&input, copy, &fault);
    mem_fail_after(0);
    CHECK(is_good || !is_copied || (fault.fault == FAULT_INTERNAL && strcmp(fault.text.text, "out of memory") == 0));
    CHECK(is_copied ? !b.bytes : b.n == strlen(body)); /* what could not be copied stays with the caller */
    input_release(&input);
    input_source_destroy(copy);
    buf_release(&b);
    CHECK_INT(mem_live_bytes(), before);
    return is_good;
}

static void test_no_memory(void)
{
    static const struct {
        enum input_route route;
        const char *type, *body;
    } requests[] = {
        {INPUT_CAPTION, "image/png", "bytes"},
        {INPUT_CAPTION, "application/json", "{\"images\": [\"QQ==\", \"!\", \"data:image/png;base64,QUI=\"]}"},
        {INPUT_RETRIEVE, "application/json", "{\"collection\": \"pets\", \"texts\": [\"a\"]}"},
        {INPUT_CAPTION, "multipart/form-data; boundary=B",
         "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n--B--"}};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        long n = 1;
        while (n < 100 && !fails_well(n, requests[i].route, requests[i].type, requests[i].body)) {
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
    test_no_memory();
    input_release(&input);
    return check_result();
}
