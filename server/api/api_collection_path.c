/* Collections and keys out of request paths: read, and judged before a body comes. */
#include "server/api/api.h"

#include <stdio.h>
#include <string.h>

void api_collection_path_of(struct api_collection_path *out, const char *path)
{
    static const char root[] = "/collections/", images[] = "/images/";
    const char *at = strncmp(path, root, sizeof(root) - 1) == 0 ? strstr(path + sizeof(root) - 1, images) : NULL;
    if (!route_segment(path, 1, out->name, sizeof(out->name))) {
        out->name[0] = '\0';
    }
    snprintf(out->key, sizeof(out->key), "%s", at ? at + sizeof(images) - 1 : "");
}

bool api_collection_path_is_served(const struct api *a, struct exchange *x)
{
    if (!a->archive && a->config->collections.path[0]) {
        reply_retry(x, FAULT_NOT_READY, 1000000, "the collections are opened when the model is loaded; see /startupz");
    } else if (!a->archive) {
        reply_error(x, FAULT_NOT_FOUND, NULL, "this service keeps no collections; start it with collections.path");
    }
    return a->archive != NULL;
}

bool api_collection_put_check(struct api *a, struct exchange *x)
{
    struct api_collection_path p;
    struct errbuf e;
    if (!api_collection_path_is_served(a, x)) {
        return false;
    }
    errbuf_clear(&e);
    api_collection_path_of(&p, x->path);
    enum err rc = archive_check(collection_text(p.name), collection_text(p.key), &e);
    if (rc) {
        reply_error(x, reply_fault(rc), NULL, "%.400s", errbuf_text(&e, rc));
    }
    return !rc;
}
