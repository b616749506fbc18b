#include "engine/base/fmap.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct fmap {
    void *mapping; /* NULL for an empty file: nothing can be mapped */
    size_t size;
};

static const unsigned char nothing[1];

static enum err system_error(struct errbuf *e, const char *path, const char *what)
{
    return err_set(e, ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static enum err map_file(struct fmap *m, int fd, const char *path, struct errbuf *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return system_error(e, path, "stat");
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(e, ERR_IO, "%s: not a regular file", path);
    }
    m->size = (size_t)st.st_size;
    if (m->size == 0) {
        return OK;
    }
    void *mapping = mmap(NULL, m->size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        return system_error(e, path, "map");
    }
    m->mapping = mapping;
    return OK;
}

enum err fmap_open(struct fmap **out, const char *path, struct errbuf *e)
{
    struct fmap *m = NULL;
    *out = NULL;
    /* Without O_NONBLOCK a named pipe would block here for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return system_error(e, path, "open");
    }
    enum err rc = mem_alloc(&m, sizeof(*m));
    if (rc) {
        err_set(e, rc, "%s: out of memory", path);
        goto out;
    }
    rc = map_file(m, fd, path, e);
    if (rc) {
        goto out;
    }
    *out = m;
    m = NULL;
out:
    fmap_close(m);
    close(fd);
    return rc;
}

void fmap_close(struct fmap *m)
{
    if (m) {
        if (m->mapping) {
            munmap(m->mapping, m->size);
        }
        mem_free(m);
    }
}

void fmap_forget(const struct fmap *m)
{
    if (m->mapping) {
        madvise(m->mapping, m->size, MADV_DONTNEED); /* of a shared file mapping: only this process's page table */
    }
}

const unsigned char *fmap_bytes(const struct fmap *m)
{
    return m->mapping ? m->mapping : nothing;
}

size_t fmap_size(const struct fmap *m)
{
    return m->size;
}
