#include "server/input/json_tree_explain.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct said {
    const char *begin, *what;
};

static const char in_quotes[] = "strings must be in double quotes";
static const char typographic[] = "typographic quotes; strings must be in straight ones (\")";
static const char unseen[] = "a blank that JSON does not know (no-break, zero width); take it out";
static const char placeholder[] = "a placeholder that nothing was put in for";
static const char no_comments[] = "JSON has no comments; take it out";

/* Nowhere right, whatever was wanted. */
static const struct said anywhere[] = {
    {"'", in_quotes},
    {"`", in_quotes},
    {"/*", no_comments},
    {"//", no_comments},
    {"#", no_comments},
    {"\xe2\x80\x98", typographic},
    {"\xe2\x80\x99", typographic},
    {"\xe2\x80\x9a", typographic},
    {"\xe2\x80\x9c", typographic},
    {"\xe2\x80\x9d", typographic},
    {"\xe2\x80\x9e", typographic},
    {"\xc2\xab", typographic},
    {"\xc2\xbb", typographic},
    {"\xc2\xa0", unseen},
    {"\xe2\x80\x8b", unseen},
    {"\xe2\x80\xa8", unseen},
    {"\xe3\x80\x80", unseen},
    {"\xef\xbb\xbf", "a byte order mark within the text; take it out"},
    {"$", "the shell has not replaced this variable: it does so in double quotes only"},
    {"{{", placeholder},
    {"...", placeholder},
};

/* In place of a value; words of letters with any case. */
static const struct said values[] = {
    {"true", "True is written true in JSON"},
    {"false", "False is written false in JSON"},
    {"none", "None is written null in JSON"},
    {"null", "null is written in small letters in JSON"},
    {"nil", "nil is written null in JSON"},
    {"nan", "JSON has no NaN; write null, or leave it out"},
    {"-nan", "JSON has no NaN; write null, or leave it out"},
    {"inf", "JSON has no Infinity; write null, or leave it out"},
    {"-inf", "JSON has no Infinity; write null, or leave it out"},
    {"undefined", "JSON has no undefined; write null, or leave it out"},
    {"b'", "Python's b'...' of bytes; turn them into text with .decode()"},
    {"b\"", "Python's b\"...\" of bytes; turn them into text with .decode()"},
    {"u'", in_quotes},
    {"+", "a number begins with a digit or -"},
    {".", "a digit is missing before the point"},
    {"-.", "a digit is missing before the point"},
    {"-", "a digit is missing after the -"},
    {"<", placeholder},
    {"}", "a value is missing before }"},
    {"]", "a value is missing before ], or a comma is too many"},
    {",", "a value is missing before the comma"},
    {":", "a value is missing before the colon"},
};

/* In place of the whole text. */
static const struct said texts[] = {
    {"%7b", "the text is percent-encoded; send it as it was before"},
    {"<", "this is XML or HTML; JSON begins with {"},
    {"b'", "Python's b'...' of bytes; send the bytes, not how they are printed"},
    {"b\"", "Python's b\"...\" of bytes; send the bytes, not how they are printed"},
    {")]}'", "a guard before the JSON text; leave it out"},
};

#define FIND(list, text, n) find(list, sizeof(list) / sizeof((list)[0]), text, n)

static const char *find(const struct said *list, size_t n_list, const char *text, size_t n)
{
    for (size_t i = 0; i < n_list; i++) {
        size_t length = strlen(list[i].begin);
        if (n >= length && strncasecmp(text, list[i].begin, length) == 0) {
            return list[i].what;
        }
    }
    return NULL;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static const char *explain_value(const char *text, size_t n, bool is_first)
{
    const char *what = is_first ? FIND(texts, text, n) : NULL;
    what = what ? what : FIND(values, text, n);
    if (what) {
        return what;
    }
    return is_first           ? "JSON begins with { here"
           : is_word(text[0]) ? "a text must be in double quotes"
                              : "a value was expected";
}

static const char *explain_key(char c)
{
    return c == '}'     ? "a comma before }; take it out"
           : c == '{'   ? "a key in double quotes was expected; {{ }} is of a template that was not filled in"
           : is_word(c) ? "a key must be in double quotes"
                        : "a key in double quotes was expected";
}

/* `before` the mark: a quote ends a string, a digit a number. */
static const char *explain_mark(char before, char c, bool is_object)
{
    if (before == '"' && is_word(c)) {
        return is_object ? "a comma or } was expected; a \" within a string is written \\\""
                         : "a comma or ] was expected; a \" within a string is written \\\"";
    }
    if (before == '0' && tolower((unsigned char)c) == 'x') {
        return "numbers are written with decimal digits";
    }
    return is_object ? "a comma or } was expected" : "a comma or ] was expected";
}

static const char *explain_rest(char c)
{
    return c == '{' || c == '['   ? "a second value after the end of the first; send each in a request of its own"
           : c == '}' || c == ']' ? "a closing bracket without its opening one"
                                  : "text after the end of the value; take it out";
}

const char *json_tree_explain(enum json_tree_wanted wanted, const char *text, size_t at, size_t n)
{
    if (at == n) {
        return wanted == JSON_TREE_WANTED_FIRST ? "there is no text; JSON begins with { here" : "the end is missing";
    }
    char c = text[at];
    if (c == '\0') {
        return "a NUL byte; take it out";
    }
    const char *what = FIND(anywhere, text + at, n - at);
    if (what) {
        return what;
    }
    switch (wanted) {
    case JSON_TREE_WANTED_FIRST:
    case JSON_TREE_WANTED_VALUE:
        return explain_value(text + at, n - at, wanted == JSON_TREE_WANTED_FIRST);
    case JSON_TREE_WANTED_KEY:
        return explain_key(c);
    case JSON_TREE_WANTED_COLON:
        return c == '=' ? "a colon was expected, not =" : "a colon was expected";
    case JSON_TREE_WANTED_END:
        return explain_rest(c);
    default:
        return explain_mark(at ? text[at - 1] : ' ', c, wanted == JSON_TREE_WANTED_BRACE);
    }
}

const char *json_tree_explain_encoding(const char *text, size_t n)
{
    bool z[4] = {false};
    for (size_t i = 0; i < 4 && i < n; i++) {
        z[i] = text[i] == '\0';
    }
    bool is_little = n >= 2 && memcmp(text, "\xff\xfe", 2) == 0, is_big = n >= 2 && memcmp(text, "\xfe\xff", 2) == 0;
    bool is_wide_big = n >= 4 && memcmp(text, "\0\0\xfe\xff", 4) == 0;
    if (n >= 4 && ((is_little || !z[0]) && (is_little || z[1]) && z[2] && z[3])) {
        return "UTF-32 (little-endian)";
    }
    if (is_wide_big || (n >= 4 && z[0] && z[1] && z[2])) {
        return "UTF-32 (big-endian)";
    }
    if (is_little || (n >= 2 && !z[0] && z[1])) {
        return "UTF-16 (little-endian)";
    }
    return is_big || (n >= 2 && z[0] && !z[1]) ? "UTF-16 (big-endian)" : NULL;
}
