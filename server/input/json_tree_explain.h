/* json_tree_explain - why a text is not JSON, in words that say what to change: what people, shells and other languages
 * write where JSON wants something else.
 *
 * Ownership: texts are borrowed, answers static. Threads: thread-safe. Failure: none. */
#ifndef SERVER_INPUT_JSON_TREE_EXPLAIN_H
#define SERVER_INPUT_JSON_TREE_EXPLAIN_H

#include <stddef.h>

/* What would have been right. */
enum json_tree_wanted {
    JSON_TREE_WANTED_FIRST, /* the value that the whole text is */
    JSON_TREE_WANTED_VALUE,
    JSON_TREE_WANTED_KEY,
    JSON_TREE_WANTED_COLON,
    JSON_TREE_WANTED_BRACE,   /* or a comma */
    JSON_TREE_WANTED_BRACKET, /* or a comma */
    JSON_TREE_WANTED_END
};

/* What is wrong with text[at..n). */
const char *json_tree_explain(enum json_tree_wanted wanted, const char *text, size_t at, size_t n);

/* "UTF-16 (little-endian)" and its like, by a byte order mark or by the zero bytes of ASCII characters, of which JSON
 * has at least its first; NULL: nothing speaks against UTF-8. */
const char *json_tree_explain_encoding(const char *text, size_t n);

#endif
