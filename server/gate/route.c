#include "server/gate/route.h"

#include "engine/base/words.h"

#include <string.h>

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

enum route_result route_find(const struct route_table *t, const char *method, const char *path, bool is_admin_port,
                             bool has_admin_port, int hidden, const struct route **out, struct buf *allow)
{
    enum route_result result = ROUTE_NO_PATH;
    *out = NULL;
    for (int i = 0; i < t->n; i++) {
        const struct route *r = &t->routes[i];
        if (!is_on(r, is_admin_port, has_admin_port) || !matches(r->path, path)) {
            continue;
        }
        if (r->flags & hidden) {
            if (is_method(r, method)) { /* as if the path were not there, whatever else it takes */
                return ROUTE_NO_PATH;
            }
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

bool route_tidy(const char *path, char *out, size_t size)
{
    size_t n = 0;
    for (const char *from = path; *from; from++) {
        if (n + 1 >= size) {
            return false;
        }
        if (*from != '/' || (from[1] != '/' && (from[1] || n == 0))) {
            out[n++] = (char)(*from >= 'A' && *from <= 'Z' ? *from - 'A' + 'a' : *from);
        }
    }
    out[n] = '\0';
    return n > 0 && strcmp(path, out) != 0;
}

const char *route_unknown_query(const struct route *r, const struct exchange *x)
{
    for (int i = 0; r->query && i < x->n_query; i++) {
        if (!words_have(r->query, x->query[i].name)) {
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
