#include "server/gate/route.h"

#include "server/api/api.h"

#include <string.h>

static const struct route routes[] = {
    {"POST", "/caption", "caption", ROUTE_WORK, api_caption, NULL},
    {"POST", "/vqa", "vqa", ROUTE_WORK, api_vqa, NULL},
    {"POST", "/retrieve", "retrieve", ROUTE_WORK, api_retrieve, NULL},
    {"POST", "/images/check", "check", ROUTE_WORK, api_image_check, NULL},
    {"HEAD", "/images/{}", "images", 0, api_image_known, ""},
    {"GET", "/collections", "collections", 0, api_collections_list, ""},
    {"GET", "/collections/{}", "collections", 0, api_collection_show, "after limit"},
    {"DELETE", "/collections/{}", "collections", 0, api_collection_drop, ""},
    {"PUT", "/collections/{}/images/{*}", "collection_put", ROUTE_WORK, api_collection_put, NULL},
    {"DELETE", "/collections/{}/images/{*}", "collections", 0, api_collection_remove, ""},
    {"GET", "/healthz", "health", ROUTE_PUBLIC | ROUTE_BOTH, api_live, NULL},
    {"GET", "/livez", "health", ROUTE_PUBLIC | ROUTE_BOTH, api_live, NULL},
    {"GET", "/health/live", "health", ROUTE_PUBLIC | ROUTE_BOTH, api_live, NULL},
    {"GET", "/ping", "health", ROUTE_PUBLIC | ROUTE_BOTH, api_live, NULL},
    {"GET", "/readyz", "ready", ROUTE_PUBLIC | ROUTE_BOTH, api_ready, "max_load"},
    {"GET", "/health/ready", "ready", ROUTE_PUBLIC | ROUTE_BOTH, api_ready, "max_load"},
    {"GET", "/startupz", "startup", ROUTE_PUBLIC | ROUTE_BOTH, api_startup, NULL},
    {"GET", "/metrics", "metrics", ROUTE_OPS, api_metrics, NULL},
    {"GET", "/version", "version", ROUTE_BOTH, api_version, ""},
    {"GET", "/openapi.json", "openapi", ROUTE_BOTH, api_openapi, ""},
    {"POST", "/admin/reload", "reload", ROUTE_ADMIN, api_reload, ""},
    {"GET", "/debug/requests", "debug", ROUTE_ADMIN, api_debug, ""},
    {"GET", "/debug/requests/{}", "debug", ROUTE_ADMIN, api_debug_one, ""},
};
enum { N_ROUTES = sizeof(routes) / sizeof(routes[0]) };

static bool matches(const char *pattern, const char *path)
{
    while (*pattern) {
        if (strcmp(pattern, "{*}") == 0) {
            return *path != '\0';
        }
        if (strncmp(pattern, "{}", 2) == 0) {
            size_t n = strcspn(path, "/");
            if (n == 0) {
                return false;
            }
            pattern += 2;
            path += n;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static bool is_on(const struct route *r, bool is_admin_port, bool has_admin_port)
{
    if (r->flags & ROUTE_BOTH) {
        return true;
    }
    if (r->flags & ROUTE_ADMIN) {
        return is_admin_port;
    }
    if (r->flags & ROUTE_OPS) {
        return is_admin_port || !has_admin_port;
    }
    return !is_admin_port;
}

static bool is_method(const struct route *r, const char *method)
{
    return strcmp(r->method, method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0);
}

enum route_result route_find(const char *method, const char *path, bool is_admin_port, bool has_admin_port,
                             const struct route **out, struct buf *allow)
{
    enum route_result result = ROUTE_NO_PATH;
    *out = NULL;
    for (int i = 0; i < N_ROUTES; i++) {
        const struct route *r = &routes[i];
        if (!is_on(r, is_admin_port, has_admin_port) || !matches(r->path, path)) {
            continue;
        }
        if (is_method(r, method)) {
            *out = r;
            return ROUTE_FOUND;
        }
        result = ROUTE_NO_METHOD;
        buf_printf(allow, "%s%s", allow->n ? ", " : "", r->method);
        if (strcmp(r->method, "GET") == 0) {
            buf_text(allow, ", HEAD");
        }
    }
    return result;
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; n > 0 && (at = strstr(at, word)); at += n) {
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n])) {
            return true;
        }
    }
    return false;
}

const char *route_unknown_query(const struct route *r, const struct exchange *x)
{
    for (int i = 0; r->query && i < x->n_query; i++) {
        if (!has_word(r->query, x->query[i].name)) {
            return x->query[i].name;
        }
    }
    return NULL;
}

bool route_segment(const char *path, int n, char *out, size_t size)
{
    for (; n >= 0; n--) {
        if (*path != '/') {
            return false;
        }
        path++;
        size_t length = strcspn(path, "/");
        if (n == 0) {
            if (length == 0 || length >= size) {
                return false;
            }
            memcpy(out, path, length);
            out[length] = '\0';
            return true;
        }
        path += length;
    }
    return false;
}
