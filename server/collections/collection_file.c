/* The file and its identity.
 *
 * Ownership of the file is an open-file-description lock on a byte that SQLite does not use: the kernel drops it with
 * the process, it follows the file through links and renames, and nothing is left behind. The descriptor stays open
 * until the last connection is closed: closing it earlier would take away SQLite's own locks on the same file. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 8, HEADER_BYTES = 100 };
static const off_t owner_byte = (off_t)1 << 62;

struct place {
    dev_t device;
    ino_t number; /* 0: none */
};

struct collection_file {
    pthread_rwlock_t lock; /* read: a call is under way; write: the file is being opened again */
    char *path;            /* as it was named */
    char *real;            /* what it leads to, links followed; NULL while closed */
    int fd;                /* holds the owner's lock; -1 while closed */
    struct place file, log, index;
    _Atomic int64_t bytes;                            /* length of the file, at least */
    struct collections *connections[MAX_CONNECTIONS]; /* the writer first */
    int n;
};

enum state { STATE_INTACT, STATE_MISSING, STATE_CUT, STATE_REPLACED, STATE_CLOSED };

const char *collection_file_path(const struct collections *cs)
{
    return cs->file->path;
}

/* ---- looking ---- */

static struct place place_of(const struct stat *st)
{
    return (struct place){st->st_dev, st->st_ino};
}

static bool is_same(struct place a, struct place b)
{
    return a.device == b.device && a.number == b.number;
}

static struct place place_beside(const struct collection_file *f, const char *end, off_t *bytes)
{
    char name[PATH_MAX + 8];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", f->real, end);
    bool there = stat(name, &st) == 0;
    *bytes = there ? st.st_size : 0;
    return there ? place_of(&st) : (struct place){0, 0};
}

/* All n bytes from the beginning, in as many pieces as it takes. */
static bool read_beginning(int fd, unsigned char *to, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, to + done, n - done, (off_t)done);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Reads the header; false: there is none. *bytes: how long the file must be by it. */
static bool read_header(int fd, int64_t *bytes)
{
    unsigned char h[HEADER_BYTES];
    if (!read_beginning(fd, h, sizeof(h)) || memcmp(h, "SQLite format 3", 16) != 0) {
        return false;
    }
    int64_t page = (int64_t)h[16] << 8 | h[17];
    int64_t pages = (int64_t)h[28] << 24 | (int64_t)h[29] << 16 | (int64_t)h[30] << 8 | h[31];
    *bytes = pages * (page == 1 ? 65536 : page);
    return true;
}

static int64_t length_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

/* The header alone may be ahead of the file, while the log is moved into it; a file that became shorter may have been
 * vacuumed by another process; both at once is damage. */
static bool is_whole(const struct collection_file *f)
{
    int64_t wanted, bytes = length_of(f->fd);
    return read_header(f->fd, &wanted) && (bytes >= atomic_load(&f->bytes) || bytes >= wanted);
}

static enum state look(const struct collections *cs)
{
    const struct collection_file *f = cs->file;
    struct stat st;
    off_t bytes;
    if (stat(f->path, &st) != 0) {
        return STATE_MISSING;
    }
    if (!cs->db) {
        return STATE_CLOSED;
    }
    if (!is_same(place_of(&st), f->file)) {
        return STATE_REPLACED;
    }
    if (!is_whole(f)) {
        return STATE_CUT;
    }
    if (!is_same(place_beside(f, "-wal", &bytes), f->log) || (cs->is_writer && bytes < cs->log_bytes)) {
        return STATE_REPLACED;
    }
    return is_same(place_beside(f, "-shm", &bytes), f->index) ? STATE_INTACT : STATE_REPLACED;
}

static enum err say(const struct collections *cs, enum state state, struct errbuf *e)
{
    static const char *const what[] = {
        [STATE_INTACT] = "",
        [STATE_MISSING] =
            "the file was moved or deleted underneath the service; put it back, or restart the service for a new one",
        [STATE_CUT] = "the file was cut short or overwritten underneath the service; put a whole one there by renaming",
        [STATE_REPLACED] = "the file or its log was replaced underneath the service; try again",
        [STATE_CLOSED] = "the file is closed; try again",
    };
    log_limited(LOG_ERROR, LOG_HERE, "collections_file_changed", LOG_STR("path", cs->file->path),
                LOG_STR("reason", what[state]));
    return err_set(e, ERR_UNAVAILABLE, "%s: %s", cs->file->path, what[state]);
}

/* ---- opening ---- */

static enum err cannot_open(const struct collection_file *f, int reason, struct errbuf *e)
{
    bool read_only = reason == EROFS || (reason == EACCES && access(f->path, R_OK) == 0);
    if (read_only) {
        return err_set(e, ERR_UNAVAILABLE,
                       "%s: cannot open the file: the file or its folder is read-only; let the service write there",
                       f->path);
    }
    return err_set(e, ERR_IO, "%s: cannot open the file: %s", f->path, strerrordesc_np(reason));
}

static enum err own(struct collection_file *f, struct errbuf *e)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = owner_byte, .l_len = 1};
    struct stat st;
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return err_set(e, ERR_IO, "%s is not a regular file; name one", f->path);
    }
    f->file = place_of(&st);
    if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0) {
        return OK;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return err_set(
            e, ERR_BAD_CONFIG,
            "%s: another process is using this file; stop it first, or name another file in collections.path", f->path);
    }
    return err_set(e, ERR_BAD_CONFIG, "%s: this file system cannot lock files (%s); name a file on a local disk",
                   f->path, strerrordesc_np(errno));
}

/* A new file is made here, because SQLite would let everybody read it. */
static enum err open_descriptor(struct collection_file *f, bool can_be_new, struct errbuf *e)
{
    f->fd = open(f->path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0 && errno == ENOENT && can_be_new) {
        f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (f->fd < 0) {
            return err_set(e, ERR_IO, "cannot make %s: %s", f->path, strerrordesc_np(errno));
        }
    }
    if (f->fd < 0) {
        return cannot_open(f, errno, e);
    }
    return own(f, e);
}

/* A log at the path that is not ours, or that was cut, is left alone. */
static void close_all(struct collection_file *f, bool keep_log)
{
    off_t bytes;
    if (f->real) {
        struct place log = place_beside(f, "-wal", &bytes), index = place_beside(f, "-shm", &bytes);
        keep_log |= (log.number && !is_same(log, f->log)) || (index.number && !is_same(index, f->index));
    }
    for (int i = f->n - 1; i >= 0; i--) {
        collection_db_close(f->connections[i], keep_log);
    }
}

static void close_descriptor(struct collection_file *f)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    f->fd = -1;
    free(f->real);
    f->real = NULL;
}

static enum err connect(struct collection_file *f, struct collections *cs, bool can_be_new, struct errbuf *e)
{
    enum err rc = collection_db_open(cs, f->real, can_be_new, e);
    if (!rc && cs->is_writer) {
        off_t bytes;
        f->index = place_beside(f, "-shm", &bytes);
        f->log = place_beside(f, "-wal", &bytes);
        cs->log_bytes = bytes;
        atomic_store(&f->bytes, length_of(f->fd));
    }
    return rc;
}

/* All connections are closed; f->fd may still hold the same file. */
static enum err open_all(struct collection_file *f, bool can_be_new, struct errbuf *e)
{
    enum err rc = OK;
    if (f->fd < 0) {
        rc = open_descriptor(f, can_be_new, e);
        f->real = rc ? NULL : realpath(f->path, NULL);
        if (!rc && !f->real) {
            rc = cannot_open(f, errno, e);
        }
        int64_t wanted;
        if (!rc && !can_be_new && !read_header(f->fd, &wanted)) {
            rc = err_set(e, ERR_UNAVAILABLE,
                         "%s: what was put there is not an SQLite database; put one there by renaming it", f->path);
        }
    }
    for (int i = 0; i < f->n && !rc; i++) {
        rc = connect(f, f->connections[i], can_be_new, e);
    }
    if (rc) {
        close_all(f, false);
        close_descriptor(f);
    }
    return rc;
}

/* SQLite leaves the log of a file that was moved where it is, where it would be played into the next file. */
static void remove_log(const struct collection_file *f)
{
    static const char *const ends[] = {"-wal", "-shm"};
    const struct place ours[] = {f->log, f->index};
    char name[PATH_MAX + 8];
    off_t bytes;
    for (int i = 0; i < 2; i++) {
        struct place there = place_beside(f, ends[i], &bytes);
        if (there.number && is_same(there, ours[i])) {
            snprintf(name, sizeof(name), "%s%s", f->real, ends[i]);
            unlink(name);
        }
    }
}

/* With the lock held for writing. */
static enum err open_again(struct collection_file *f, struct errbuf *e)
{
    struct collections *writer = f->connections[0];
    enum state state = look(writer);
    struct stat st;
    if (state == STATE_INTACT) {
        return OK; /* another thread was faster */
    }
    if (state == STATE_MISSING || state == STATE_CUT) {
        return say(writer, state, e);
    }
    bool same = f->fd >= 0 && stat(f->path, &st) == 0 && is_same(place_of(&st), f->file), is_log_cut = false;
    if (writer->db) {
        off_t bytes;
        is_log_cut = is_same(place_beside(f, "-wal", &bytes), f->log) && bytes < writer->log_bytes;
    }
    if (writer->db && !is_log_cut) { /* moved or deleted, both are still open here: the file gets what the log holds */
        bool is_complete = collection_db_checkpoint(writer);
        log_warn("collections_log_moved", LOG_STR("path", f->path), LOG_BOOL("complete", is_complete));
    }
    close_all(f, is_log_cut);
    if (!same && f->real) {
        remove_log(f);
    }
    if (!same) {
        close_descriptor(f);
    }
    enum err rc = open_all(f, false, e);
    if (!rc) {
        log_warn("collections_opened_again", LOG_STR("path", f->path));
    } else if (rc == ERR_BAD_CONFIG || rc == ERR_IO) {
        rc = ERR_UNAVAILABLE; /* the text says why; the next call tries anew */
    }
    return rc;
}

/* ---- life ---- */

enum err collection_file_open(struct collections *writer, const char *path, struct errbuf *e)
{
    struct collection_file *f;
    enum err rc = mem_alloc(&f, sizeof(*f));
    if (rc) {
        return rc;
    }
    writer->file = f;
    f->fd = -1;
    f->connections[f->n++] = writer;
    pthread_rwlock_init(&f->lock, NULL);
    /* "./" so that no name is special to SQLite (":memory:", "file:...") */
    size_t n = strlen(path) + 3;
    rc = mem_alloc(&f->path, n);
    if (!rc) {
        snprintf(f->path, n, "%s%s", path[0] == '/' ? "" : "./", path);
        rc = open_all(f, true, e);
    }
    return rc;
}

enum err collection_file_join(struct collections *reader, struct collections *writer, struct errbuf *e)
{
    struct collection_file *f = writer->file;
    BUG_ON(f->n == MAX_CONNECTIONS);
    pthread_rwlock_wrlock(&f->lock);
    reader->file = f;
    f->connections[f->n++] = reader;
    enum err rc = writer->db ? connect(f, reader, false, e) : say(writer, STATE_CLOSED, e);
    pthread_rwlock_unlock(&f->lock);
    return rc;
}

void collection_file_leave(struct collections *cs)
{
    struct collection_file *f = cs->file;
    if (!f) {
        return;
    }
    pthread_rwlock_wrlock(&f->lock);
    if (f->n == 1) {
        close_all(f, false);
        close_descriptor(f);
    } else {
        collection_db_close(cs, true);
    }
    int at = 0;
    while (f->connections[at] != cs) {
        at++;
    }
    f->connections[at] = f->connections[--f->n];
    BUG_ON(at == 0 && f->n > 0); /* the writer goes last */
    pthread_rwlock_unlock(&f->lock);
    if (f->n == 0) {
        pthread_rwlock_destroy(&f->lock);
        mem_free(f->path);
        mem_free(f);
    }
}

/* ---- calls ---- */

enum err collection_file_begin(struct collections *cs, struct errbuf *e)
{
    struct collection_file *f = cs->file;
    enum state state = STATE_CLOSED;
    for (int tries = 0; tries < 3; tries++) {
        pthread_rwlock_rdlock(&f->lock);
        state = look(cs);
        if (state == STATE_INTACT) {
            return OK;
        }
        pthread_rwlock_unlock(&f->lock);
        if (state == STATE_MISSING || state == STATE_CUT) {
            break;
        }
        pthread_rwlock_wrlock(&f->lock);
        enum err rc = open_again(f, e);
        pthread_rwlock_unlock(&f->lock);
        if (rc) {
            return rc;
        }
    }
    return say(cs, state, e);
}

uint64_t collection_file_free_bytes(const struct collections *cs)
{
    struct statvfs disk;
    bool is_known = fstatvfs(cs->file->fd, &disk) == 0 && disk.f_blocks > 0;
    return is_known && disk.f_bavail < UINT64_MAX / disk.f_frsize ? disk.f_bavail * disk.f_frsize : UINT64_MAX;
}

bool collection_file_is_there(const struct collections *cs)
{
    return look(cs) == STATE_INTACT;
}

void collection_file_end(struct collections *cs)
{
    pthread_rwlock_unlock(&cs->file->lock);
}

enum err collection_file_check(struct collections *cs, struct errbuf *e)
{
    off_t bytes;
    cs->log_bytes = 0; /* a write may begin the log anew, and cut it */
    enum state state = look(cs);
    (void)place_beside(cs->file, "-wal", &bytes);
    cs->log_bytes = bytes;
    atomic_store(&cs->file->bytes, length_of(cs->file->fd));
    return state == STATE_INTACT ? OK : say(cs, state, e);
}
