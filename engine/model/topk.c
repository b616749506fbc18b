/* A key is the score turned into an integer that falls as the score rises, above the index: smaller keys are better and
 * no two are equal. A heap of the k smallest keys with the largest at its root turns most scores away with one
 * comparison; the worst order costs n log k. */
#include "engine/model/topk.h"

#include <string.h>

static uint64_t key_of(float score, size_t index)
{
    uint32_t bits;
    float s = score + 0.0F; /* minus zero becomes zero */
    memcpy(&bits, &s, sizeof(bits));
    bits ^= bits >> 31 ? 0xFFFFFFFFU : 0x80000000U; /* ascending as unsigned */
    return (uint64_t)~bits << 32 | (uint32_t)index;
}

/* Puts `key` at the root of the heap's first n places and lets it sink. */
static void sink(uint64_t *heap, size_t n, size_t at, uint64_t key)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && heap[child + 1] > heap[child]) {
            child++;
        }
        if (heap[child] <= key) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

size_t topk_select(const float *scores, size_t n, size_t k, uint64_t *keys)
{
    size_t n_keys = n < k ? n : k;
    if (n_keys == 0) {
        return 0;
    }
    for (size_t i = 0; i < n_keys; i++) {
        keys[i] = key_of(scores[i], i);
    }
    for (size_t i = n_keys / 2; i-- > 0;) {
        sink(keys, n_keys, i, keys[i]);
    }
    for (size_t i = n_keys; i < n; i++) {
        uint64_t key = key_of(scores[i], i);
        if (key < keys[0]) {
            sink(keys, n_keys, 0, key);
        }
    }
    for (size_t i = n_keys - 1; i > 0; i--) { /* the worst goes to the end */
        uint64_t worst = keys[0];
        sink(keys, i, 0, keys[i]);
        keys[i] = worst;
    }
    return n_keys;
}
