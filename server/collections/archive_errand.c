#include "server/collections/archive_errand.h"

#include "engine/base/mem.h"
#include "server/collections/collection_private.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDING = 512 }; /* bytes: the allocator's, for a handful of blocks */

bool archive_errand_is_write(enum archive_kind kind)
{
    return kind >= ARCHIVE_PUT;
}

void archive_errand_destroy(struct archive_errand *r)
{
    collection_hits_release(&r->task.hits);
    mem_free(r->task.names);
    mem_free(r->task.entries);
    mem_free(r->texts);
    mem_free(r->features);
    mem_free(r);
}

/* ---- making ---- */

static enum err check(const struct archive_request *r, struct errbuf *e)
{
    bool has_key = r->kind == ARCHIVE_PUT || r->kind == ARCHIVE_REMOVE || (r->kind == ARCHIVE_LIST && r->key.n);
    enum err rc = r->kind == ARCHIVE_NAMES ? OK : collection_name_check(r->name, e);
    if (!rc && has_key) {
        rc = collection_name_check_key(r->key, e);
    }
    if (!rc && r->kind == ARCHIVE_PUT) {
        const struct collection_put p = {&r->model, r->name, r->key, r->image, r->max_images};
        rc = collection_fill_check(&p, e);
    }
    BUG_ON(r->kind == ARCHIVE_LIST && (r->limit < 1 || r->limit > ARCHIVE_LIST_MAX));
    BUG_ON(r->kind == ARCHIVE_SEARCH && (r->limit < 0 || r->limit > ARCHIVE_SEARCH_MAX));
    return rc;
}

/* What is copied of the texts. */
static struct collection_text text_of(const struct archive_request *r)
{
    struct collection_text text = {NULL, 0};
    if (r->kind == ARCHIVE_SEARCH) {
        text = r->query;
        text.n = text.n > COLLECTION_QUERY_MAX ? COLLECTION_QUERY_MAX : text.n;
    } else if (r->kind == ARCHIVE_PUT) {
        text = r->image->words;
    }
    return text;
}

static enum err copy(struct archive_errand *to, const struct archive_request *r)
{
    struct archive_task *t = &to->task;
    const struct collection_text text = text_of(r);
    t->kind = r->kind;
    t->user = r->user;
    t->model = r->model;
    snprintf(t->name, sizeof(t->name), "%.*s", (int)r->name.n, r->name.n ? r->name.text : "");
    snprintf(t->key, sizeof(t->key), "%.*s", (int)r->key.n, r->key.n ? r->key.text : "");
    to->item =
        (struct archive_queue_item){.client = r->client, .deadline_us = r->deadline_us ? r->deadline_us : UINT64_MAX};
    to->on_done = r->on_done;
    to->max_images = r->max_images;
    to->limit = r->limit;
    enum err rc = mem_alloc(&to->texts, text.n + 1);
    if (!rc && text.n) {
        memcpy(to->texts, text.text, text.n);
    }
    if (!rc && r->kind == ARCHIVE_SEARCH) {
        to->query = (struct collection_text){to->texts, text.n};
    } else if (!rc && r->kind == ARCHIVE_PUT) {
        t->image = *r->image;
        t->image.words = (struct collection_text){to->texts, text.n};
        rc = mem_alloc(&to->features, r->image->features_bytes);
        t->image.features = to->features;
        if (!rc) {
            memcpy(to->features, r->image->features, r->image->features_bytes);
        }
    }
    return rc;
}

enum err archive_errand_create(struct archive_errand **out, const struct archive_request *r, struct errbuf *e)
{
    struct archive_errand *made;
    *out = NULL;
    enum err rc = check(r, e);
    if (!rc) {
        rc = mem_alloc(&made, sizeof(*made));
    }
    if (rc) {
        return rc;
    }
    rc = copy(made, r);
    if (rc) {
        archive_errand_destroy(made);
        return rc;
    }
    *out = made;
    return OK;
}

size_t archive_request_bytes(const struct archive_request *r)
{
    size_t bytes = sizeof(struct archive_errand) + text_of(r).n + 1 + ROUNDING;
    switch (r->kind) {
    case ARCHIVE_NAMES:
        return bytes + COLLECTION_LIMIT * sizeof(struct archive_name);
    case ARCHIVE_LIST:
        return bytes + (size_t)r->limit * sizeof(struct archive_entry);
    case ARCHIVE_SEARCH:
        return bytes + collection_hits_bytes(r->limit, r->model.features_bytes);
    case ARCHIVE_PUT:
        return bytes + r->image->features_bytes;
    default:
        return bytes;
    }
}

/* ---- the work, on a thread of the archive ---- */

static void add_name(const char *name, const struct collection_count *count, void *user)
{
    struct archive_task *t = user;
    if (t->n_names < COLLECTION_LIMIT) {
        struct archive_name *n = &t->names[t->n_names++];
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->count = *count;
    }
}

static void add_entry(const struct collection_entry *from, void *user)
{
    struct archive_task *t = user;
    struct archive_entry *to = &t->entries[t->n_entries++];
    memcpy(to->key, from->key.text, from->key.n);
    to->n_key = from->key.n;
    memcpy(to->id, from->id, COLLECTION_ID_BYTES);
    to->width = from->width;
    to->height = from->height;
    to->is_stale = from->is_stale;
}

static enum err read_names(struct archive_task *t, struct collections *cs)
{
    enum err rc = mem_array(&t->names, COLLECTION_LIMIT, sizeof(*t->names));
    return rc ? rc : collections_names(cs, &t->model, add_name, t, &t->error);
}

static enum err read_entries(struct archive_errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    enum err rc = mem_array(&t->entries, (size_t)r->limit, sizeof(*t->entries));
    if (!rc) {
        rc = collections_list(cs, &t->model, collection_text(t->name), collection_text(t->key), r->limit, add_entry, t,
                              &t->count, &t->error);
    }
    t->found = t->count.found;
    return rc;
}

static enum err search(struct archive_errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    enum err rc =
        collections_candidates(cs, &t->model, collection_text(t->name), r->query, r->limit, &t->hits, &t->error);
    t->found = t->hits.found;
    return rc;
}

static enum err work_limited(struct archive_errand *r, struct collections *cs)
{
    struct archive_task *t = &r->task;
    struct collection_text name = collection_text(t->name), key = collection_text(t->key);
    switch (t->kind) {
    case ARCHIVE_NAMES:
        return read_names(t, cs);
    case ARCHIVE_LIST:
        return read_entries(r, cs);
    case ARCHIVE_SEARCH:
        return search(r, cs);
    case ARCHIVE_PUT:
        return collections_put(cs, &t->model, name, key, &t->image, r->max_images, &t->replaced, &t->error);
    case ARCHIVE_REMOVE:
        return collections_remove(cs, name, key, &t->found, &t->error);
    case ARCHIVE_DROP:
        return collections_drop(cs, name, &t->found, &t->error);
    }
    BUG_ON(true);
}

enum err archive_errand_work(struct archive_errand *r, struct collections *cs)
{
    const struct collection_limits none = {0, NULL};
    const struct collection_limits limits = {r->item.deadline_us == UINT64_MAX ? 0 : r->item.deadline_us,
                                             &r->is_cancelled};
    collections_limit(cs, &limits);
    enum err rc = work_limited(r, cs);
    collections_limit(cs, &none);
    return rc;
}
