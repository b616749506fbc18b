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

/* Reads what fstat promised, and looks that nothing follows. */
static enum err read_all(struct fmap *m, int fd, const char *path, struct errbuf *e)
{
    unsigned char *to = m->mapping, more;
    size_t n = 0;
    while (n < m->size) {
        ssize_t got = read(fd, to + n, m->size - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_error(e, path, "read");
        }
        if (got == 0) {
            return err_set(
                e, ERR_IO,
                "%s: became shorter while it was read (%zu of %zu bytes); write the new file beside it and rename it",
                path, n, m->size);
        }
        n += (size_t)got;
    }
    ssize_t rest;
    do {
        rest = read(fd, &more, 1);
    } while (rest < 0 && errno == EINTR);
    if (rest == 1) {
        return err_set(e, ERR_IO, "%s: became longer while it was read; write the new file beside it and rename it",
                       path);
    }
    return OK;
}

static enum err load(struct fmap *m, int fd, const char *path, struct errbuf *e)
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
    void *mapping = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return err_set(e, ERR_NOMEM, "%s: no memory for its %zu bytes", path, m->size);
    }
    m->mapping = mapping;
    enum err rc = read_all(m, fd, path, e);
    if (!rc) {
        mprotect(mapping, m->size, PROT_READ);
    }
    return rc;
}

enum err fmap_open(struct fmap **out, const char *path, struct errbuf *e)
{
    struct fmap *m = NULL;
    *out = NULL;
    /* Without O_NONBLOCK a named pipe would block here indefinitely. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return system_error(e, path, "open");
    }
    enum err rc = mem_alloc(&m, sizeof(*m));
    if (rc) {
        err_set(e, rc, "%s: out of memory", path);
        goto out;
    }
    rc = load(m, fd, path, e);
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

void fmap_forget(const struct fmap *m, size_t at, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    BUG_ON(at > m->size || n > m->size - at);
    size_t first = (at + page - 1) / page * page, end = (at + n) / page * page;
    if (first < end) {
        unsigned char *from = (unsigned char *)m->mapping + first;
        madvise(from, end - first, MADV_DONTNEED);
        mprotect(from, end - first, PROT_NONE); /* reserved, so that nothing else is put there before fmap_close */
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
