/* bench_collections - how the first pass of a search grows with the collection.
 *
 *     bench_collections FOLDER [BLOCK_BYTES]
 *
 * Fills a collection with made-up captions and labels (words as frequent as Zipf's law has them), and prints for 1,000,
 * 10,000 and 100,000 images the median of some searches, 64 candidates each. The disk is not waited for while
 * filling. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 3000, LABELS = 80, ROUNDS = 9 };

static uint32_t state = 1;

static double random_unit(void)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) / (double)(1 << 24);
}

/* Of n words, the first ones the most frequent. */
static int zipf(int n)
{
    double x = random_unit();
    int i = 0;
    for (double p = x; i < n - 1 && (double)(i + 1) / n < p * p * p; i++) {
    }
    return i;
}

static void make_words(char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "a w%dx and a w%dx on the w%dx in the w%dx\n", zipf(WORDS), zipf(WORDS),
                                zipf(WORDS), zipf(WORDS));
    int labels = 3 + (int)(random_unit() * 20);
    for (int i = 0; i < labels; i++) {
        n += (size_t)snprintf(out + n, size - n, "l%dy\n", zipf(LABELS));
    }
}

static int by_time(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void measure(struct collections *cs, const struct collection_model *model, const char *query)
{
    uint64_t times[ROUNDS];
    struct collection_hits hits;
    struct errbuf e;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t began = clock_us();
        if (collections_candidates(cs, model, collection_text("c"), collection_text(query), 64, &hits, &e) != OK) {
            fprintf(stderr, "%s\n", e.text);
            exit(1);
        }
        times[i] = clock_us() - began;
        if (i < ROUNDS - 1) {
            collection_hits_release(&hits);
        }
    }
    qsort(times, ROUNDS, sizeof(*times), by_time);
    printf("%8llu images %-28.28s %8.2f ms  matching %llu, by words %d, sample %d\n", (unsigned long long)hits.n_images,
           query, (double)times[ROUNDS / 2] / 1e3, (unsigned long long)hits.n_matching, hits.n_by_words,
           hits.n_by_sample);
    collection_hits_release(&hits);
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {"w2500x",        "w700x w1500x",         "l0y",           "a l0y on the l1y",
                                          "a w0x w1x w2x", "w0x w900x and a l40y", "puppy zebraly", "w77"};
    struct collection_model model = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                     argc > 2 ? strtoul(argv[2], NULL, 10) : 2000};
    struct collections *cs;
    struct errbuf e;
    char path[512], words[1024], key[32];
    void *block;
    if (argc < 2) {
        return 2;
    }
    snprintf(path, sizeof(path), "%s/bench.db", argv[1]);
    if (collections_open(&cs, path, NULL, &e) != OK || mem_alloc(&block, model.features_bytes) != OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    sqlite3_exec(cs->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    for (int n = 0, next = 1000; next <= 100000; next *= 10) {
        uint64_t began = clock_us();
        int first = n;
        for (; n < next; n++) {
            struct collection_image image = {
                .width = 1, .height = 1, .features = block, .features_bytes = model.features_bytes};
            bool replaced;
            make_words(words, sizeof(words));
            image.words = collection_text(words);
            snprintf(key, sizeof(key), "k%06d", n);
            if (collections_put(cs, &model, collection_text("c"), collection_text(key), &image, 1000000, &replaced,
                                &e) != OK) {
                fprintf(stderr, "%s\n", e.text);
                return 1;
            }
        }
        printf("%8d images, %.0f us a put\n", n, (double)(clock_us() - began) / (n - first));
        for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
            measure(cs, &model, queries[i]);
        }
    }
    collections_close(cs);
    mem_free(block);
    return 0;
}
