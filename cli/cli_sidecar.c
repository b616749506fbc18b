#include "cli/cli_sidecar.h"

#include "engine/base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define TOOLKIT "x:xmptk=\"minivlm\""

enum { SIDECAR_MAX_BYTES = 1 << 20, HEAD_BYTES = 1024 };

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

static void print(struct buf *to, const char *caption)
{
    buf_text(to, "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
                 "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" " TOOLKIT ">\n"
                 " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
                 "  <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
                 "   <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">");
    escaped(to, caption);
    buf_text(to, "</rdf:li></rdf:Alt></dc:description>\n"
                 "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>\n");
}

/* True also when there is none. */
static bool is_ours(const char *path)
{
    char head[HEAD_BYTES + 1];
    FILE *file = fopen(path, "rbe");
    if (!file) {
        return errno == ENOENT;
    }
    size_t n = fread(head, 1, HEAD_BYTES, file);
    head[n] = '\0';
    fclose(file);
    return strstr(head, TOOLKIT) != NULL;
}

static enum err replace(const char *path, const char *part, const struct buf *text, struct errbuf *e)
{
    FILE *file = fopen(part, "wbe");
    if (!file) {
        return err_set(e, ERR_IO, "%s: %s", part, strerror(errno));
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
    struct buf text;
    int n = snprintf(path, sizeof(path), "%s.xmp", picture), m = snprintf(part, sizeof(part), "%s.xmp.part", picture);
    if (n < 0 || m < 0 || (size_t)m >= sizeof(part)) {
        return err_set(e, ERR_IO, "the name of its sidecar would be too long");
    }
    if (!is_ours(path)) {
        return err_set(e, ERR_IO, "%s is there already and minivlm did not write it; move it away to have a new one",
                       path);
    }
    buf_init(&text, SIDECAR_MAX_BYTES);
    print(&text, caption);
    enum err rc = text.err ? text.err : replace(path, part, &text, e);
    buf_release(&text);
    return rc;
}
