/* collection_fuzz - what the fuzz targets of the collections file share: a sound file to begin with, and a search whose
 * hits are looked at. One target is one file; it defines BLOCK, the bytes of a picture's features, before it includes
 * this. */
#include "engine/base/log.h"
#include "server/collections/collection.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/slurp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IMAGES = 6 };
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
