/* topk against a full sort, with ties, and what it says of NaN and minus zero. */
#include "engine/model/topk.h"

#include "tests/support/check.h"

#include <stdlib.h>

enum { MAX = 3000 };
static float scores[MAX];

static int better_first(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    if (scores[i] != scores[j]) {
        return scores[i] > scores[j] ? -1 : 1;
    }
    return i < j ? -1 : 1;
}

/* The best k of the scores that are there. */
static void check_sorted(size_t n, size_t k)
{
    int order[MAX];
    uint64_t keys[MAX];
    for (size_t i = 0; i < n; i++) {
        order[i] = (int)i;
    }
    qsort(order, n, sizeof(order[0]), better_first);
    size_t found = topk_select(scores, n, k, keys);
    CHECK_INT(found, n < k ? n : k);
    for (size_t i = 0; i < found; i++) {
        CHECK_INT(topk_index(keys[i]), order[i]);
    }
}

static void test_sorted(size_t n, size_t k, int values)
{
    for (size_t i = 0; i < n; i++) {
        scores[i] = (float)(rand() % values - values / 2) / 4.0F;
    }
    check_sorted(n, k);
}

/* Those that are looked at first are nothing like the rest. */
static void test_misleading(float first, float rest)
{
    for (size_t i = 0; i < MAX; i++) {
        scores[i] = (i % 8 == 0 ? first : rest) + (float)(rand() % 100);
    }
    check_sorted(MAX, MAX / 5);
    check_sorted(MAX, 64);
}

static void test_odd_values(void)
{
    uint64_t keys[6];
    const float odd[6] = {1.0F, -INFINITY, INFINITY, NAN, -0.0F, 0.0F};
    static const size_t order[6] = {3, 2, 0, 4, 5, 1}; /* NaN first; minus zero is zero */
    CHECK_INT(topk_select(odd, 6, 6, keys), 6);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(topk_index(keys[i]), order[i]);
    }
    CHECK_INT(topk_select(odd, 6, 1, keys), 1);
    CHECK_INT(topk_index(keys[0]), 3);
    CHECK_INT(topk_select(odd, 0, 6, keys), 0);
    CHECK_INT(topk_select(odd, 6, 0, keys), 0);
}

int main(void)
{
    static const size_t sizes[] = {1, 2, 3, 17, 64, 300, 600, MAX};
    srand(1);
    for (size_t n = 0; n < 8; n++) {
        for (size_t k = 0; k < 8; k++) {
            test_sorted(sizes[n], sizes[k], 1); /* all equal */
            test_sorted(sizes[n], sizes[k], 9);
            test_sorted(sizes[n], sizes[k], 100000);
        }
    }
    test_misleading(1000.0F, 0.0F);
    test_misleading(0.0F, 1000.0F);
    test_odd_values();
    return check_result();
}
