/* A model directory with a damaged file: the model opens, with a session, or is refused in words.
 *
 *     byte 0   which file (low 2 bits); bit 2: the file is cut after the last edit
 *     then     edits of 5 bytes: where (4, little-endian, from the end when bit 7 of byte 0 is set), what */
#include "engine/model/model.h"
#include "tests/support/slurp.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 4 };
static const char *const names[FILES] = {"config.json", "model.safetensors", "vocab.txt", "labels.json"};
static char folder[] = "/tmp/fuzz_model_XXXXXX";
static struct file {
    char *bytes, path[64];
    size_t n;
} files[FILES];

static void write_file(const struct file *f, const char *bytes, size_t n)
{
    FILE *out = fopen(f->path, "wb");
    if (!out || fwrite(bytes, 1, n, out) != n || fclose(out) != 0) {
        abort();
    }
}

static void clean_up(void)
{
    for (int i = 0; i < FILES; i++) {
        unlink(files[i].path);
        free(files[i].bytes);
    }
    rmdir(folder);
}

static void copy_model(void)
{
    if (!mkdtemp(folder)) {
        abort();
    }
    for (int i = 0; i < FILES; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "tests/data/tiny/%s", names[i]);
        snprintf(files[i].path, sizeof(files[i].path), "%s/%s", folder, names[i]);
        files[i].bytes = slurp(path, &files[i].n);
        write_file(&files[i], files[i].bytes, files[i].n);
    }
    atexit(clean_up);
}

/* The length that is left. */
static size_t edit(char *bytes, size_t n, const uint8_t *data, size_t size)
{
    size_t last = n - 1;
    for (size_t i = 1; i + 5 <= size; i += 5) {
        uint32_t where;
        memcpy(&where, data + i, 4);
        last = data[0] & 128 ? n - 1 - where % n : where % n;
        bytes[last] = (char)data[i + 4];
    }
    return data[0] & 4 ? last + 1 : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct model_options options = {.verify_hash = false};
    const struct session_limits limits = {.max_input_width = 64, .max_input_height = 64, .max_rows = 64};
    struct model *m = NULL;
    struct session *s = NULL;
    struct errbuf e;
    if (!files[0].bytes) {
        copy_model();
    }
    if (size < 1) {
        return 0;
    }
    const struct file *f = &files[data[0] & 3];
    char *bytes = malloc(f->n);
    if (!bytes) {
        abort();
    }
    memcpy(bytes, f->bytes, f->n);
    write_file(f, bytes, edit(bytes, f->n, data, size));
    free(bytes);
    errbuf_clear(&e);
    if (model_open(&m, folder, &options, &e)) {
        BUG_ON(m || !e.text[0]);
    } else {
        enum err rc = session_create(&s, m, &limits);
        BUG_ON(rc && rc != ERR_NOMEM);
        session_destroy(s);
        model_close(m);
    }
    write_file(f, f->bytes, f->n);
    return 0;
}
