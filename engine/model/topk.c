/* A key is the score turned into an integer that falls as the score rises, above the index: smaller keys are better and
 * no two are equal. A heap of the k smallest keys with the largest at its root turns most scores away with one
 * comparison; the worst order costs n log k. Of very many scores, those are turned away first that even some of them
 * show to be too low. */
#include "engine/model/topk.h"

#include <math.h>
#include <string.h>

enum { SAMPLE = 8, MANY = 64 };

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
        size_t right = child + 1 < n ? child + 1 : child;
        child = heap[right] > heap[child] ? right : child; /* nobody could predict that branch */
        if (heap[child] <= key) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

/* Of n scores the best k in keys, as a heap; only those not below `min` count. Returns how many there are. */
static size_t gather(const float *scores, size_t n, size_t step, float min, size_t k, uint64_t *keys)
{
    size_t n_keys = 0;
    for (size_t i = 0; i < n; i += step) {
        if (scores[i] < min) { /* NaN is not */
            continue;
        }
        uint64_t key = key_of(scores[i], i);
        if (n_keys < k) {
            keys[n_keys++] = key;
            for (size_t j = n_keys / 2; n_keys == k && j-- > 0;) {
                sink(keys, n_keys, j, keys[j]);
            }
        } else if (key < keys[0]) {
            sink(keys, n_keys, 0, key);
        }
    }
    for (size_t j = n_keys / 2; n_keys < k && j-- > 0;) {
        sink(keys, n_keys, j, keys[j]);
    }
    return n_keys;
}

/* A score that, as far as some of them show, more than k reach. `keys` is room. */
static float likely_min(const float *scores, size_t n, size_t k, uint64_t *keys)
{
    gather(scores, n, SAMPLE, -INFINITY, k / SAMPLE * 3 / 2, keys);
    return scores[topk_index(keys[0])];
}

size_t topk_select(const float *scores, size_t n, size_t k, uint64_t *keys)
{
    size_t n_keys = n < k ? n : k;
    if (n_keys == 0) {
        return 0;
    }
    float min = k >= MANY && n >= MANY * SAMPLE && n > 4 * k ? likely_min(scores, n, k, keys) : -INFINITY;
    if (gather(scores, n, 1, min, n_keys, keys) < n_keys) { /* the sample was not like the rest */
        gather(scores, n, 1, -INFINITY, n_keys, keys);
    }
    for (size_t i = n_keys - 1; i > 0; i--) { /* the worst goes to the end */
        uint64_t worst = keys[0];
        sink(keys, i, 0, keys[i]);
        keys[i] = worst;
    }
    return n_keys;
}
