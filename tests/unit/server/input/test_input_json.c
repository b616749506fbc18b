/* Bodies of JSON: images in their three spellings, lists, reranking, and a fault with its param for each mistake. */
#include "tests/unit/server/input/test_input.h"

#define ID "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

/* ---- images ---- */

static void test_images(void)
{
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": \"QUJD\"}"));
    CHECK(input.n_images == 1 && IS_IMAGE(0, "ABC") && !input.has_image_list);
    CHECK(input.body.n == 0); /* given back at once: the decoded bytes are all that is needed */
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": \"data:image/jpeg;base64,QUI=\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": \"DATA:;BASE64,QUI=\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": \"data:image/png;x=y;base64,Q\\nUI=\\r\\n\"}"));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": {\"id\": \"" ID "\"}}"));
    CHECK(input.n_images == 1 && !input.images[0].bytes && input.images[0].id.bytes[1] == 0x11);
    CHECK(input.images[0].id.bytes[31] == 0xff);
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\", {\"id\": \"" ID "\"}, \"Qg==\"]}"));
    CHECK(input.n_images == 3 && IS_IMAGE(0, "A") && !input.images[1].bytes && IS_IMAGE(2, "B"));
    CHECK(input.has_image_list);
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"images\": [\"QQ==\"], \"image\": \"Qg==\"}"));
    CHECK_INT(input.n_images, 2);
    CHECK_TAKEN(take_json(INPUT_CAPTION, NULL, "{\"image\": \"\"}")); /* no bytes: the engine says it is no image */
    CHECK(input.images[0].bytes && input.images[0].n_bytes == 0);
}

static void test_faults_of_images(void)
{
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{\"image\": \"QUI\"}", "/image"},
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
        {"{\"image\": null}", "/image"},
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
        CHECK_FAULT(take_json(INPUT_CAPTION, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
    CHECK_FAULT(take_json(INPUT_STORE, NULL, "{\"images\": [\"QQ==\"]}"), FAULT_BAD_REQUEST, "images", "store");
}

/* ---- the object ---- */

static void test_what_is_no_object(void)
{
    static const char *const bodies[] = {"",
                                         "{",
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
                                         "{\"num_beams\": 1e999}",
                                         "{\"image\": NaN}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        CHECK_FAULT(take_json(INPUT_CAPTION, NULL, bodies[i]), FAULT_BAD_REQUEST, "", bodies[i]);
    }
    CHECK_FAULT(take(INPUT_CAPTION, "application/json", NULL, "{}\0", 3), FAULT_BAD_REQUEST, "", "NUL");
    enum { N = 1000000 };
    char *deep = malloc(N);
    memset(deep, '[', N);
    CHECK_FAULT(take(INPUT_CAPTION, "application/json", NULL, deep, N), FAULT_BAD_REQUEST, "", "deep");
    free(deep);
}

static void test_parameters(void)
{
    CHECK_TAKEN(take_json(INPUT_CAPTION, "num_beams=2",
                          "{\"image\": \"QQ==\", \"num_beams\": 3.0, \"length_penalty\": 1, \"regions\": true, "
                          "\"stream\": false, \"timeout_ms\": 1000}"));
    CHECK(input.num_beams == 3 && input.length_penalty == 1.0f && input.regions && !input.stream);
    CHECK_INT(input.timeout_ms, 1000);
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{\"image\": \"QQ==\", \"colour\": 1}", "colour"},
        {"{\"image\": \"QQ==\", \"\": 1}", ""},
        {"{\"image\": \"QQ==\", \"num_beams\": \"3\"}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": 2.5}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": -1}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": null}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": true}", "num_beams"},
        {"{\"image\": \"QQ==\", \"num_beams\": 9223372036854775807}", "num_beams"},
        {"{\"image\": \"QQ==\", \"length_penalty\": 6}", "length_penalty"},
        {"{\"image\": \"QQ==\", \"regions\": 1}", "regions"},
        {"{\"image\": \"QQ==\", \"regions\": \"true\"}", "regions"},
        {"{\"image\": \"QQ==\", \"question\": \"a\"}", "question"},
        {"{\"images\": [\"QQ==\"], \"stream\": true}", "stream"},
        {"{}", "image"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(take_json(INPUT_CAPTION, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
}

static void test_texts(void)
{
    CHECK_TAKEN(take_json(INPUT_VQA, "question=q0", "{\"image\": \"QQ==\", \"questions\": [\"q1\", \"q\\u00e9\"]}"));
    CHECK(input.n_texts == 3 && IS_TEXT(0, "q0") && IS_TEXT(1, "q1") && IS_TEXT(2, "q\xc3\xa9"));
    CHECK(input.has_text_list);
    CHECK_TAKEN(take_json(INPUT_RETRIEVE, NULL, "{\"image\": \"QQ==\", \"texts\": \"one\"}"));
    CHECK(input.n_texts == 1 && input.has_text_list);
    CHECK_TAKEN(take_json(INPUT_RETRIEVE, NULL, "{\"collection\": \"pets\", \"text\": \"one\"}"));
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
        {"{\"collection\": \"\", \"text\": \"one\"}", "collection"},
        {"{\"collection\": \"a\", \"text\": \"one\", \"image\": \"QQ==\"}", "collection"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_FAULT(take_json(INPUT_RETRIEVE, NULL, cases[i].json), FAULT_BAD_REQUEST, cases[i].param, cases[i].json);
    }
}

/* ---- reranking ---- */

static void test_rerank(void)
{
    CHECK_TAKEN(
        take_json(INPUT_RETRIEVE, NULL,
                  "{\"model\": \"any\", \"query\": \"a dog\", \"documents\": [{\"image\": \"QQ==\"}, {\"image\": "
                  "{\"id\": \"" ID "\"}}], \"top_n\": 1, \"return_documents\": true}"));
    CHECK(input.is_rerank && input.has_image_documents && input.return_documents && input.top_k == 1);
    CHECK(input.n_images == 2 && IS_IMAGE(0, "A") && !input.images[1].bytes && IS_TEXT(0, "a dog"));
    CHECK_TAKEN(take_json(INPUT_RETRIEVE, NULL,
                          "{\"query\": {\"image\": \"QQ==\"}, \"documents\": [\"a\", {\"text\": \"b\"}]}"));
    CHECK(input.is_rerank && !input.has_image_documents && input.n_images == 1 && input.n_texts == 2);
    CHECK(IS_TEXT(0, "a") && IS_TEXT(1, "b") && input.top_k == 0 && !input.return_documents);
    CHECK_TAKEN(take_json(INPUT_RETRIEVE, "timeout_ms=9",
                          "{\"query\": {\"text\": \"q\"}, \"documents\": [{\"image\": \"QQ==\"}], \"timeout_ms\": 7}"));
    CHECK_INT(input.timeout_ms, 7);
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
        {NULL, "{\"query\": \" \", \"documents\": [{\"image\": \"QQ==\"}]}", "query"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"top_n\": 0}", "top_n"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"top_n\": \"1\"}", "top_n"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"top_n\": 1.0}", "top_n"},
        {NULL, "{\"query\": \"a\", \"documents\": [{\"image\": \"QQ==\"}], \"return_documents\": 1}",
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
        CHECK_FAULT(take_json(INPUT_RETRIEVE, cases[i].query, cases[i].json), FAULT_BAD_REQUEST, cases[i].param,
                    cases[i].json);
    }
    CHECK_FAULT(take_json(INPUT_CAPTION, NULL, "{\"query\": \"a\", \"documents\": []}"), FAULT_BAD_REQUEST, "query",
                "not a way to caption");
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
    test_faults_of_rerank();
    input_release(&input);
    return check_result();
}
