#include "cli/cli_output.h"

#include "cli/cli_csv.h"
#include "cli/cli_json.h"
#include "engine/base/fmap.h"
#include "engine/base/hash.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_MAX_BYTES = 64 << 20 };

struct cli_output {
    const struct cli_args *args;
    const struct engine_info *info;
    int fd;
    bool is_csv;
    struct buf row, first, last;
    enum err err;
    struct errbuf error;
    char **done; /* [room], a hash table with open addressing; NULL: free */
    size_t n_done, room;
};

/* ---- what is done ---- */

static size_t place_of(const struct cli_output *o, const char *file)
{
    size_t at = hash_text(file) & (o->room - 1);
    while (o->done[at] && strcmp(o->done[at], file) != 0) {
        at = (at + 1) & (o->room - 1);
    }
    return at;
}

static enum err grow(struct cli_output *o)
{
    char **old = o->done;
    size_t n = o->room;
    if (o->room && o->n_done < o->room / 2) {
        return OK;
    }
    o->done = NULL;
    o->room = n ? 2 * n : 1024;
    enum err rc = mem_array(&o->done, o->room, sizeof(*o->done));
    if (rc) {
        o->done = old;
        o->room = n;
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        if (old[i]) {
            o->done[place_of(o, old[i])] = old[i];
        }
    }
    mem_free(old);
    return OK;
}

static enum err remember(struct cli_output *o, const struct buf *file)
{
    enum err rc = file->err ? file->err : grow(o);
    char *copy = NULL;
    if (rc || file->n == 0 || o->done[place_of(o, file->bytes)]) {
        return rc;
    }
    rc = mem_alloc(&copy, file->n + 1);
    if (!rc) {
        memcpy(copy, file->bytes, file->n + 1);
        o->done[place_of(o, copy)] = copy;
        o->n_done++;
    }
    return rc;
}

bool cli_output_has(struct cli_output *o, const char *file)
{
    buf_reset(&o->row);
    buf_text(&o->row, o->is_csv ? cli_csv_name_prefix(file) : "");
    buf_text(&o->row, file);
    return o->room && !o->row.err && o->row.bytes && o->done[place_of(o, o->row.bytes)];
}

/* ---- writing ---- */

static enum err write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t wrote = write(fd, bytes, n);
        if (wrote < 0 && errno != EINTR) {
            return ERR_IO;
        }
        bytes += wrote > 0 ? wrote : 0;
        n -= wrote > 0 ? (size_t)wrote : 0;
    }
    return OK;
}

static void write_row(struct cli_output *o)
{
    if (o->err) {
        return;
    }
    o->err = o->row.err ? o->row.err : write_all(o->fd, o->row.bytes, o->row.n);
    if (o->err == ERR_IO) {
        err_set(&o->error, ERR_IO, "%s: %s", o->args->output, strerror(errno));
    }
}

void cli_output_result(struct cli_output *o, const struct cli_input *in, const struct job *job)
{
    buf_reset(&o->row);
    if (o->is_csv) {
        cli_csv_result(&o->row, o->args, in, job);
    } else {
        cli_json_result(&o->row, o->args, o->info, in, job);
    }
    write_row(o);
}

void cli_output_error(struct cli_output *o, const struct cli_input *in, enum err rc, const struct errbuf *error,
                      const char *stage)
{
    buf_reset(&o->row);
    if (o->is_csv) {
        cli_csv_error(&o->row, o->args->command, in, rc, error);
    } else {
        cli_json_error(&o->row, in, rc, error, stage);
    }
    write_row(o);
}

bool cli_output_has_failed(const struct cli_output *o)
{
    return !!o->err;
}

/* ---- resuming ---- */

enum row_state { ROW_DONE, ROW_FAILED, ROW_CUT, ROW_FOREIGN };

static enum row_state read_row(struct cli_output *o, const char **at, const char *end)
{
    if (o->is_csv) {
        return !cli_csv_read(at, end, &o->first, &o->last) ? ROW_CUT : o->last.n > 0 ? ROW_FAILED : ROW_DONE;
    }
    const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) {
        return ROW_CUT;
    }
    *at = stop + 1;
    switch (cli_json_read_result(line, (size_t)(stop - line), o->args->command, &o->first)) {
    case CLI_JSON_DONE:
        return ROW_DONE;
    case CLI_JSON_FAILED:
        return ROW_FAILED;
    default:
        return ROW_FOREIGN;
    }
}

static bool has_header(const struct cli_output *o, const char *text, size_t n)
{
    const char *header = cli_csv_header(o->args->command);
    size_t length = strlen(header);
    return n > length && memcmp(text, header, length) == 0 && text[length] == '\n';
}

/* Copies the rows that are worth keeping to the new file. */
static enum err keep_rows(struct cli_output *o, const char *text, size_t n, struct errbuf *e)
{
    const char *at = text, *end = text + n;
    enum err rc = OK;
    if (o->is_csv && n > 0) {
        if (!has_header(o, text, n)) {
            return err_set(e, ERR_BAD_REQUEST, "%s: its first line is not \"%s\"; name another --output",
                           o->args->output, cli_csv_header(o->args->command));
        }
        at += strlen(cli_csv_header(o->args->command)) + 1;
    }
    while (!rc && at < end) {
        const char *row = at;
        enum row_state state = read_row(o, &at, end);
        if (state == ROW_CUT) {
            break;
        }
        if (state == ROW_FOREIGN) {
            return err_set(e, ERR_BAD_REQUEST,
                           "%s: no answer of this command begins at byte %zu; name another --output", o->args->output,
                           (size_t)(row - text));
        }
        if (state == ROW_DONE) {
            rc = remember(o, &o->first);
            rc = rc ? rc : write_all(o->fd, row, (size_t)(at - row));
        }
    }
    return rc;
}

static enum err resume(struct cli_output *o, struct errbuf *e)
{
    struct fmap *old = NULL;
    enum err rc = fmap_open(&old, o->args->output, e);
    rc = rc ? rc : keep_rows(o, (const char *)fmap_bytes(old), fmap_size(old), e);
    fmap_close(old);
    return rc;
}

/* ---- opening and closing ---- */

static enum err write_header(struct cli_output *o, struct errbuf *e)
{
    buf_reset(&o->row);
    if (o->is_csv) {
        buf_printf(&o->row, "%s\n", cli_csv_header(o->args->command));
        write_row(o);
        *e = o->error;
    }
    return o->err;
}

static enum err create(struct cli_output *o, const char *path, struct errbuf *e)
{
    o->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | O_EXCL, 0666);
    if (o->fd < 0 && errno == EEXIST) {
        return err_set(e, ERR_IO, "%s already exists; continue it with --resume, or name another file", path);
    }
    return o->fd < 0 ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : write_header(o, e);
}

/* Makes the file that takes the place of the one at `path`, beside it and with its permissions. */
static enum err create_part(struct cli_output *o, const char *path, const struct stat *old, char *part, size_t size,
                            struct errbuf *e)
{
    int n = snprintf(part, size, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= size) {
        return err_set(e, ERR_IO, "%s: the name is too long; choose a shorter one", path);
    }
    o->fd = mkostemp(part, O_CLOEXEC | O_APPEND);
    if (o->fd < 0 || fchmod(o->fd, old->st_mode & 07777) != 0) {
        return err_set(e, ERR_IO, "%s: %s", part, strerror(errno));
    }
    return write_header(o, e);
}

/* The kept rows go to a file beside the old one (what a link leads to), which takes its place when it is whole. */
static enum err open_file(struct cli_output *o, struct errbuf *e)
{
    char path[PATH_MAX], part[PATH_MAX];
    struct stat old;
    if (!o->args->resume || access(o->args->output, F_OK) != 0) {
        return create(o, o->args->output, e);
    }
    if (!realpath(o->args->output, path) || stat(path, &old) != 0) {
        return err_set(e, ERR_IO, "%s: %s", o->args->output, strerror(errno));
    }
    if (!S_ISREG(old.st_mode)) {
        return err_set(e, ERR_IO, "%s is not a regular file; --resume cannot continue it", o->args->output);
    }
    enum err rc = create_part(o, path, &old, part, sizeof(part), e);
    rc = rc ? rc : resume(o, e);
    if (!rc && (fsync(o->fd) != 0 || rename(part, path) != 0)) {
        rc = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    if (rc && o->fd >= 0) {
        unlink(part);
    }
    return rc;
}

enum err cli_output_open(struct cli_output **out, const struct cli_args *a, const struct engine_info *info,
                         struct errbuf *e)
{
    struct cli_output *o = NULL;
    *out = NULL;
    enum err rc = mem_alloc(&o, sizeof(*o));
    if (rc) {
        return rc;
    }
    *o = (struct cli_output){.args = a, .info = info, .fd = -1, .is_csv = cli_args_wants_csv(a)};
    buf_init(&o->row, ROW_MAX_BYTES);
    buf_init(&o->first, ROW_MAX_BYTES);
    buf_init(&o->last, ROW_MAX_BYTES);
    rc = open_file(o, e);
    if (rc) {
        struct errbuf ignored;
        enum err closed = cli_output_close(o, &ignored);
        (void)closed;
        return rc;
    }
    *out = o;
    return OK;
}

enum err cli_output_close(struct cli_output *o, struct errbuf *e)
{
    if (!o) {
        return OK;
    }
    enum err rc = o->err;
    *e = o->error;
    bool is_kept = o->fd < 0 || rc || fsync(o->fd) == 0 || errno == EINVAL || errno == EROFS;
    if (o->fd >= 0 && close(o->fd) != 0) {
        is_kept = false;
    }
    if (!is_kept && !rc) {
        rc = err_set(e, ERR_IO, "%s: %s", o->args->output, strerror(errno));
    }
    for (size_t i = 0; i < o->room; i++) {
        mem_free(o->done[i]);
    }
    mem_free(o->done);
    buf_release(&o->row);
    buf_release(&o->first);
    buf_release(&o->last);
    mem_free(o);
    return rc;
}
