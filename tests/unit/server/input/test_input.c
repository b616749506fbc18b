/* Raw bodies, query strings, UTF-8, counts, and allocations that fail. */
#include "tests/unit/server/input/test_input.h"

#define RAW(route, query) read_body(route, "image/gif", query, "GIF89a", 6)

/* ---- raw bodies ---- */

static void test_raw_body(void)
{
    static const char *const types[] = {NULL,
                                        "",
                                        "image/jpeg",
                                        "application/octet-stream",
                                        "text/plain",
                                        "application/x-www-form-urlencoded",
                                        "application/jsonx"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CHECK_TAKEN(read_body(INPUT_CAPTION, types[i], NULL, "\xff\xd8\0x", 4));
        CHECK(input.n_images == 1 && IS_IMAGE(0, "\xff\xd8\0x"));
        CHECK(!input.has_image_list && isnan(input.length_penalty));
        CHECK_FAULT(read_body(INPUT_CAPTION, types[i], NULL, "", 0), FAULT_BAD_REQUEST, "image", "no body");
    }
    CHECK_TAKEN(read_body(INPUT_CAPTION, "Application/JSON; charset=utf-8", NULL, "{\"image\": \"QUI=\"}", 17));
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
    CHECK_TAKEN(RAW(INPUT_CAPTION, "regions=True&explain=FALSE&num_beams=&stream=")); /* Python; fields not filled in */
    CHECK(input.regions && !input.explain && input.num_beams == 0 && !input.stream);
    CHECK_TAKEN(RAW(INPUT_CAPTION, "explain=Attention"));
    CHECK(input.explain);
    CHECK_TAKEN(RAW(INPUT_VQA, "question=what?&questions="));
    CHECK(input.n_texts == 1 && !input.has_text_list);
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "texts[]=a&texts[]=b"));
    CHECK(input.n_texts == 2 && IS_TEXT(0, "a") && IS_TEXT(1, "b") && input.has_text_list);
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "texts[2]=c&texts[0]=a&texts[3]=d&texts[1]=b"));
    CHECK(input.n_texts == 4 && IS_TEXT(0, "a") && IS_TEXT(1, "b") && IS_TEXT(2, "c") && IS_TEXT(3, "d"));
    CHECK_TAKEN(RAW(INPUT_VQA, "questions[1]=b&questions[00]=a"));
    CHECK(IS_TEXT(0, "a") && IS_TEXT(1, "b"));
    CHECK_TAKEN(read_body(INPUT_RETRIEVE, "application/json", "collection=dogs&collection=pets&text=a", "", 0));
    CHECK_STR(input.collection, "pets");
    CHECK_TAKEN(read_body(INPUT_RETRIEVE, NULL, "collection=pets&text=a", "", 0));
    CHECK_STR(input.collection, "pets");
}

static const struct {
    enum input_route route;
    const char *query, *param;
} faulty[] = {
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
    {INPUT_CAPTION, "num_beams", "num_beams"},
    {INPUT_CAPTION, "num_beams=1x", "num_beams"},
    {INPUT_CAPTION, "num_beams='1'", "num_beams"},
    {INPUT_CAPTION, "num_beams= ", "num_beams"},
    {INPUT_CAPTION, "num_beams=\xef\xbc\x93", "num_beams"},
    {INPUT_CAPTION, "num_beams=None", "num_beams"},
    {INPUT_CAPTION, "num_beams=1_0", "num_beams"},
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
    {INPUT_CAPTION, "regions", "regions"}, /* on, or not given? */
    {INPUT_CAPTION, "regions=on", "regions"},
    {INPUT_CAPTION, "explain=no", "explain"},
    {INPUT_CAPTION, "num_beams[]=2", "num_beams[]"},
    {INPUT_CAPTION, "texts[]=2", "texts[]"},
    {INPUT_CAPTION, "stream=1&num_beams=2", "stream"},
    {INPUT_CAPTION, "stream=1&num_captions=2", "stream"},
    {INPUT_VQA, NULL, "question"},
    {INPUT_VQA, "question=", "question"},
    {INPUT_VQA, "question= \t", "question"},
    {INPUT_VQA, "question=\xc2\xa0\xe3\x80\x80\xe2\x80\x8b\xef\xbb\xbf", "question"}, /* nothing to be seen */
    {INPUT_VQA, "question=[\"a\",\"b\"]", "question"},
    {INPUT_VQA, "question=[ ]", "question"},
    {INPUT_VQA, "questions=[ 'a', 'b' ] ", "questions"},
    {INPUT_RETRIEVE, "texts[]=['a']", "texts[]"},
    {INPUT_VQA, "questions=\xff", "questions"},
    {INPUT_RETRIEVE, NULL, "texts"},
    {INPUT_RETRIEVE, "collection=", "texts"}, /* not given */
    {INPUT_RETRIEVE, "text=a&text=", "text"},
    {INPUT_RETRIEVE, "texts[0]=a&texts[2]=b", "texts"},
    {INPUT_RETRIEVE, "texts[1]=a&texts[2]=b", "texts"},
    {INPUT_RETRIEVE, "texts[0]=a&texts[0]=b", "texts"},
    {INPUT_RETRIEVE, "texts[0]=a&text=b", "texts"},
    {INPUT_RETRIEVE, "texts[-1]=a", "texts[-1]"},
    {INPUT_RETRIEVE, "texts[0x1]=a", "texts[0x1]"},
    {INPUT_RETRIEVE, "texts[999999999999]=a", "texts[999999999999]"},
    {INPUT_RETRIEVE, "texts[0=a", "texts[0"},
    {INPUT_RETRIEVE, "texts0]=a", "texts0]"},
    {INPUT_RETRIEVE, "[]=a", "[]"},
    {INPUT_RETRIEVE, "texts[0][0]=a", "texts[0][0]"},
    {INPUT_RETRIEVE, "texts.x=a", "texts.x"},
    {INPUT_RETRIEVE, "texts.=a", "texts."},
    {INPUT_RETRIEVE, "texts.0]=a", "texts.0]"},
    {INPUT_RETRIEVE, "texts.1=a&texts.2=b", "texts"},
    {INPUT_RETRIEVE, "top_k.0=1&text=a", "top_k.0"},
    {INPUT_RETRIEVE, "collection=a&text=b", "collection"}, /* and an image */
    {INPUT_RETRIEVE, "collection=a", "texts"},
};

static void test_faults_of_parameters(void)
{
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        const char *query = faulty[i].query;
        CHECK_FAULT(RAW(faulty[i].route, query), FAULT_BAD_REQUEST, faulty[i].param, query ? query : "(none)");
    }
    CHECK_FAULT(read_body(INPUT_RETRIEVE, NULL, "collection=a&text=b&text=c", "", 0), FAULT_BAD_REQUEST, "collection",
                "two");
}

static bool read_pair(enum input_route route, const struct exchange_pair *pair)
{
    struct buf b;
    buf_init(&b, 16);
    buf_text(&b, "bytes");
    return parse(&(struct input_source){.route = route, .query = pair, .n_query = 1, .body = &b, .limits = limits});
}

/* http.c gives decoded values with their length: NUL bytes may be inside. */
static void test_nul_in_the_query(void)
{
    CHECK_FAULT(read_pair(INPUT_CAPTION, &(struct exchange_pair){"num_beams", "1\0x", 9, 3}), FAULT_BAD_REQUEST,
                "num_beams", "NUL");
    CHECK_FAULT(read_pair(INPUT_CAPTION, &(struct exchange_pair){"regions", "1\0x", 7, 3}), FAULT_BAD_REQUEST,
                "regions", "NUL");
    CHECK_FAULT(read_pair(INPUT_RETRIEVE, &(struct exchange_pair){"collection", "pets\0x", 10, 6}), FAULT_BAD_REQUEST,
                "collection", "NUL");
}

/* ---- bodies that are something else ---- */

#define BODY(type, text) read_body(INPUT_CAPTION, type, NULL, text, sizeof(text) - 1)

static void test_json_without_its_type(void)
{
    static const char *const types[] = {NULL, "application/vnd.api+json; charset=utf-8", "text/json"};
    static const char *const others[] = {"text/plain", "application/x-www-form-urlencoded", "image/jpeg"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK_FAULT(BODY(others[i], " {\"image\": \"QUI=\"}"), FAULT_UNSUPPORTED_IMAGE, "Content-Type", "JSON");
        CHECK(says("Content-Type: application/json"));
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CHECK_TAKEN(BODY(types[i], " \r\n{\"image\": \"QUI=\"}"));
        CHECK(input.n_images == 1 && IS_IMAGE(0, "AB"));
        CHECK_TAKEN(BODY(types[i], "\xef\xbb\xbf{\"image\": \"QUI=\"}"));
        CHECK(IS_IMAGE(0, "AB"));
        CHECK_FAULT(BODY(types[i], "{\"image\": 1"), FAULT_BAD_REQUEST, "", "not whole");
        CHECK_FAULT(BODY(types[i], "\xff\xfe{\0}\0"), FAULT_BAD_REQUEST, "", "UTF-16");
        CHECK(says("UTF-8"));
    }
    /* and the other way round: the bytes decide */
    static const char *const wrong[] = {"application/json", "multipart/form-data", "text/html"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_TAKEN(BODY(wrong[i], "\xff\xd8\xff\xe0..."));
        CHECK(input.n_images == 1 && IS_IMAGE(0, "\xff\xd8\xff\xe0..."));
        CHECK_TAKEN(BODY(wrong[i], "\x89PNG\r\n\x1a\n"));
        CHECK_TAKEN(BODY(wrong[i], "RIFF....WEBPVP8 "));
        CHECK_TAKEN(BODY(wrong[i], "GIF89a"));
        CHECK_TAKEN(BODY(wrong[i], "II*\0...."));
        CHECK_TAKEN(BODY(wrong[i], "\0\0\0\x18"
                                   "ftypheic"));
    }
    static const struct {
        const char *body, *told;
        size_t n;
        enum fault fault;
        const char *param;
    } no_json[] = {
#define NO_JSON(body, told, fault, param) {body, told, sizeof(body) - 1, fault, param}
        NO_JSON("{\0\"\0a\0", "UTF-16", FAULT_BAD_REQUEST, ""),
        NO_JSON("\0{\0\"\0a", "UTF-16", FAULT_BAD_REQUEST, ""),
        NO_JSON("{\0\0\0\"\0\0\0", "UTF-32", FAULT_BAD_REQUEST, ""),
        NO_JSON("--x\r\ncontent-disposition: form-data; name=\"image\"\r\n\r\nx", "leave this header",
                FAULT_UNSUPPORTED_IMAGE, "Content-Type"),
        NO_JSON("question=what&image=%2F9j", "json=...", FAULT_BAD_REQUEST, "Content-Type"),
        NO_JSON("/9j/4AAQ", "base64", FAULT_UNSUPPORTED_IMAGE, "image"),
        NO_JSON("\x28\xb5\x2f\xfd....", "zstd", FAULT_UNSUPPORTED_ENCODING, ""),
        NO_JSON("\x78\x9c....", "zlib", FAULT_UNSUPPORTED_ENCODING, ""),
        NO_JSON("\"{\\\"image\\\": 1}\"", "encoded twice", FAULT_BAD_REQUEST, ""),
        NO_JSON("[{\"image\": 1}]", "not a list", FAULT_BAD_REQUEST, ""),
        NO_JSON("image: a", "JSON begins with {", FAULT_BAD_REQUEST, ""),
    };
    for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++) {
        CHECK_FAULT(read_body(INPUT_CAPTION, "application/json", NULL, no_json[i].body, no_json[i].n), no_json[i].fault,
                    no_json[i].param, no_json[i].told);
        CHECK(says(no_json[i].told));
    }
}

static bool with_encoding(const char *encoding)
{
    struct buf b;
    buf_init(&b, 16);
    buf_text(&b, "bytes");
    return parse(
        &(struct input_source){.route = INPUT_CAPTION, .content_encoding = encoding, .body = &b, .limits = limits});
}

static void test_content_encoding(void)
{
    static const char *const refused[] = {"gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "identity, gzip", "xyz"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        CHECK_FAULT(with_encoding(refused[i]), FAULT_UNSUPPORTED_ENCODING, "Content-Encoding", refused[i]);
        CHECK(says(refused[i]));
    }
    CHECK_TAKEN(with_encoding("identity"));
    CHECK_TAKEN(with_encoding(" Identity"));
    CHECK_TAKEN(with_encoding(""));
    CHECK_FAULT(BODY("application/json", "\x1f\x8b\x08..."), FAULT_UNSUPPORTED_ENCODING, "", "gzip without the header");
}

/* curl -d @photo.jpg: CR and LF are gone. */
static void test_lost_newlines(void)
{
    enum { N = 70000 };
    static char photo[N];
    for (size_t head = 0; head < 3; head++) {
        for (size_t k = 0; k < N; k++) {
            photo[k] = "xy"[k % 2];
        }
        memcpy(photo,
               head == 0   ? "\xff\xd8\xff\xe0"
               : head == 1 ? "RIFF....WEBP"
                           : "\x89PNG....",
               head == 0   ? 4
               : head == 1 ? 12
                           : 8);
        static const char *const types[] = {"application/x-www-form-urlencoded", "image/jpeg", NULL};
        for (size_t i = 0; i < 3; i++) {
            CHECK_FAULT(read_body(INPUT_CHECK, types[i], NULL, photo, N), FAULT_CORRUPT_IMAGE, "image", "no CR, no LF");
            CHECK(says("--data-binary"));
        }
        photo[1000] = '\n';
        CHECK_TAKEN(read_body(INPUT_CHECK, NULL, NULL, photo, N));
        photo[1000] = '\r';
        CHECK_TAKEN(read_body(INPUT_CHECK, NULL, NULL, photo, N));
        photo[1000] = 'x';
        CHECK_TAKEN(read_body(INPUT_CHECK, NULL, NULL, photo, 2000)); /* by chance */
        memset(photo + 20, 0, N - 20);
        CHECK_TAKEN(read_body(INPUT_CHECK, NULL, NULL, photo, N)); /* padding, as cameras write it */
    }
    CHECK_FAULT(BODY(NULL, "\x89PNG\x1a\0\0\0\x0dIHDR"), FAULT_CORRUPT_IMAGE, "image", "PNG says so itself");
}

static void test_other_bodies(void)
{
    static const struct {
        const char *type, *body, *words;
    } cases[] = {
        {"application/x-www-form-urlencoded", "image=%40photo.jpg&num_beams=2", "--data-binary"},
        {"application/x-www-form-urlencoded; charset=utf-8", "texts[]=a", "-F image=@file"},
        {NULL, "--xyz\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n--xyz--", "Content-Type"},
        {"multipart/mixed; boundary=xyz", "--xyz\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na",
         "multipart/form-data"},
        {"image/jpeg", "/9j/4AAQSkZJRg==", "base64"},
        {NULL, "data:image/png;base64,iVBORw0KGgo=", "base64"},
        {"text/plain", "iVBORw0KGgoAAAANSUhEUg==", "base64"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK(!read_body(INPUT_CAPTION, cases[i].type, NULL, cases[i].body, strlen(cases[i].body)));
        CHECK_INT(fault.fault, FAULT_UNSUPPORTED_IMAGE);
        CHECK(says(cases[i].words));
    }
    CHECK_TAKEN(BODY("application/x-www-form-urlencoded", "GIF89a;")); /* the decoder names what it is */
}

/* ---- other threads ---- */

/* A copied source needs nothing of what it was copied from. */
static void test_copy(void)
{
    char *type = strdup("multipart/form-data; boundary=B"), *name = strdup("question"), *value = strdup("why");
    struct exchange_pair *pairs = calloc(2, sizeof(*pairs));
    struct input_source *copy;
    struct buf b;
    static const char form[] = "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n--B--";
    pairs[0] = (struct exchange_pair){name, value, 8, 3};
    pairs[1] = (struct exchange_pair){"top_k", "2", 5, 1};
    buf_init(&b, 1000);
    buf_append(&b, form, sizeof(form) - 1);
    struct input_source s = {
        .route = INPUT_VQA, .content_type = type, .query = pairs, .n_query = 2, .body = &b, .limits = limits};
    CHECK_INT(input_source_copy(&copy, &s), OK);
    CHECK(!b.bytes && b.n == 0);
    memset(&s, 0x5a, sizeof(s));
    free(type);
    free(name);
    free(value);
    free(pairs);
    CHECK_TAKEN(parse(copy));
    input_source_destroy(copy);
    CHECK(input.n_images == 1 && IS_IMAGE(0, "a") && IS_TEXT(0, "why") && input.top_k == 2);
    input_source_destroy(NULL);
}

static void test_heavy(void)
{
    static char body[300 << 10];
    static const struct {
        const char *type, *begin;
        size_t n;
        bool is_heavy;
    } cases[] = {
        {NULL, "\xff\xd8\xff", sizeof(body), false},        {"application/json", "{", 16 << 10, false},
        {"application/json", "{", (16 << 10) + 1, true},    {NULL, "{", 20000, true},
        {"multipart/form-data", "--", 256 << 10, false},    {"multipart/form-data", "--", (256 << 10) + 1, true},
        {"application/json", "\xff\xd8\xff", 20000, false}, {NULL, "", 0, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b;
        memset(body, 'x', sizeof(body));
        memcpy(body, cases[i].begin, strlen(cases[i].begin));
        buf_init(&b, sizeof(body));
        buf_append(&b, body, cases[i].n);
        struct input_source s = {.route = INPUT_CAPTION, .content_type = cases[i].type, .body = &b, .limits = limits};
        CHECK_INT(input_weight(&s) > INPUT_WEIGHT_MAX, cases[i].is_heavy);
        CHECK(input_need_bytes(&s) < 1 << 20);
        buf_release(&b);
    }
}

/* ---- limits ---- */

static void test_limits(void)
{
    set_limits(2, 3, 4, 16);
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "text=a&text=b&text=c"));
    CHECK_FAULT(RAW(INPUT_RETRIEVE, "text=a&text=b&text=c&text=d"), FAULT_TOO_MANY_INPUTS, "text", "4 texts");
    CHECK_TAKEN(RAW(INPUT_RETRIEVE, "text=0123456789abcdef"));
    CHECK_FAULT(RAW(INPUT_RETRIEVE, "text=0123456789abcdefg"), FAULT_TEXT_TOO_LONG, "text", "17 bytes");
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, NULL, "{\"images\": [\"QQ==\", \"QQ==\"], \"texts\": [\"a\", \"b\"]}"));
    CHECK_FAULT(read_json(INPUT_RETRIEVE, NULL, "{\"images\": [\"QQ==\", \"QQ==\"], \"texts\": [\"a\", \"b\", \"c\"]}"),
                FAULT_TOO_MANY_INPUTS, "texts", "6 pairs");
    CHECK_FAULT(read_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", \"QQ==\", \"QQ==\"]}"), FAULT_TOO_MANY_INPUTS,
                "/images/2", "3 images");
    set_limits(16, 128, 1, 4096);
    CHECK_FAULT(read_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", \"QQ==\"]}"), FAULT_TOO_MANY_INPUTS, "texts",
                "2 pairs of images alone");
    set_limits(16, 128, 1024, 4096);
}

static void test_one_image_at_a_time(void)
{
    CHECK_TAKEN(RAW(INPUT_STORE, NULL));
    CHECK_TAKEN(RAW(INPUT_CHECK, "tolerate_truncated=1&timeout_ms=5"));
    CHECK_FAULT(read_body(INPUT_STORE, NULL, NULL, "", 0), FAULT_BAD_REQUEST, "image", "none");
    static const char two[] = "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na\r\n"
                              "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nb\r\n--B--";
    CHECK_FAULT(read_form(INPUT_STORE, two, sizeof(two) - 1), FAULT_BAD_REQUEST, "image", "two");
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
    test_json_without_its_type();
    test_content_encoding();
    test_lost_newlines();
    test_other_bodies();
    test_copy();
    test_heavy();
    test_limits();
    test_one_image_at_a_time();
    test_no_memory();
    input_release(&input);
    return check_result();
}
