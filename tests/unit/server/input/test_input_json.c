/* Bodies of JSON: images in their three spellings, lists, reranking, and a fault with its param for each mistake. */
#include "tests/unit/server/input/test_input.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

/* ---- images ---- */

static void test_images(void)
{
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"QUJD\"}"));
    CHECK(input.n_images == 1 && IS_IMAGE(0, "ABC") && !input.has_image_list);
    CHECK((const char *)input.images[0].bytes >= input.body.bytes); /* decoded where it stood: never there twice */
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"data:image/jpeg;base64,QUI=\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"DATA:;BASE64,QUI=\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"data:image/png;x=y;base64,Q\\nUI=\\r\\n\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": {\"id\": \"" ID "\"}}"));
    CHECK(input.n_images == 1 && !input.images[0].bytes && input.images[0].id.bytes[1] == 0x11);
    CHECK(input.images[0].id.bytes[31] == 0xff);
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", {\"id\": \"" ID "\"}, \"Qg==\"]}"));
    CHECK(input.n_images == 3 && IS_IMAGE(0, "A") && !input.images[1].bytes && IS_IMAGE(2, "B"));
    CHECK(input.has_image_list);
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\"], \"image\": \"Qg==\"}"));
    CHECK_INT(input.n_images, 2);
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": {\"id\": \"" ID "\"}, \"images\": null}"));
    CHECK(input.body.bytes == NULL);                                      /* nothing points there */
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"-_-_\"}")); /* base64url */
    CHECK(IS_IMAGE(0, "\xfb\xff\xbf"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \"_w\"}"));
    CHECK(IS_IMAGE(0, "\xff"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"image\": \" data:image/png;base64,%2Bw%3D=\"}"));
    CHECK(IS_IMAGE(0, "\xfb"));
    CHECK_TAKEN(read_json(INPUT_CAPTION, NULL, "{\"im\\u0061ge\": \"\\/9j\\/\"}")); /* PHP escapes the slash */
    CHECK(IS_IMAGE(0, "\xff\xd8\xff"));
    CHECK_FAULT(read_json(INPUT_CAPTION, NULL, "{\"image\": \"\"}"), FAULT_UNSUPPORTED_IMAGE, "/image", "no bytes");
    CHECK_FAULT(read_json(INPUT_CAPTION, NULL, "{\"images\": [\" \"]}"), FAULT_UNSUPPORTED_IMAGE, "/images/0", "none");
}

static void test_faults_of_images(void)
{
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{\"image\": \"QUI=QUI\"}", "/image"},
        {"{\"image\": \"QUI=\\u00a0\"}", "/image"},
        {"{\"image\": \"image/jpeg;base64,QUI=\"}", "/image"},
        {"{\"image\": \"" ID "\"}", "/image"},
        {"{\"image\": \"b'QUI='\"}", "/image"},
        {"{\"image\": \"ffd8ffe000104a46\"}", "/image"},
        {"{\"image\": \"[object Object]\"}", "/image"},
        {"{\"image\": \"Q*==\"}", "/image"},
        {"{\"image\": \"QUI=QUI=\"}", "/image"},
        {"{\"image\": \"data:image/jpeg,QUI=\"}", "/image"},
        {"{\"image\": \"data:\"}", "/image"},
        {"{\"image\": \"data:,\"}", "/image"},
        {"{\"image\": \"data:base64,QUI=\"}", "/image"},
        {"{\"image\": \"data:;base64\"}", "/image"},
        {"{\"image\": \"data:image/jpeg;base64;QUI=\"}", "/image"},
        {"{\"image\": \"http://localhost/a.jpg\"}", "/image"},
        {"{\"image\": \"HTTPS://localhost/a.jpg\"}", "/image"},
        {"{\"image\": \"file:///etc/passwd\"}", "/image"},
        {"{\"image\": 1}", "/image"},
        {"{\"image\": null}", "image"},
        {"{\"images\": null}", "image"},
        {"{\"images\": [\"QQ==\", null]}", "/images/1"},
        {"{\"image\": \"-/-_\"}", "/image"},
        {"{\"image\": [\"QQ==\"]}", "/image"},
        {"{\"image\": {}}", "/image"},
        {"{\"image\": {\"id\": 7}}", "/image"},
        {"{\"image\": {\"id\": \"00\"}}", "/image"},
        {"{\"image\": {\"id\": \"" ID "0\"}}", "/image"},
        {"{\"image\": {\"id\": \"" ID "\", \"x\": 1}}", "/image"},
        {"{\"images\": \"QQ==\"}", "images"},
        {"{\"images\": {}}", "images"},
        {"{\"images\": []}", "image"},
        {"{\"images\": [\"QQ==\", 7]}", "/images/1"},
        {"{\"images\": [[]]}", "/images/0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(read_json(INPUT_CAPTION, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
    CHECK_TAKEN(read_json(INPUT_STORE, NULL, "{\"images\": [\"QQ==\"]}"));
    CHECK_FAULT(read_json(INPUT_STORE, NULL, "{\"images\": [\"QQ==\", \"QQ==\"]}"), FAULT_BAD_REQUEST, "image",
                "store");
    static const char *const told[][2] = {
        {"{\"image\": [255, 216]}", "not a list of numbers"},
        {"{\"image\": {\"type\": \"Buffer\", \"data\": [255, 216]}}", "not a list of numbers"},
        {"{\"image\": {\"0\": 255, \"1\": 216}}", "not a list of numbers"},
        {"{\"image\": [\"QQ==\"]}", "put a list into images"},
        {"{\"image\": \"/home/me/cat.jpg\"}", "name of a file"},
        {"{\"image\": \"cat.jpeg\"}", "name of a file"},
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        CHECK_FAULT(read_json(INPUT_CAPTION, NULL, told[i][0]), FAULT_BAD_REQUEST, "/image", told[i][0]);
        CHECK(strstr(fault.text.text, told[i][1]) != NULL);
    }
}

/* ---- the object ---- */

static void test_what_is_no_object(void)
{
    static const char *const bodies[] = {"{",
                                         "[]",
                                         "1",
                                         "null",
                                         "\"a\"",
                                         "{} {}",
                                         "{\"a\"}",
                                         "{\"a\": 1,}",
                                         "{'a': 1}",
                                         "\xff",
                                         "{\"\xff\": 1}",
                                         "{\"image\": \"QQ==\", \"image\": \"Qg==\"}",
                                         "{\"image\": \"a\\u0000\"}",
                                         "{\"image\": \"QQ==\", \"im\\u0061ge\": \"Qg==\"}",
                                         "{\"image\": True}",
                                         "{\"image\": NaN}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        CHECK_FAULT(read_json(INPUT_CAPTION, NULL, bodies[i]), FAULT_BAD_REQUEST, "", bodies[i]);
    }
    CHECK_FAULT(read_body(INPUT_CAPTION, "application/json", NULL, "{}\0", 3), FAULT_BAD_REQUEST, "", "NUL");
    enum { N = 1000000 };
    char *deep = malloc(N);
    memset(deep, '[', N);
    CHECK_FAULT(read_body(INPUT_CAPTION, "application/json", NULL, deep, N), FAULT_BAD_REQUEST, "", "deep");
    free(deep);
}

static void test_parameters(void)
{
    CHECK_TAKEN(read_json(INPUT_CAPTION, "num_beams=2",
                          "{\"image\": \"QQ==\", \"num_beams\": 3.0, \"length_penalty\": 1, \"regions\": true, "
                          "\"stream\": false, \"timeout_ms\": 1000}"));
    CHECK(input.num_beams == 3 && input.length_penalty == 1.0f && input.regions && !input.stream);
    CHECK_INT(input.timeout_ms, 1000);
    CHECK_TAKEN(
        read_json(INPUT_CAPTION, NULL,
                  "{\"image\": \"QQ==\", \"num_beams\": \"3\", \"length_penalty\": \"0.5\", \"regions\": \"True\", "
                  "\"explain\": \"False\", \"tolerate_truncated\": \"1\", \"max_tokens\": null, \"stream\": null}"));
    CHECK(input.num_beams == 3 && input.length_penalty == 0.5f && input.regions && !input.explain);
    CHECK(input.tolerate_truncated && input.max_tokens == 0 && !input.stream);
    CHECK_TAKEN(
        read_json(INPUT_CAPTION, NULL,
                  "{\"image\": \"QQ==\", \"num_beams\": \" 3\\n\", \"regions\": 1, \"explain\": 0, \"stream\": \"\", "
                  "\"max_tokens\": \"\"}"));
    CHECK(input.num_beams == 3 && input.regions && !input.explain && !input.stream && input.max_tokens == 0);
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{\"image\": \"QQ==\", \"colour\": 1}", "colour"},
        {"{\"image\": \"QQ==\", \"\": 1}", ""},
        {"{\"image\": \"QQ==\", \"num_beams\": \"three\"}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": [3]}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": 1e999}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": 2.5}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": -1}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": true}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": 9223372036854775807}", "num_beams"},
        {"{\"image\": \"QQ==\", \"length_penalty\": 6}", "length_penalty"},
        {"{\"image\": \"QQ==\", \"regions\": 2}", "regions"},
        {"{\"image\": \"QQ==\", \"regions\": 1.0}", "regions"},
        {"{\"image\": \"QQ==\", \"regions\": \"yes\"}", "regions"},
        {"{\"image\": \"QQ==\", \"explain\": []}", "explain"},
        {"{\"image\": \"QQ==\", \"colour\": null}", "colour"},
        {"{\"image\": \"QQ==\", \"question\": \"a\"}", "question"},
        {"{\"images\": [\"QQ==\"], \"stream\": true}", "stream"},
        {"{}", "image"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(read_json(INPUT_CAPTION, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
}

static void test_texts(void)
{
    CHECK_TAKEN(read_json(INPUT_VQA, "question=q0", "{\"image\": \"QQ==\", \"questions\": [\"q1\", \"q\\u00e9\"]}"));
    CHECK(input.n_texts == 3 && IS_TEXT(0, "q0") && IS_TEXT(1, "q1") && IS_TEXT(2, "q\xc3\xa9"));
    CHECK(input.has_text_list);
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, NULL, "{\"image\": \"QQ==\", \"texts\": \"one\"}"));
    CHECK(input.n_texts == 1 && input.has_text_list);
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, NULL, "{\"collection\": \"pets\", \"text\": \"one\"}"));
    CHECK_STR(input.collection, "pets");
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{\"image\": \"QQ==\", \"text\": [\"a\"]}", "text"},
        {"{\"image\": \"QQ==\", \"text\": 1}", "text"},
        {"{\"image\": \"QQ==\", \"texts\": 1}", "texts"},
        {"{\"image\": \"QQ==\", \"texts\": []}", "texts"},
        {"{\"image\": \"QQ==\", \"texts\": [\"a\", 1]}", "/texts/1"},
        {"{\"image\": \"QQ==\", \"texts\": [\"a\", \" \"]}", "/texts/1"},
        {"{\"image\": \"QQ==\", \"texts\": [[\"a\"]]}", "/texts/0"},
        {"{\"collection\": 1, \"text\": \"one\"}", "collection"},
        {"{\"collection\": \"\", \"text\": \"one\"}", "image"}, /* not given */
        {"{\"collection\": \" \", \"text\": \"one\"}", "collection"},
        {"{\"image\": \"QQ==\", \"texts\": \"[\\\"a\\\", \\\"b\\\"]\"}", "texts"},
        {"{\"collection\": \"a\", \"text\": \"one\", \"image\": \"QQ==\"}", "collection"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(read_json(INPUT_RETRIEVE, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
}

/* ---- reranking ---- */

static void test_rerank(void)
{
    CHECK_TAKEN(
        read_json(INPUT_RETRIEVE, NULL,
                  "{\"model\": \"any\", \"query\": \"a dog\", \"documents\": [{\"image\": \"QQ==\"}, {\"image\": "
                  "{\"id\": \"" ID "\"}}], \"top_n\": 1, \"return_documents\": true}"));
    CHECK(input.is_rerank && input.has_image_documents && input.return_documents && input.top_k == 1);
    CHECK(input.n_images == 2 && IS_IMAGE(0, "A") && !input.images[1].bytes && IS_TEXT(0, "a dog"));
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, NULL,
                          "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [\"a\", {\"text\": \"b\"}]}"));
    CHECK(input.is_rerank && !input.has_image_documents && input.n_images == 1 && input.n_texts == 2);
    CHECK(IS_TEXT(0, "a") && IS_TEXT(1, "b") && input.top_k == 0 && !input.return_documents);
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, "timeout_ms=9",
                          "{\"query\": {\"text\": \"q\"}, \"documents\": [{\"image\": \"QQ==\"}], \"timeout_ms\": 7}"));
    CHECK_INT(input.timeout_ms, 7);
}

/* One picture of several that cannot be read fails alone, with its path in its fault. */
static void test_one_bad_of_several(void)
{
    static const struct {
        enum input_route route;
        const char *json, *where;
        int bad;
    } cases[] = {
        {INPUT_CAPTION, "{\"images\": [\"QQ==\", \"!\", \"Qg==\"]}", "/images/1", 1},
        {INPUT_CAPTION, "{\"images\": [\"QQ==\", \"data:x\", \"Qg==\"]}", "/images/1", 1},
        {INPUT_CAPTION, "{\"images\": [\"QQ==\", {\"id\": \"0\"}, \"Qg==\"]}", "/images/1", 1},
        {INPUT_CAPTION, "{\"images\": [\"QQ==\", \"http://x/\", \"Qg==\"]}", "/images/1", 1},
        {INPUT_CAPTION, "{\"images\": [\"QQ==\", \"\", \"Qg==\"]}", "/images/1", 1},
        {INPUT_VQA, "{\"question\": \"a\", \"images\": [\"Q\", \"QQ==\"]}", "/images/0", 0},
        {INPUT_RETRIEVE, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}, {\"image\": \"QQ=\"}]}",
         "/documents/1", 1},
        {INPUT_RETRIEVE,
         "{\"query\": \"a\", \"documents\": [{\"image\": \"%%\"}, {\"image\": \"QQ==\"}], \"return_documents\": true}",
         "/documents/0", 0},
        {INPUT_RETRIEVE, "{\"query\": \"a\", \"documents\": [{\"image\": \"%%\"}, {\"image\": \"data:\"}]}",
         "/documents/0", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_TAKEN(read_json(cases[i].route, NULL, cases[i].json));
        const struct input_fault *why = input.images[cases[i].bad].fault;
        CHECK(why && !input.images[cases[i].bad].bytes && strcmp(why->param, cases[i].where) == 0);
        CHECK(why && strstr(why->text.text, cases[i].where) && why->fault != FAULT_INTERNAL);
        int other = cases[i].bad ? 0 : 1;
        CHECK(i == 8 || (!input.images[other].fault && IS_IMAGE(other, "A")));
    }
}

/* ---- documents that come back ---- */

static const char *echoed(int i)
{
    static char text[400];
    size_t n = json_dumpb(json_array_get(input.documents, (size_t)i), text, sizeof(text) - 1, JSON_COMPACT);
    text[n < sizeof(text) ? n : 0] = '\0';
    return text;
}

static void test_documents_come_back(void)
{
    CHECK_TAKEN(read_json(
        INPUT_RETRIEVE, NULL,
        "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [\"a \\ud83d\\ude00\", {\"page\": [1, [2.5, {}], {\"x\": "
        "null, \"y\": {\"z\": [true, []]}}], \"text\": \"b\", \"k\\n\": \"\"}], \"return_documents\": \"true\"}"));
    CHECK_STR(echoed(0), "{\"text\":\"a \xf0\x9f\x98\x80\"}");
    CHECK_STR(echoed(1), "{\"page\":[1,[2.5,{}],{\"x\":null,\"y\":{\"z\":[true,[]]}}],\"text\":\"b\",\"k\\n\":\"\"}");
    CHECK_INT(input.n_documents, 2);
    CHECK_TAKEN(
        read_json(INPUT_RETRIEVE, NULL,
                  "{\"return_documents\": true, \"query\": \"q\", \"documents\": [{\"a\": 1, \"image\": {\"id\": \"" ID
                  "\"}, \"b\": 2}, "
                  "{\"image\": \"QQ==\", \"text\": null}]}"));
    CHECK_STR(echoed(0), "{\"a\":1,\"b\":2}");
    CHECK_STR(echoed(1), "{\"text\":null}");
    CHECK_TAKEN(read_json(INPUT_RETRIEVE, NULL, "{\"query\": \"q\", \"documents\": [{\"image\": \"QQ==\"}]}"));
    CHECK(!input.documents);
    CHECK_FAULT(read_json(INPUT_RETRIEVE, NULL,
                          "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [{\"text\": \"a\", \"n\": 1e999}], "
                          "\"return_documents\": true}"),
                FAULT_TEXT_TOO_LONG, "return_documents", "a number that is none");
    /* what comes back is bounded */
    struct buf b;
    buf_init(&b, 1 << 21);
    buf_text(&b, "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [{\"text\": \"a\", \"more\": \"");
    while (b.n < 1 << 20) {
        buf_text(&b, "0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    buf_text(&b, "\"}], \"return_documents\": true}");
    CHECK_FAULT(read_json(INPUT_RETRIEVE, NULL, b.bytes), FAULT_TEXT_TOO_LONG, "return_documents", "1 MB more");
    buf_release(&b);
}

static void test_faults_of_rerank(void)
{
    static const struct {
        const char *query, *json, *param;
    } cases[] = {
        {NULL, "{\"documents\": [\"a\"]}", "query"},
        {NULL, "{\"query\": \"a\", \"documents\": []}", "documents"},
        {NULL, "{\"query\": \"a\", \"documents\": \"a\"}", "documents"},
        {NULL, "{\"query\": \"a\", \"documents\": [\"a\"]}", "query"},
        {NULL, "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [{\"image\": \"QQ==\"}]}", "query"},
        {NULL, "{\"query\": 1, \"documents\": [\"a\"]}", "query"},
        {NULL, "{\"query\": {}, \"documents\": [\"a\"]}", "query"},
        {NULL, "{\"query\": {\"text\": \"a\", \"image\": \"QQ==\"}, \"documents\": [\"a\"]}", "query"},
        {NULL, "{\"query\": {\"image\": 7}, \"documents\": [\"a\"]}", "/query/image"},
        {NULL, "{\"query\": \"a\", \"documents\": [7]}", "/documents/0"},
        {NULL, "{\"query\": \"a\", \"documents\": [{}]}", "/documents/0"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"text\": 7}]}", "/documents/0"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"text\": \"a\", \"image\": \"QQ==\"}]}", "/documents/0"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}, \"a\"]}", "/documents/1"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"!\"}]}", "/documents/0"},
        {NULL, "{\"query\": {\"image\": \"!\"}, \"documents\": [\"a\", \"b\"]}", "/query/image"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}, {\"image\": 7}]}", "/documents/1"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}, null]}", "/documents/1"},
        {NULL, "{\"query\": null, \"documents\": [{\"image\": \"QQ==\"}]}", "query"},
        {NULL, "{\"query\": \"a\", \"documents\": null, \"image\": \"QQ==\"}", "query"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"top_n\": 65537}", "top_n"},
        {NULL, "{\"query\": \" \", \"documents\": [{\"image\": \"QQ==\"}]}", "query"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"top_n\": 0}", "top_n"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"return_documents\": 2}",
         "return_documents"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"max_tokens\": 1}", "max_tokens"},
        {NULL, "{\"query\": \"a\"}", "query"},
        /* what is no document would shift the places of those that are */
        {"text=x", "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [\"a\"]}", "documents"},
        {NULL, "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [\"a\"], \"texts\": [\"x\"]}", "documents"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"image\": \"QQ==\"}", "documents"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"text\": \"x\"}", "documents"},
        {"collection=c", "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}]}", "collection"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(read_json(INPUT_RETRIEVE, cases[i].query, cases[i].json), FAULT_BAD_REQUEST, cases[i].param,
                    cases[i].json);
    }
    CHECK_FAULT(read_json(INPUT_CAPTION, NULL, "{\"query\": \"a\", \"documents\": []}"), FAULT_BAD_REQUEST, "query",
                "not a way to caption");
}

/* ---- bounds ---- */

/* {"images": [unit, unit, ...]} of n bytes. */
static bool read_many(enum input_route route, const char *begin, const char *unit, size_t n)
{
    struct buf b;
    buf_init(&b, n + 100);
    buf_text(&b, begin);
    while (b.n < n) {
        buf_text(&b, unit);
        buf_text(&b, ",");
    }
    b.bytes[b.n - 1] = ']';
    buf_text(&b, "}");
    bool is_good = read_body(route, "application/json", NULL, b.bytes, b.n);
    buf_release(&b);
    return is_good;
}

static void test_bounds(void)
{
    static const char *const units[] = {"[]", "{}", "1", "\"\"", "null", "[[[]]]", "{\"a\":{}}"};
    static const char *const begins[] = {"{\"images\":[", "{\"documents\":[", "{\"unknown\":[",
                                         "{\"query\": \"a\", \"documents\":["};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        for (size_t k = 0; k < sizeof(begins) / sizeof(begins[0]); k++) {
            CHECK_FAULT(read_many(INPUT_RETRIEVE, begins[k], units[i], 1 << 20), FAULT_TOO_MANY_INPUTS, "", units[i]);
        }
    }
    CHECK_FAULT(read_many(INPUT_CAPTION, "{\"images\":[", "\"QQ==\"", 200), FAULT_TOO_MANY_INPUTS, "/images/16", "few");
}

int main(void)
{
    set_limits(16, 128, 1024, 4096);
    test_images();
    test_faults_of_images();
    test_what_is_no_object();
    test_parameters();
    test_texts();
    test_rerank();
    test_one_bad_of_several();
    test_documents_come_back();
    test_faults_of_rerank();
    test_bounds();
    input_release(&input);
    return check_result();
}
