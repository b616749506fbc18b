/* What is said about texts that are not JSON: each with the change that is needed, through the reader. */
#include "server/input/json_tree.h"
#include "server/input/json_tree_explain.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *text;
    size_t n;
    const char *said;
};
#define ROW(text, said)                                                                                                \
    {                                                                                                                  \
        (text), sizeof(text) - 1, (said)                                                                               \
    }

static void check(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct json_tree tree;
        struct errbuf why = {""};
        char *copy = malloc(rows[i].n + 1); /* in a block of exactly its size: a sanitizer sees a byte too much */
        memcpy(copy, rows[i].text, rows[i].n);
        copy = realloc(copy, rows[i].n ? rows[i].n : 1);
        CHECK_INT(json_tree_parse(&tree, copy, rows[i].n, 100, &why), ERR_BAD_REQUEST);
        if (!strstr(why.text, rows[i].said)) {
            fprintf(stderr, "%s: %s\n", rows[i].text, why.text);
        }
        CHECK(strstr(why.text, rows[i].said) != NULL);
        json_tree_release(&tree);
        free(copy);
    }
}

static void test_values(void)
{
    static const struct row rows[] = {
        ROW("{\"a\": True}", "True is written true"),
        ROW("{\"a\": TRUE}", "True is written true"),
        ROW("[False]", "False is written false"),
        ROW("[None]", "None is written null"),
        ROW("[NULL]", "null is written in small letters"),
        ROW("[nil]", "nil is written null"),
        ROW("[NaN]", "no NaN; write null"),
        ROW("[nan]", "no NaN; write null"),
        ROW("[Infinity]", "no Infinity; write null"),
        ROW("[-inf]", "no Infinity; write null"),
        ROW("[undefined]", "no undefined; write null"),
        ROW("[b'x']", "turn them into text with .decode()"),
        ROW("[u'x']", "strings must be in double quotes"),
        ROW("['x']", "strings must be in double quotes"),
        ROW("[`x`]", "strings must be in double quotes"),
        ROW("[+1]", "a number begins with a digit or -"),
        ROW("[.5]", "a digit is missing before the point"),
        ROW("[-.5]", "a digit is missing before the point"),
        ROW("[-x]", "a digit is missing after the -"),
        ROW("[0x1F]", "numbers are written with decimal digits"),
        ROW("[007]", "a leading zero"),
        ROW("[<base64>]", "a placeholder"),
        ROW("[...]", "a placeholder"),
        ROW("[$IMG]", "the shell has not replaced this variable"),
        ROW("[1,]", "a value is missing before ], or a comma is too many"),
        ROW("[1,,2]", "a value is missing before the comma"),
        ROW("{\"a\":}", "a value is missing before }"),
        ROW("[word]", "a text must be in double quotes"),
        ROW("[*]", "a value was expected"),
        ROW("[\xe2\x80\x9cx\xe2\x80\x9d]", "typographic quotes"),
        ROW("[\"a\nb\"]", "write it as an escape (\\n, \\t)"),
        ROW("[\"C:\\Users\"]", "write \\\\ for a backslash"),
        ROW("[\"\\ud83d\"]", "was cut in two"),
        ROW("[\"a", "no closing quote, or the end is missing"),
        ROW("[1", "the end is missing"),
    };
    check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_between_values(void)
{
    static const struct row rows[] = {
        ROW("{\"a\": 1,}", "a comma before }; take it out (line 1, column 9)"),
        ROW("{a: 1}", "a key must be in double quotes"),
        ROW("{'a': 1}", "strings must be in double quotes"),
        ROW("{1: 1}", "a key must be in double quotes"),
        ROW("{{a}}", "a template that was not filled in"),
        ROW("{[]}", "a key in double quotes was expected"),
        ROW("{\xe2\x80\x9e\"a\": 1}", "typographic quotes"),
        ROW("{\xc2\xa0\"a\": 1}", "a blank that JSON does not know"),
        ROW("{\"a\"=1}", "a colon was expected, not ="),
        ROW("{\"a\" 1}", "a colon was expected"),
        ROW("{\"a\": 1; \"b\": 2}", "a comma or } was expected"),
        ROW("{\"a\": \"what\"s it\"}", "a \" within a string is written \\\""),
        ROW("[\"what\"s it\"]", "a \" within a string is written \\\""),
        ROW("[1 2]", "a comma or ] was expected"),
        ROW("{\"a\": 1 /* b */}", "JSON has no comments; take it out"),
        ROW("{\"a\": 1 // b\n}", "JSON has no comments; take it out"),
        ROW("# a\n{}", "JSON has no comments; take it out"),
        ROW("{\"a\": 1}\0", "a NUL byte; take it out"),
        ROW("{}{}", "send each in a request of its own"),
        ROW("{}\n{}\n", "send each in a request of its own (line 2, column 1)"),
        ROW("{}}", "without its opening one"),
        ROW("{} x", "text after the end of the value; take it out"),
        ROW("{\"question\": 1, \"question\": 2}", "the key \"question\" is there twice (line 1, column 17)"),
        ROW("{\"a\": 1, \"\\u0061\": 2}", "the key \"a\" is there twice"),
        /* 39 bytes of ASCII and a character of two: cut before it */
        ROW("{\"012345678901234567890123456789012345678\xc3\xa9\": 1, "
            "\"012345678901234567890123456789012345678\xc3\xa9\": 1}",
            "the key \"012345678901234567890123456789012345678\" is there twice"),
    };
    check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_whole_texts(void)
{
    static const struct row rows[] = {
        ROW("", "there is no text; JSON begins with {"),
        ROW(" \n", "there is no text; JSON begins with {"),
        ROW("\xef\xbb\xbf", "there is no text; JSON begins with {"),
        ROW("image: x", "JSON begins with { here"),
        ROW("callback({})", "JSON begins with { here"),
        ROW("<a/>", "XML or HTML"),
        ROW("b'{}'", "send the bytes, not how they are printed"),
        ROW("%7B%22a%22%3A1%7D", "percent-encoded"),
        ROW(")]}'\n{}", "leave it out"),
        ROW("{\"a\": \"\xff\"}", "JSON is sent in UTF-8, and these bytes are not UTF-8"),
        ROW("{\0\"\0", "the text is UTF-16 (little-endian); JSON is sent in UTF-8"),
        ROW("\0{\0\"", "UTF-16 (big-endian)"),
        ROW("\xff\xfe{\0", "UTF-16 (little-endian)"),
        ROW("\xfe\xff\0{", "UTF-16 (big-endian)"),
        ROW("{\0\0\0\"\0\0\0", "UTF-32 (little-endian)"),
        ROW("\0\0\0{\0\0\0\"", "UTF-32 (big-endian)"),
        ROW("\xff\xfe\0\0{\0\0\0", "UTF-32 (little-endian)"),
        ROW("\0\0\xfe\xff\0\0\0{", "UTF-32 (big-endian)"),
    };
    check(rows, sizeof(rows) / sizeof(rows[0]));
    CHECK(json_tree_explain_encoding("{\"a\"", 4) == NULL && json_tree_explain_encoding("", 0) == NULL);
    CHECK(json_tree_explain_encoding("{", 1) == NULL && json_tree_explain_encoding("\xef\xbb\xbf{", 4) == NULL);
}

int main(void)
{
    test_values();
    test_between_values();
    test_whole_texts();
    return check_result();
}
