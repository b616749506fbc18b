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

/* True also when there is none. */
static bool is_ours(const char *path)
{
    char piece[4096];
    struct buf seen;
    size_t n;
    struct stat st;
    if (stat(path, &st) != 0) {
        return errno == ENOENT && lstat(path, &st) != 0; /* a link that leads nowhere is somebody's */
    }
    FILE *file = S_ISREG(st.st_mode) ? fopen(path, "rbe") : NULL;
    if (!file) {
        return false;
    }
    buf_init(&seen, SIDECAR_MAX_BYTES);
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
        buf_append(&seen, piece, n);
    }
    bool is_whole = !ferror(file) && !seen.err;
    fclose(file);
    bool is_same = is_whole && is_as_written(&seen);
    buf_release(&seen);
    return is_same;
}

static enum err replace(const char *path, const char *part, const struct buf *text, struct errbuf *e)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
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
    struct buf text, inner;
    int n = snprintf(path, sizeof(path), "%s.xmp", picture),
        m = snprintf(part, sizeof(part), "%s.xmp.part-%ld", picture, (long)getpid());
    if (n < 0 || m < 0 || (size_t)m >= sizeof(part)) {
        return err_set(e, ERR_IO, "the name of its sidecar would be too long");
    }
    if (!is_ours(path)) {
        return err_set(e, ERR_IO, "%s was not written by minivlm or has been edited; move it away to get a new one",
                       path);
    }
    buf_init(&text, SIDECAR_MAX_BYTES);
    buf_init(&inner, SIDECAR_MAX_BYTES);
    escaped(&inner, caption);
    print(&text, inner.bytes ? inner.bytes : "", inner.n);
    enum err rc = inner.err ? inner.err : text.err ? text.err : replace(path, part, &text, e);
    buf_release(&text);
    buf_release(&inner);
    return rc;
}
