/* The reader of JSON: what is JSON and what is not, side by side with jansson, the shape of the tree, and its
 * bounds. */
#include "server/input/json_tree.h"

#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "tests/support/check.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 1000 };

static struct json_tree tree;
static struct errbuf why;

/* In a block of exactly its size: a sanitizer sees a byte too much. */
static enum err parse(const char *text, size_t n, int max_values)
{
    static char *copy;
    json_tree_release(&tree);
    free(copy);
    copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    errbuf_clear(&why);
    return json_tree_parse(&tree, n ? copy : NULL, n, max_values, &why); /* an empty body has no bytes */
}

static enum err parse_text(const char *text)
{
    return parse(text, strlen(text), MAX_VALUES);
}

/* ---- what is JSON ---- */

static const char *const good[] = {"{}",
                                   "[]",
                                   "0",
                                   "-0",
                                   "10",
                                   "-1.5e+10",
                                   "1E5",
                                   "0.5",
                                   "0e1",
                                   "1e-9",
                                   "\"\"",
                                   "\"a\"",
                                   "true",
                                   "false",
                                   "null",
                                   " [ ] ",
                                   "\t\r\n{ \"a\" : 1 , \"b\" : [ ] }\n",
                                   "[1,2]",
                                   "[[[[]]]]",
                                   "{\"a\":{\"b\":{}}}",
                                   "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                   "\"\\u00e9\"",
                                   "\"\\ud83d\\ude00\"",
                                   "\"\\uD83D\\uDE00\"",
                                   "\"\xc3\xa9\"",
                                   "\"\x7f\"",
                                   "\"\xf4\x8f\xbf\xbf\"",
                                   "[\"0123456789abcdef\",\"0123456789abcde\",\"\"]",
                                   "{\"\":1}",
                                   "{\"a\":1,\"A\":2}",
                                   "[true,false,null]",
                                   "{\"a\":[{\"b\":[]},{\"b\":[]}]}",
                                   "1 ",
                                   "\"\\u0001\""};

static const char *const bad[] = {"",
                                  " ",
                                  "{",
                                  "}",
                                  "[",
                                  "]",
                                  "[}",
                                  "{]",
                                  "{\"a\"}",
                                  "{\"a\":}",
                                  "{\"a\":1,}",
                                  "[1,]",
                                  "[,1]",
                                  "[1 2]",
                                  "{\"a\" 1}",
                                  "{a:1}",
                                  "{'a':1}",
                                  "{\"a\":1 \"b\":2}",
                                  "{1:2}",
                                  "{null:1}",
                                  "01",
                                  "-",
                                  "+1",
                                  "1.",
                                  ".5",
                                  "1e",
                                  "1e+",
                                  "0x1",
                                  "-a",
                                  "1a",
                                  "--1",
                                  "NaN",
                                  "Infinity",
                                  "-Infinity",
                                  "True",
                                  "None",
                                  "nul",
                                  "truefalse",
                                  "tru",
                                  "\"",
                                  "\"a",
                                  "\"\\\"",
                                  "\"\\x\"",
                                  "\"\\",
                                  "\"\\u12\"",
                                  "\"\\u123g\"",
                                  "\"\\u",
                                  "\"\\ud83d\"",
                                  "\"\\ude00\"",
                                  "\"\\ud83d\\u0041\"",
                                  "\"\\ud83dx\"",
                                  "\"\\ud83d\\ud83d\"",
                                  "\"\\u0000\"",
                                  "\"\n\"",
                                  "\"\x01\"",
                                  "\"\x1f\"",
                                  "\"\x80\"",
                                  "\"\xc3\"",
                                  "\"\xed\xa0\x80\"",
                                  "\xff",
                                  "{} {}",
                                  "[] 1",
                                  "1 2",
                                  "{},",
                                  "{\"a\":1,\"a\":2}",
                                  "{\"a\":1,\"\\u0061\":2}",
                                  "{\"a\":1,\"b\":{\"c\":1,\"c\":2}}",
                                  "/* */ 1",
                                  "1 // x",
                                  "[\"a\",]",
                                  "{,}",
                                  "[1,,2]",
                                  "\"0123456789abcdef",
                                  "\"01234567\n\"",
                                  "\"01234567\\q\"",
                                  "\"\\\\\\\""};

static void test_grammar(void)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        enum err rc = parse_text(good[i]);
        if (rc) {
            fprintf(stderr, "%s: %s\n", good[i], why.text);
        }
        CHECK_INT(rc, OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum err rc = parse_text(bad[i]);
        if (!rc) {
            fprintf(stderr, "taken: %s\n", bad[i]);
        }
        CHECK_INT(rc, ERR_BAD_REQUEST);
        CHECK(strstr(why.text, "(line ") != NULL);
    }
    CHECK_INT(parse("{}\0", 3, MAX_VALUES), ERR_BAD_REQUEST);
    CHECK_INT(parse("\"a\0b\"", 5, MAX_VALUES), ERR_BAD_REQUEST);
}

/* Cut anywhere, nothing but a number stays whole. */
static void test_cut_anywhere(void)
{
    static const char text[] =
        "{\"a\": [1, -2.5e3, \"\\ud83d\\ude00 \xc3\xa9\", true, null], \"bcdefghijk\": {\"c\": false}}";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        CHECK_INT(parse(text, n, MAX_VALUES), ERR_BAD_REQUEST);
    }
    CHECK_INT(parse(text, sizeof(text) - 1, MAX_VALUES), OK);
}

/* Lines, and columns in characters; the words are in test_json_tree_explain.c. */
static void test_places_of_faults(void)
{
    static const char *const cases[][2] = {
        {"{\n  \"a\": True\n}", "(line 2, column 8)"},
        {"{\"\xc3\xa9\": x}", "(line 1, column 7)"},
        {"{\"a\": \"\xff\"}", "(line 1, column 8)"},
        {"{\"a\": 1, \"a\": 1}", "(line 1, column 10)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(parse_text(cases[i][0]), ERR_BAD_REQUEST);
        CHECK(strstr(why.text, cases[i][1]) != NULL);
    }
}

/* ---- the tree ---- */

/* Pushes the tree through jansson's objects by recursion, which a test may do. */
static json_t *as_jansson(int value)
{
    size_t n;
    char number[80];
    const char *text;
    json_t *out = NULL;
    switch (json_tree_kind(&tree, value)) {
    case JSON_TREE_NULL:
        return json_null();
    case JSON_TREE_TRUE:
        return json_true();
    case JSON_TREE_FALSE:
        return json_false();
    case JSON_TREE_NUMBER:
        text = json_tree_text(&tree, value, &n);
        snprintf(number, sizeof(number), "%.*s", (int)n, text);
        return json_loads(number, JSON_DECODE_ANY, NULL);
    case JSON_TREE_STRING:
        text = json_tree_text(&tree, value, &n);
        return json_stringn(text, n);
    case JSON_TREE_ARRAY:
        out = json_array();
        for (int i = 0, at = value + 1; i < tree.values[value].count; i++, at = tree.values[at].next) {
            json_array_append_new(out, as_jansson(at));
        }
        return out;
    case JSON_TREE_OBJECT:
        out = json_object();
        for (int i = 0, at = value + 1; i < tree.values[value].count; i++, at = tree.values[at + 1].next) {
            text = json_tree_text(&tree, at, &n);
            json_object_setn_new(out, text, n, as_jansson(at + 1));
        }
        return out;
    }
    return NULL;
}

static void test_same_as_jansson(void)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        json_t *theirs = json_loads(good[i], JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        CHECK_INT(parse_text(good[i]), OK);
        json_t *ours = as_jansson(0);
        CHECK(theirs && ours && json_equal(ours, theirs));
        CHECK_INT(tree.values[0].next, tree.n_values);
        json_decref(ours);
        json_decref(theirs);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!json_loads(bad[i], JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL));
    }
}

static void test_find(void)
{
    size_t n;
    CHECK_INT(parse_text("\xef\xbb\xbf {\"a\": [{\"b\": 1}, 2], \"b\": \"x\\ny\", \"c\\u0064\": {}}"), OK);
    CHECK_INT(json_tree_kind(&tree, json_tree_find(&tree, 0, "a")), JSON_TREE_ARRAY);
    int b = json_tree_find(&tree, 0, "b");
    CHECK_INT(json_tree_kind(&tree, b), JSON_TREE_STRING);
    CHECK(memcmp(json_tree_text(&tree, b, &n), "x\ny", 3) == 0 && n == 3);
    CHECK(memcmp(json_tree_text(&tree, b, &n), "x\ny", 3) == 0 && n == 3); /* once is enough */
    CHECK_INT(json_tree_kind(&tree, json_tree_find(&tree, 0, "cd")), JSON_TREE_OBJECT);
    CHECK_INT(json_tree_find(&tree, 0, "d"), -1);
    CHECK_INT(json_tree_find(&tree, 0, ""), -1);
    CHECK_INT(json_tree_find(&tree, b, "a"), -1); /* no object */
}

/* ---- bounds ---- */

static void repeat(struct buf *b, const char *text, int n)
{
    for (int i = 0; i < n; i++) {
        buf_text(b, text);
    }
}

static void test_bounds(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int depth = JSON_TREE_DEPTH - 1; depth <= JSON_TREE_DEPTH + 1; depth++) {
        buf_reset(&b);
        repeat(&b, "[", depth);
        repeat(&b, "]", depth);
        CHECK_INT(parse(b.bytes, b.n, MAX_VALUES), depth <= JSON_TREE_DEPTH ? OK : ERR_BAD_REQUEST);
        buf_reset(&b);
        repeat(&b, "{\"a\":", depth);
        buf_text(&b, "1");
        repeat(&b, "}", depth);
        CHECK_INT(parse(b.bytes, b.n, MAX_VALUES), depth <= JSON_TREE_DEPTH ? OK : ERR_BAD_REQUEST);
    }
    for (int n = 9; n <= 11; n++) { /* the list itself is a value */
        buf_reset(&b);
        buf_text(&b, "[0");
        repeat(&b, ",0", n - 2);
        buf_text(&b, "]");
        CHECK_INT(parse(b.bytes, b.n, 10), n <= 10 ? OK : ERR_TOO_MANY_INPUTS);
        CHECK(tree.n_values <= 10);
        CHECK_INT(parse(b.bytes, b.n, MAX_VALUES), OK); /* room by the text's size is enough */
        CHECK_INT(tree.n_values, n);
    }
    for (int n = JSON_TREE_KEYS; n <= JSON_TREE_KEYS + 1; n++) {
        buf_reset(&b);
        for (int i = 0; i < n; i++) {
            buf_printf(&b, "%s\"k%d\":0", i ? "," : "{", i);
        }
        buf_text(&b, "}");
        CHECK_INT(parse(b.bytes, b.n, MAX_VALUES), n <= JSON_TREE_KEYS ? OK : ERR_TOO_MANY_INPUTS);
    }
    buf_release(&b);
    CHECK_INT(json_tree_bytes(1 << 20, 100), 100 * sizeof(struct json_tree_value));
    mem_fail_after(1);
    CHECK_INT(parse_text("{}"), ERR_NOMEM);
    mem_fail_after(0);
}

/* A mark at every place of a long string, on the fast way and off it. */
static void test_places(void)
{
    static const char *const marks[] = {"\\n", "\\\"", "\x1f", "\x7f", "\xc3\xa9", "!", "#", "[", "]"};
    for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++) {
        for (size_t at = 0; at < 40; at++) {
            char text[64] = "\"";
            memset(text + 1, 'a', 42);
            memcpy(text + 1 + at, marks[k], strlen(marks[k]));
            text[43] = '"';
            CHECK_INT(parse_text(text), marks[k][0] == '\x1f' ? ERR_BAD_REQUEST : OK);
        }
    }
}

int main(void)
{
    test_grammar();
    test_cut_anywhere();
    test_places_of_faults();
    test_same_as_jansson();
    test_find();
    test_bounds();
    test_places();
    parse("", 0, 1);
    json_tree_release(&tree);
    return check_result();
}
