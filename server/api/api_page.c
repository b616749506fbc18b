/* The page for people: files of web/, straight out of the program's memory. */
#include "engine/base/version.h"
#include "server/api/api.h"
#include "server/api/page_assets.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Nothing but what this service itself sends may run, load or be asked; nobody may frame it. Pictures that people chose
 * are blob: and data:. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* Of the viewer behind /docs. */
static const char viewer[] = "swagger-ui-bundle.js";

/* ---- lists in headers ---- */

struct element {
    const char *text;
    size_t n;
};

/* The next element of a list separated by commas, without the spaces around it; false at the end. */
static bool next_element(const char **at, struct element *out)
{
    *at += strspn(*at, ", \t");
    size_t n = strcspn(*at, ",");
    *out = (struct element){*at, n};
    *at += n;
    while (out->n && (out->text[out->n - 1] == ' ' || out->text[out->n - 1] == '\t')) {
        out->n--;
    }
    return out->n > 0;
}

/* Whether the element is `name`, with or without parameters after it. */
static bool is_named(const struct element *e, const char *name)
{
    size_t n = strlen(name);
    return e->n >= n && strncasecmp(e->text, name, n) == 0 && (e->n == n || strchr("; \t", e->text[n]));
}

/* The weight of RFC 9110, 12.4.2; 1 where there is none. */
static double weight(const struct element *e)
{
    for (size_t i = 0; i + 2 < e->n; i++) {
        if (e->text[i] == ';') {
            size_t at = i + 1 + strspn(e->text + i + 1, " \t");
            if (at + 2 < e->n && (e->text[at] == 'q' || e->text[at] == 'Q') && e->text[at + 1] == '=') {
                return strtod(e->text + at + 2, NULL);
            }
        }
    }
    return 1;
}

static bool takes_gzip(const char *accept_encoding)
{
    double named = -1, any = -1;
    struct element e;
    for (const char *at = accept_encoding; at && next_element(&at, &e);) {
        if (is_named(&e, "gzip") || is_named(&e, "x-gzip")) {
            named = weight(&e);
        } else if (is_named(&e, "*")) {
            any = weight(&e);
        }
    }
    return named >= 0 ? named > 0 : any > 0;
}

static bool names(const char *list, const char *wanted)
{
    struct element e;
    for (const char *at = list; at && next_element(&at, &e);) {
        if (is_named(&e, wanted) && weight(&e) > 0) {
            return true;
        }
    }
    return false;
}

/* A program that takes JSON and no page. */
static bool is_program(const char *accept)
{
    return names(accept, "application/json") && !names(accept, "text/html");
}

/* Weak comparison, as If-None-Match asks for. */
static bool is_known(const char *if_none_match, const char *etag)
{
    struct element e;
    for (const char *at = if_none_match; at && next_element(&at, &e);) {
        size_t skip = e.n > 2 && strncmp(e.text, "W/", 2) == 0 ? 2 : 0;
        if ((e.n == 1 && e.text[0] == '*') ||
            (e.n - skip == strlen(etag) && strncmp(e.text + skip, etag, e.n - skip) == 0)) {
            return true;
        }
    }
    return false;
}

/* ---- answers ---- */

static const struct page_asset *asset(const char *name)
{
    for (int i = 0; i < n_page_assets; i++) {
        if (strcmp(page_assets[i].name, name) == 0) {
            return &page_assets[i];
        }
    }
    return NULL;
}

static const struct page_asset *find(const char *path)
{
    if (strcmp(path, "/docs") == 0) { /* a build without network has no viewer (scripts/fetch_viewer.sh) */
        return asset(asset(viewer) ? "docs.html" : "docs-plain.html");
    }
    return asset(strcmp(path, "/") == 0              ? "index.html"
                 : strcmp(path, "/favicon.ico") == 0 ? "icon.svg" /* asked for beside a bare JSON document */
                                                     : path + strlen("/page/"));
}

static void add_headers(struct exchange *x, const struct page_asset *f, const char *etag, bool is_root)
{
    exchange_out(x, "ETag", "%s", etag);
    if (f->gzip) {
        exchange_out(x, "Vary", is_root ? "Accept, Accept-Encoding" : "Accept-Encoding");
        exchange_out(x, "Cache-Control", "no-cache"); /* kept, and asked for: parts of two releases never mix */
    } else {
        exchange_out(x, "Cache-Control", "public, max-age=86400");
    }
    exchange_out(x, "Content-Security-Policy", "%s", policy);
    exchange_out(x, "X-Content-Type-Options", "nosniff");
    exchange_out(x, "Referrer-Policy", "no-referrer");
    exchange_out(x, "Cross-Origin-Opener-Policy", "same-origin");
    exchange_out(x, "Cross-Origin-Resource-Policy", "same-origin");
}

void api_page(struct api *a, struct exchange *x)
{
    const struct page_asset *f = find(x->path);
    bool is_root = strcmp(x->path, "/") == 0;
    (void)a;
    if (!f) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "no such file of the page");
        return;
    }
    if (is_root && is_program(x->headers[HEADER_ACCEPT])) {
        exchange_out(x, "Vary", "Accept, Accept-Encoding");
        reply_json(x, 200,
                   json_pack("{s:s, s:s, s:s, s:s}", "name", "minivlm-server", "version", VERSION_TEXT, "openapi",
                             "openapi.json", "status", "status"));
        return;
    }
    bool is_gzip = f->gzip && takes_gzip(x->headers[HEADER_ACCEPT_ENCODING]);
    const char *etag = is_gzip ? f->etag_gzip : f->etag;
    add_headers(x, f, etag, is_root);
    buf_reset(&x->answer);
    if (is_known(x->headers[HEADER_IF_NONE_MATCH], etag)) {
        exchange_answer(x, 304, NULL);
        return;
    }
    if (is_gzip) {
        exchange_out(x, "Content-Encoding", "gzip");
    }
    buf_append(&x->answer, is_gzip ? f->gzip : f->bytes, is_gzip ? f->n_gzip : f->n_bytes);
    exchange_answer(x, 200, f->content_type);
}
