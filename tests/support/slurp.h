/* slurp - a whole file as a malloc'd block with a NUL behind it; aborts when it cannot be read. */
#ifndef TESTS_SUPPORT_SLURP_H
#define TESTS_SUPPORT_SLURP_H

#include <stdio.h>
#include <stdlib.h>

static char *slurp(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        abort();
    }
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)size + 1);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        abort();
    }
    fclose(file);
    bytes[size] = '\0';
    *n = (size_t)size;
    return bytes;
}

#endif
