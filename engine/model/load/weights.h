/* weights - tensors of a safetensors file, read into memory once and never copied.
 *
 * Layout of the file: 8 bytes header length (little-endian), a JSON header {"name": {"dtype", "shape",
 * "data_offsets"}}, then the data without holes. The whole header is checked before a tensor is handed out:
 * types (F32, BF16, F16, I8), at most 4 dimensions, shape against size, ranges that touch but neither overlap nor leave
 * bytes unused, alignment of every tensor to its element (4 bytes for F32, 2 for BF16, F16). "__metadata__" is checked
 * and ignored. Limits: header 1 MiB, 8192 tensors, names of 1..255 printable ASCII characters.
 *
 * Ownership: the pointers inside a tensor are borrowed from the weights and valid until weights_close.
 * Threads: immutable after open, shared by all.
 * Errors: ERR_BAD_MODEL names the file and the tensor; ERR_IO when the file cannot be read.
 * The file may be replaced, overwritten or truncated at any time after weights_open: nothing points into it. */
#ifndef ENGINE_MODEL_WEIGHTS_H
#define ENGINE_MODEL_WEIGHTS_H

#include "engine/base/err.h"

#include <stddef.h>

enum { WEIGHTS_MAX_DIMS = 4, WEIGHTS_MAX_TENSORS = 8192, WEIGHTS_MAX_HEADER = 1 << 20, WEIGHTS_MAX_NAME = 255 };

enum tensor_type { TENSOR_F32, TENSOR_BF16, TENSOR_F16, TENSOR_I8 };

struct tensor {
    const char *name;
    enum tensor_type type;
    int n_dims;                     /* 0 (one element) to 4 */
    size_t shape[WEIGHTS_MAX_DIMS]; /* every length is at least 1; unused ones are 1 */
    const void *data;
    size_t n_bytes;
};

struct weights;

MUST_USE enum err weights_open(struct weights **out, const char *path, struct errbuf *e);
/* From memory: borrows `bytes` until close. `name` stands for the file in messages. */
MUST_USE enum err weights_parse(struct weights **out, const void *bytes, size_t n_bytes, const char *name,
                                struct errbuf *e);
void weights_close(struct weights *w); /* NULL is fine */

const struct tensor *weights_find(const struct weights *w, const char *name); /* NULL when there is none */
int weights_count(const struct weights *w);
const struct tensor *weights_at(const struct weights *w, int i); /* in the order of the data */

/* ERR_BAD_MODEL naming the first F32, BF16 or F16 tensor with an infinite or NaN element. Reads the whole file. */
MUST_USE enum err weights_check_finite(const struct weights *w, struct errbuf *e);
/* SHA-256 of the whole file, 64 lower-case hex digits. Reads the whole file. */
void weights_sha256(const struct weights *w, char hex[65]);

/* Keeps this matrix readable for as long as the weights are open. */
void weights_keep(const struct weights *w, const struct tensor *t);
/* Call after packing: returns the memory of all tensors of two or more dimensions that were not kept. Reading them, or
 * calling weights_check_finite or weights_sha256, then crashes. */
void weights_forget(const struct weights *w);
/* Bytes of the file that are still in memory. */
size_t weights_memory_bytes(const struct weights *w);

size_t weights_elements(const struct tensor *t);

#endif
