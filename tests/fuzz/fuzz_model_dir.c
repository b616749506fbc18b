/* A model directory with a damaged file, or two: the model opens, with a session, or is refused in words.
 *
 *     byte 0   which file (low 2 bits); bit 2: the file is cut after the last edit; bit 3: the later half of the edits
 *              is for another file (bits 4 and 5); bit 6: the file is not there
 *     then     edits of 5 bytes: where (4, little-endian, from the end when bit 7 of byte 0 is set), what */
#include "engine/model/model.h"
#include "tests/support/scratch_folder.h"
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
static char folder[SCRATCH_FOLDER_MAX];
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
    scratch_folder(folder, "fuzz_model");
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
static size_t edit(char *bytes, size_t n, uint8_t how, const uint8_t *edits, size_t size)
{
    size_t last = n - 1;
    for (size_t i = 0; i + 5 <= size; i += 5) {
        uint32_t where;
        memcpy(&where, edits + i, 4);
        last = how & 128 ? n - 1 - where % n : where % n;
        bytes[last] = (char)edits[i + 4];
    }
    return how & 4 ? last + 1 : n;
}

static void damage(const struct file *f, uint8_t how, const uint8_t *edits, size_t size)
{
    char *bytes = malloc(f->n);
    if (!bytes) {
        abort();
    }
    memcpy(bytes, f->bytes, f->n);
    write_file(f, bytes, edit(bytes, f->n, how, edits, size));
    free(bytes);
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
    const struct file *f = &files[data[0] & 3], *other = &files[data[0] >> 4 & 3];
    size_t n = data[0] & 8 ? (size - 1) / 10 * 5 : size - 1;
    damage(f, data[0], data + 1, n);
    if (data[0] & 8) {
        damage(other, data[0] & ~4U, data + 1 + n, size - 1 - n);
    }
    if (data[0] & 64) {
        unlink(f->path);
    }
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
    write_file(other, other->bytes, other->n);
    return 0;
}
