/* A collections file with bytes changed, and any bytes as a query: every call gives an answer or an error in words, and
 * what a search finds is whole.
 *
 *     bytes 0..1   how many of the next bytes are edits, of 5 bytes: where (4), what; in the first pages when bit 31 of
 *                  `where` is set
 *     then         the query */
#include "engine/base/log.h"
#include "server/collections/collection.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/slurp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 3000, IMAGES = 6, HEAD = 16384 };
static const struct collection_model model = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                              BLOCK};
static char folder[SCRATCH_FOLDER_MAX], path[64], *whole;
static size_t n_whole;
static volatile unsigned touched;

static void remove_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[80];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
}

static void clean_up(void)
{
    remove_files();
    rmdir(folder);
    free(whole);
}

static void make_file(void)
{
    static uint8_t block[BLOCK];
    struct collections *cs;
    bool replaced;
    log_setup(LOG_OFF, LOG_TEXT, STDERR_FILENO);
    scratch_folder(folder, "fuzz_collection");
    snprintf(path, sizeof(path), "%s/c.db", folder);
    BUG_ON(collections_open(&cs, path, NULL, NULL));
    for (int i = 0; i < IMAGES; i++) {
        static const char *const words[IMAGES] = {"dog", "cat on a table", "dog cat", "a red bus", "", "bus"};
        const char key[] = {(char)('a' + i), 0};
        memset(block, i + 1, sizeof(block));
        const struct collection_image image = {.id = {(uint8_t)(i + 1)},
                                               .width = 3,
                                               .height = 4,
                                               .words = collection_text(words[i]),
                                               .features = block,
                                               .features_bytes = BLOCK};
        BUG_ON(collections_put(cs, &model, collection_text("all"), collection_text(key), &image, 100, &replaced, NULL));
    }
    collections_close(cs);
    whole = slurp(path, &n_whole);
    atexit(clean_up);
}

static void write_damaged(const uint8_t *data, size_t size)
{
    char *bytes = malloc(n_whole);
    FILE *file = fopen(path, "wb");
    BUG_ON(!bytes || !file);
    memcpy(bytes, whole, n_whole);
    for (size_t i = 0; i + 5 <= size; i += 5) {
        uint32_t where;
        memcpy(&where, data + i, 4);
        bytes[(where & ~(1U << 31)) % (where >> 31 ? HEAD : n_whole)] = (char)data[i + 4];
    }
    BUG_ON(fwrite(bytes, 1, n_whole, file) != n_whole);
    fclose(file);
    free(bytes);
}

static void on_entry(const struct collection_entry *entry, void *user)
{
    (void)user;
    for (size_t i = 0; i < entry->key.n; i++) {
        touched += (unsigned char)entry->key.text[i];
    }
    touched += entry->id[COLLECTION_ID_BYTES - 1];
}

static void search(struct collections *cs, struct collection_text query)
{
    struct collection_hits hits;
    struct errbuf e;
    errbuf_clear(&e);
    if (collections_candidates(cs, &model, collection_text("all"), query, 4, &hits, &e)) {
        BUG_ON(!e.text[0]);
        return;
    }
    for (int i = 0; i < hits.n; i++) {
        const uint8_t *block = hits.hits[i].features;
        for (size_t j = 1; j < BLOCK; j++) {
            BUG_ON(block[j] != block[0]); /* a hit fits its checksum */
        }
    }
    collection_hits_release(&hits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct collections *cs = NULL;
    struct collection_count count;
    struct errbuf e;
    bool flag;
    if (!whole) {
        make_file();
    }
    if (size < 2) {
        return 0;
    }
    size_t n = (size_t)(data[0] | data[1] << 8) % (size - 1);
    const struct collection_text query = {(const char *)data + 2 + n, size - 2 - n};
    remove_files();
    write_damaged(data + 2, n);
    errbuf_clear(&e);
    if (collections_open(&cs, path, NULL, &e)) {
        BUG_ON(!e.text[0]);
        return 0;
    }
    search(cs, query);
    enum err rc =
        collections_list(cs, &model, collection_text("all"), collection_text(""), 10, on_entry, NULL, &count, NULL);
    touched += (unsigned)rc;
    rc = collections_remove(cs, collection_text("all"), collection_text("b"), &flag, NULL);
    touched += (unsigned)rc;
    search(cs, collection_text("a dog"));
    collections_close(cs);
    return 0;
}
