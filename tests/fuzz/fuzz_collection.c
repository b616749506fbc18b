/* A collections file with bytes changed, and any bytes as a query: every call gives an answer or an error in words, and
 * what a search finds is whole.
 *
 *     bytes 0..1   how many of the next bytes are edits, of 5 bytes: where (4), what; in the first pages when bit 31 of
 *                  `where` is set
 *     then         the query */
#define BLOCK 3000
#include "tests/fuzz/collection_fuzz.h"

enum { HEAD = 16384 };

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
