/* The strict JSON readers: limits before the parser, and each kind of value with its message. */
#include "engine/model/load/jsonread.h"
#include "tests/support/check.h"

#include <stdlib.h>

static struct errbuf e;
static const struct jsonread reader = {.file = "f.json", .e = &e};

static json_t *parse(const char *text)
{
    json_t *root = NULL;
    CHECK_INT(jsonread_parse(&reader, &root, text, strlen(text), 1000, 4), OK);
    return root;
}

static void check_refused(const char *text, size_t n, const char *fragment)
{
    json_t *root = NULL;
    errbuf_clear(&e);
    CHECK_INT(jsonread_parse(&reader, &root, text, n, 1000, 4), ERR_BAD_MODEL);
    CHECK(!root);
    CHECK(strstr(e.text, "f.json: ") == e.text && strstr(e.text, fragment));
    if (!strstr(e.text, fragment)) {
        fprintf(stderr, "  gave: %s\n", e.text);
    }
}

static void test_documents_that_are_refused(void)
{
    static const struct {
        const char *text, *fragment;
    } cases[] = {
        {"", "line"},
        {"[]", "must be a JSON object"},
        {"{", "line 1"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"a\":{\"b\":1,\"b\":1}}", "duplicate"},
        {"{\"a\":\"\\u0000\"}", "line 1"},
        {"{\"\\u0000\":1}", "line 1"},
        {"{\"a\":\"\\ud800\"}", "line 1"},
        {"{\"a\":\"\xff\"}", "line 1"},
        {"{\"a\":1} {}", "end of file"},
        {"{\"a\":1,}", "line 1"},
        {"{\"a\":01}", "line 1"},
        {"{\"a\":NaN}", "line 1"},
        {"{\"a\":99999999999999999999}", "too big"},
        {"{\"a\":1e999}", "real number overflow"},
        {"{\"a\":[[[[]]]]}", "deeper than 4"},
        {"{\n\n\"a\" 1}", "line 3"},
        {"]]]]]]]]{", "line 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_refused(cases[i].text, strlen(cases[i].text), cases[i].fragment);
    }
    check_refused("{\"a\":1}\0", 8, "line 1");
    check_refused("{\"a\":\"\0\"}", 9, "line 1");
}

static void test_limits(void)
{
    enum { N = 200000 };
    char *text = malloc(N);
    memset(text, '[', N);
    check_refused(text, 1001, "at most 1000");
    check_refused(text, 1000, "deeper than 4");
    memset(text, ' ', N);
    text[0] = '{';
    text[999] = '}';
    json_t *root = NULL;
    CHECK_INT(jsonread_parse(&reader, &root, text, 1000, 1000, 4), OK);
    json_decref(root);
    free(text);
    root = parse("{\"a\":\"[[[[[[[[ \\\" [[[[ \\\\\"}"); /* brackets in a string are no depth */
    json_decref(root);
}

static void test_values(void)
{
    json_t *o =
        parse("{\"i\":7,\"f\":0.5,\"t\":true,\"s\":\"word\",\"a\":[1,2],\"empty\":\"\",\"tab\":\"a\\tb\",\"n\":null}");
    static const char *const words[] = {"verb", "word"};
    int i = 0;
    float f = 0;
    bool b = false;
    char s[5];
#define GET(key)                json_object_get(o, key)
#define REFUSES(call, fragment) CHECK((call) == ERR_BAD_MODEL && strstr(e.text, fragment))
    CHECK(jsonread_int(&reader, "k.i", GET("i"), 7, 7, &i) == OK && i == 7);
    REFUSES(jsonread_int(&reader, "k.i", GET("i"), 8, 9, &i), "f.json: key 'k.i' must be a whole number from 8 to 9");
    REFUSES(jsonread_int(&reader, "k.i", GET("i"), 0, 6, &i), "whole number from 0 to 6");
    REFUSES(jsonread_int(&reader, "k.f", GET("f"), 0, 9, &i), "key 'k.f' must be a whole number");
    REFUSES(jsonread_int(&reader, "k.x", GET("x"), 0, 9, &i), "f.json: key 'k.x' is missing");
    CHECK(jsonread_float(&reader, "f", GET("f"), 0, 1, &f) == OK && f == 0.5f);
    CHECK(jsonread_float(&reader, "i", GET("i"), 0, 7, &f) == OK && f == 7.0f);
    REFUSES(jsonread_float(&reader, "f", GET("f"), 0.6, 1, &f), "must be a number from 0.6 to 1");
    REFUSES(jsonread_float(&reader, "s", GET("s"), 0, 1, &f), "must be a number");
    REFUSES(jsonread_float(&reader, "x", GET("x"), 0, 1, &f), "missing");
    CHECK(jsonread_bool(&reader, "t", GET("t"), &b) == OK && b);
    REFUSES(jsonread_bool(&reader, "i", GET("i"), &b), "true or false");
    REFUSES(jsonread_bool(&reader, "x", GET("x"), &b), "missing");
    CHECK(jsonread_string(&reader, "s", GET("s"), s, sizeof(s)) == OK && strcmp(s, "word") == 0);
    REFUSES(jsonread_string(&reader, "s", GET("s"), s, 4), "1 to 3 bytes");
    REFUSES(jsonread_string(&reader, "empty", GET("empty"), s, 4), "1 to 3 bytes");
    REFUSES(jsonread_string(&reader, "tab", GET("tab"), s, 5), "control characters");
    REFUSES(jsonread_string(&reader, "n", GET("n"), s, 5), "must be a string");
    REFUSES(jsonread_string(&reader, "x", GET("x"), s, 5), "missing");
    CHECK(jsonread_choice(&reader, "s", GET("s"), words, 2, &i) == OK && i == 1);
    REFUSES(jsonread_choice(&reader, "i", GET("i"), words, 2, &i), "must be 'verb' or 'word'");
    REFUSES(jsonread_choice(&reader, "x", GET("x"), words, 2, &i), "missing");
    CHECK_INT(jsonread_array(&reader, "a", GET("a"), 2, 2), OK);
    REFUSES(jsonread_array(&reader, "a", GET("a"), 3, 3), "must be an array of 3");
    REFUSES(jsonread_array(&reader, "a", GET("a"), 0, 1), "must be an array of 0 to 1");
    REFUSES(jsonread_array(&reader, "s", GET("s"), 0, 1), "must be an array");
    REFUSES(jsonread_array(&reader, "x", GET("x"), 0, 1), "missing");
    json_decref(o);
}

static void test_objects(void)
{
    static const char *const known[] = {"a", "b"};
    json_t *o = parse("{\"a\":1,\"b\":{\"c\\n\":1}}");
    CHECK_INT(jsonread_object(&reader, "", o, known, 2), OK);
    REFUSES(jsonread_object(&reader, "", o, known, 1), "f.json: unknown key 'b'");
    REFUSES(jsonread_object(&reader, "b", GET("b"), known, 2), "unknown key 'b.c?'");
    REFUSES(jsonread_object(&reader, "a", GET("a"), known, 2), "key 'a' must be an object");
    REFUSES(jsonread_object(&reader, "x", GET("x"), known, 2), "key 'x' is missing");
    json_decref(o);
}

static void test_printable(void)
{
    char text[200];
    memset(text, 'x', sizeof(text));
    text[100] = '\0';
    CHECK_STR(jsonread_printable(text).text, text);
    text[100] = 'y';
    text[101] = '\0';
    CHECK_INT(strlen(jsonread_printable(text).text), 103);
    CHECK(strstr(jsonread_printable(text).text, "x..."));
    CHECK_STR(jsonread_printable("\x1b[2J\n\xc3\xa9").text, "?[2J???");
    CHECK_STR(jsonread_printable("").text, "");
}

int main(void)
{
    test_documents_that_are_refused();
    test_limits();
    test_values();
    test_objects();
    test_printable();
    return check_result();
}
