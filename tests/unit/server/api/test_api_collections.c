/* The handlers of collections, as test_api.c tests the others. */
#include "tests/unit/server/api/test_api.h"

static void archive_answers(enum err rc)
{
    task.err = rc;
    asked.on_done(&task);
}

static const char archive_there;

static void open_collections(void)
{
    open_api();
    api.archive = (struct archive *)(uintptr_t)&archive_there;
}

/* A model that is replaced while the picture is read: it is read again, and stored under the new one's name. */
static void test_put(void)
{
    open_collections();
    send_request("PUT", "/collections/images/images/a/b", "image/jpeg", "bytes");
    struct service *old = serving;
    serving = open_service("b");
    fake_engine_finish(OK);
    service_reap(old, UINT64_MAX);
    CHECK_INT(old->references, 1);
    CHECK_INT(fake_engine.n, 1);
    engine_answers(1, OK);
    CHECK_INT(asked.kind, ARCHIVE_PUT);
    CHECK_STR(asked.model.sha256, serving->info.model_sha256);
    CHECK_STR(task.name, "images");
    CHECK_STR(task.key, "a/b");
    CHECK_INT(x.status, 0);
    archive_answers(OK);
    CHECK_INT(x.status, 201);
    CHECK(says("\"key\":\"a/b\",\"replaced\":false"));
    close_service(old);
    close_api();
}

static void test_archive_errors(void)
{
    static const struct {
        enum err rc;
        int status;
        const char *code;
    } rows[] = {{ERR_BUSY, 503, "collection_busy"},
                {ERR_UNAVAILABLE, 503, "collection_unavailable"},
                {ERR_IO, 500, "internal"},
                {ERR_DEADLINE, 504, "deadline_exceeded"},
                {ERR_BAD_REQUEST, 400, "bad_request"}};
    open_collections();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        send_request("DELETE", "/collections/c/images/k", NULL, NULL);
        CHECK_INT(asked.kind, ARCHIVE_REMOVE);
        archive_answers(rows[i].rc);
        CHECK_INT(x.status, rows[i].status);
        CHECK(says(rows[i].code));
    }
    archive_takes = ERR_OVERLOADED;
    send_request("GET", "/collections", NULL, NULL);
    CHECK_INT(x.status, 429);
    archive_takes = OK;
    api.archive = NULL;
    send_request("GET", "/collections", NULL, NULL);
    CHECK_INT(x.status, 404);
    close_api();
}

static void test_search(void)
{
    struct collection_hit *hits;
    void *features;
    open_collections();
    send_request("POST", "/retrieve", JSON, "{\"collection\": \"c\", \"text\": \"a cat\"}");
    CHECK_INT(asked.kind, ARCHIVE_SEARCH);
    CHECK_INT(asked.query.n, 5);
    CHECK_INT(mem_array(&hits, 1, sizeof(*hits)), OK);
    CHECK_INT(mem_alloc(&features, FAKE_FEATURES), OK);
    hits[0] = (struct collection_hit){.key = "k", .n_key = 1, .width = 4, .height = 3, .features = features};
    task.hits = (struct collection_hits){.found = true, .hits = hits, .n = 1, .n_images = 7, .n_by_words = 1};
    archive_answers(OK);
    CHECK(fake_engine.jobs[0]->request.features == features);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"results\":[{\"key\":\"k\",\"score\":0.5") && says("\"scanned\":7,\"reranked\":1,\"stale\":0,"));
    /* The client leaves while the archive works: it is told, and hits that still come back are dropped. */
    send_request("POST", "/retrieve", JSON, "{\"collection\": \"c\", \"text\": \"a cat\"}");
    x.on_abandon(&x, "client_gone");
    CHECK_INT(n_cancelled, 1);
    CHECK_INT(api.desk.n, 1);
    archive_answers(ERR_CANCELLED);
    close_api();
}

int main(void)
{
    fake_now_us = 1000;
    test_put();
    test_archive_errors();
    test_search();
    return check_result();
}
