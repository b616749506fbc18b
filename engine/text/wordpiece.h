/* wordpiece - BERT's tokeniser (uncased): basic tokenisation, then greedy longest match.
 *
 * Same ids as the public `tokenizers` package (BertWordPieceTokenizer, lowercase, strip accents, CJK): control
 * characters dropped, spaces around CJK, NFD with combining marks (Mn) removed, lower case, white space and punctuation
 * split, words over 100 characters or without a match become [UNK]. Text is always text: "[MASK]" typed by a user never
 * becomes the special token. Invalid UTF-8 bytes count as U+FFFD (dropped, like that character).
 *
 * Ownership: a wordpiece owns its vocabulary. Threads: immutable after open, shared by all. */
#ifndef ENGINE_MODEL_WORDPIECE_H
#define ENGINE_MODEL_WORDPIECE_H

#include "engine/base/err.h"

#include <stddef.h>

struct wordpiece;

MUST_USE enum err wordpiece_open(struct wordpiece **out, const char *vocab_path, struct errbuf *e);
/* From memory: the text of a vocab.txt. */
MUST_USE enum err wordpiece_parse(struct wordpiece **out, const char *text, size_t n, const char *name,
                                  struct errbuf *e);
void wordpiece_close(struct wordpiece *w); /* NULL is fine */

int wordpiece_size(const struct wordpiece *w);

struct wordpiece_special {
    int pad, unk, cls, sep, mask;
};
struct wordpiece_special wordpiece_special(const struct wordpiece *w);
/* Never generated: [PAD], [UNK], [CLS], [MASK] and every [unusedN]. */
bool wordpiece_is_forbidden(const struct wordpiece *w, int id);

/* Writes at most `max` ids and returns how many the text has, or max + 1 if there are more: it stops at the first id
 * that does not fit, and what it wrote is a prefix of the result for a larger `max`. No allocation; the time is linear
 * in n_bytes for any text. */
int wordpiece_encode(const struct wordpiece *w, const char *text, size_t n_bytes, int *ids, int max);

/* Joins pieces into ordinary text:
 *   "play" "##ing" -> "playing"; the five special tokens and ids outside the vocabulary are dropped
 *   no space before . , ! ? ; : % ) ] } and after ( [ { $ #, none around - and /
 *   none around . , : between digits: "3.5", "10,000", "5:30"
 *   don ' t -> don't (also 's 'm 'd 'll 're 've); other ' and " open and close in turn, a single ' closes
 * Returns the length without the NUL; cuts between characters so that text and NUL fit `size` (at least 1). */
size_t wordpiece_decode(const struct wordpiece *w, const int *ids, int n, char *out, size_t size);

#endif
