#include "cli/cli_sidecar.h"

#include "engine/base/buf.h"
#include "engine/base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char before_text[] = "<rdf:li xml:lang=\"x-default\">", behind_text[] = "</rdf:li>";

enum { SIDECAR_MAX_BYTES = 1 << 20 };

static void escaped(struct buf *to, const char *text)
{
    for (const char *c = text; *c; c++) {
        const char *name = *c == '&' ? "&amp;" : *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : NULL;
        if (name) {
            buf_text(to, name);
        } else {
            buf_append(to, c, 1);
        }
    }
}

/* text: escaped. Its hash is in the file, so that a text that somebody has changed is recognised. */
static void print(struct buf *to, const char *text, size_t n)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    sha256(text, n, digest);
    sha256_hex(digest, hex);
    buf_printf(to,
               "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
               "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"minivlm %.16s\">\n"
               " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
               "  <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
               "   <dc:description><rdf:Alt>%s",
               hex, before_text);
    buf_append(to, text, n);
    buf_printf(to,
               "%s</rdf:Alt></dc:description>\n"
               "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>\n",
               behind_text);
}

/* Whether the bytes are what print() makes of the text in them. */
static bool is_as_written(const struct buf *seen)
{
    struct buf again;
    const char *text = seen->n ? strstr(seen->bytes, before_text) : NULL;
    const char *end = text ? strstr(text, behind_text) : NULL;
    if (!end) {
        return false;
    }
    text += strlen(before_text);
    buf_init(&again, SIDECAR_MAX_BYTES);
    print(&again, text, (size_t)(end - text));
    bool is_same = !again.err && again.n == seen->n && memcmp(again.bytes, seen->bytes, seen->n) == 0;
    buf_release(&again);
    return is_same;
}

/* ---- the sidecar of another program ---- */

static const char namespace_rdf[] = "xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"";
static const char name_dc[] = "http://purl.org/dc/elements/1.1/",
                  namespace_dc[] = "xmlns:dc=\"http://purl.org/dc/elements/1.1/";
static const char end_rdf[] = "</rdf:RDF>", about[] = "rdf:about=\"";

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) {
        n++;
    }
    return n;
}

/* The name of what is described, which all parts of the file must share; NULL: they do not. */
static const char *subject(const char *text, int *n)
{
    const char *first = strstr(text, about);
    first = first ? first + strlen(about) : "\"";
    *n = (int)strcspn(first, "\"");
    for (const char *at = text; (at = strstr(at, about));) {
        at += strlen(about);
        if (strncmp(at, first, (size_t)*n + 1) != 0) {
            return NULL;
        }
    }
    return first;
}

/* The bytes with one more rdf:Description before the end, the rest as it was. False: it has a description, or is not
 * written in the way that all programs do it, and nothing is risked. */
static bool extend(const struct buf *seen, const char *text, size_t n, struct buf *to)
{
    int n_about;
    if (memchr(seen->bytes, '\0', seen->n) || count(seen->bytes, end_rdf) != 1 || !strstr(seen->bytes, namespace_rdf) ||
        strstr(seen->bytes, "dc:description") || strstr(seen->bytes, "<!") ||
        count(seen->bytes, name_dc) != count(seen->bytes, namespace_dc)) {
        return false;
    }
    const char *end = strstr(seen->bytes, end_rdf), *name = subject(seen->bytes, &n_about);
    if (!name) {
        return false;
    }
    buf_append(to, seen->bytes, (size_t)(end - seen->bytes));
    buf_printf(to, " <rdf:Description rdf:about=\"%.*s\" %s\">\n   <dc:description><rdf:Alt>%s", n_about, name,
               namespace_dc, before_text);
    buf_append(to, text, n);
    buf_printf(to, "%s</rdf:Alt></dc:description>\n  </rdf:Description>\n %s", behind_text, end);
    return !to->err;
}

/* What is there: nothing (true, and `seen` empty), or a file of its own that can be read; not a link. */
static bool read_old(const char *path, struct buf *seen, mode_t *mode)
{
    char piece[4096];
    size_t n;
    struct stat st;
    *mode = 0666;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT;
    }
    *mode = st.st_mode & 0777;
    FILE *file = S_ISREG(st.st_mode) ? fopen(path, "rbe") : NULL;
    if (!file) {
        return false;
    }
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
        buf_append(seen, piece, n);
    }
    bool is_whole = !ferror(file) && !seen->err && seen->n > 0;
    fclose(file);
    return is_whole;
}

static enum err replace(const char *path, const char *part, mode_t mode, const struct buf *text, struct errbuf *e)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!file) {
        err_set(e, ERR_IO, "%s: %s", part, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return ERR_IO;
    }
    bool is_whole = fwrite(text->bytes, 1, text->n, file) == text->n;
    is_whole = fclose(file) == 0 && is_whole;
    if (!is_whole || rename(part, path) != 0) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        unlink(part);
        return ERR_IO;
    }
    return OK;
}

enum err cli_sidecar_write(const char *picture, const char *caption, struct errbuf *e)
{
    char path[PATH_MAX], part[PATH_MAX];
    struct buf text, inner, seen;
    int n = snprintf(path, sizeof(path), "%s.xmp", picture),
        m = snprintf(part, sizeof(part), "%s.xmp.part-%ld", picture, (long)getpid());
    if (n < 0 || m < 0 || (size_t)m >= sizeof(part)) {
        return err_set(e, ERR_IO, "the name of its sidecar would be too long");
    }
    mode_t mode;
    buf_init(&text, SIDECAR_MAX_BYTES);
    buf_init(&inner, SIDECAR_MAX_BYTES);
    buf_init(&seen, SIDECAR_MAX_BYTES);
    escaped(&inner, caption);
    const char *words = inner.bytes ? inner.bytes : "";
    bool is_good = read_old(path, &seen, &mode);
    if (is_good && (seen.n == 0 || is_as_written(&seen))) {
        print(&text, words, inner.n);
    } else {
        is_good = is_good && extend(&seen, words, inner.n, &text);
    }
    enum err rc = inner.err || text.err ? err_set(e, ERR_IO, "%s would be too long", path)
                  : is_good             ? replace(path, part, mode, &text, e)
                                        : err_set(e, ERR_IO,
                                                  "%s has a description already, or is of another kind than XMP files "
                                                              "usually are; move it away to get a new one",
                                                  path);
    buf_release(&seen);
    buf_release(&text);
    buf_release(&inner);
    return rc;
}
