/* vocab - the tokens of a vocab.txt, by id and by longest match.
 *
 * One token per line, line number = id. Tokens are valid UTF-8 of 1..200 bytes without white space and control
 * characters and occur once; at most 1,000,000 of them in 8 MiB. A token "##x" continues a word.
 *
 * Ownership: a vocab owns its copy of the text. Threads: immutable after open, shared by all.
 * Errors: ERR_BAD_MODEL names the file and the line. */
#ifndef ENGINE_MODEL_VOCAB_H
#define ENGINE_MODEL_VOCAB_H

#include "engine/base/err.h"

#include <stddef.h>

struct vocab;

/* `name` stands for the file in messages. */
MUST_USE enum err vocab_parse(struct vocab **out, const char *text, size_t n, const char *name, struct errbuf *e);
void vocab_close(struct vocab *v); /* NULL is fine */

int vocab_size(const struct vocab *v);
const char *vocab_token(const struct vocab *v, int id);
int vocab_find(const struct vocab *v, const char *token); /* -1 when there is none */

/* The longest token that the n bytes begin with: its length in them, 0 when there is none. Within a word only tokens
 * "##x" are considered, matching x. Time is bounded by the longest token. */
size_t vocab_match(const struct vocab *v, bool is_within_word, const char *bytes, size_t n, int *id);

#endif
