/* The handlers, from a whole request to the answer's text, over an engine and an archive that answer when the test says
 * so. No socket, no thread, no disk. */
#include "tests/unit/server/api/test_api.h"

static void add_query(const char *name, const char *value)
{
    query[x.n_query++] = (struct exchange_pair){name, value, strlen(name), strlen(value)};
}

/* ---- captions ---- */

static void test_caption(void)
{
    open_api();
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 0);
    CHECK_INT(fake_engine.jobs[0]->request.image_bytes, 5);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(
        says("{\"caption\":\"a cat\",\"score\":-1.0,\"captions\":[{\"text\":\"a cat\",\"score\":-1.0}],\"image\":{") &&
        says("\"usage\":{\"regions\":0,\"tokens\":2},\"model\":\"fake-a\"}\n"));
    close_api();
}

static void test_list_with_a_failure(void)
{
    open_api();
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}");
    CHECK_INT(fake_engine.n, 2);
    engine_answers(1, ERR_CORRUPT_IMAGE);
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"results\":[{\"error\":{\"message\":\"it went wrong\"") && says("{\"caption\":\"a cat\""));
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\"]}"); /* one alone fails as a whole */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    CHECK_INT(x.status, 422);
    CHECK_STR(x.error_code, "corrupt_image");
    close_api();
}

/* A part that came too late makes no 200. */
static void test_partly_late(void)
{
    open_api();
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}");
    engine_answers(1, OK);
    engine_answers(1, ERR_DEADLINE);
    CHECK_INT(x.status, 504);
    send_request("POST", "/caption", JSON, "{\"images\": [\"YQ==\", \"YQ==\"]}"); /* whatever failed before */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    engine_answers(1, ERR_DEADLINE);
    CHECK_INT(x.status, 504);
    close_api();
}

static void test_bad_parameters(void)
{
    open_api();
    add_query("max_tokens", "41");
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 400);
    CHECK(says("this model allows 1 to 40"));
    add_query("explain", "occlusion");
    config.limits.pairs = 4;
    send_request("POST", "/caption", "image/jpeg", "bytes");
    CHECK_INT(x.status, 413);
    send_request("POST", "/vqa", "image/jpeg", "\xff\xd8\xff");
    CHECK_INT(x.status, 400);
    CHECK(says("question"));
    close_api();
}

static void test_stream(void)
{
    char text[512];
    bool is_ended;
    open_api();
    add_query("stream", "true");
    send_request("POST", "/caption", "image/jpeg", "bytes");
    struct job *job = fake_engine.jobs[0];
    job->request.on_token(&job->request, "a", 1);
    work_pump(&api.desk);
    CHECK(x.is_streaming && x.status == 200);
    engine_answers(1, OK);
    size_t n = stream_take(x.stream, text, sizeof(text) - 1, &is_ended);
    text[n] = '\0';
    CHECK(strstr(text, "data: {\"text\":\"a\"}\n\nevent: done\ndata: {\"caption\":\"a cat\"") == text);
    CHECK(is_ended);
    add_query("stream", "true");
    send_request("POST", "/caption", "image/jpeg", "bytes"); /* fails before the first token: an ordinary error */
    engine_answers(1, ERR_CORRUPT_IMAGE);
    CHECK(!x.is_streaming && x.status == 422);
    close_api();
}

/* ---- retrieve ---- */

static void test_retrieve(void)
{
    open_api();
    add_query("text", "a cat");
    add_query("text", "a dog");
    send_request("POST", "/retrieve", "image/jpeg", "bytes");
    engine_answers(1, OK);
    CHECK_INT(x.status, 200);
    CHECK(
        says("{\"scores\":[[0.5,0.25]],\"results\":[{\"image\":0,\"text\":0,\"score\":0.5,\"relevance_score\":0.5},"));
    send_request("POST", "/retrieve", JSON,
                 "{\"query\": {\"image\": \"YQ==\"}, \"documents\": [\"x\", \"y\"], \"top_n\": 1}");
    engine_answers(1, OK);
    CHECK(says("{\"results\":[{\"index\":0,\"relevance_score\":0.5}],"));
    close_api();
}

/* ---- models ---- */

static void test_reload(void)
{
    open_api();
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 202);
    reload_result = ERR_OVERLOADED;
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 409);
    reload_result = OK;
    add_query("wait", "true");
    send_request("POST", "/admin/reload", NULL, NULL);
    CHECK_INT(x.status, 0);
    struct services_outcome good = {.number = 2, .model = "fake-b", .sha256 = "00", .load_us = 1500};
    waiter->is_waiting = false;
    waiter->on_outcome(waiter, &good);
    CHECK_INT(x.status, 200);
    CHECK(says("{\"status\":\"current\",\"model\":\"fake-b\",\"sha256\":\"00\",\"loaded_ms\":1.5}"));
    add_query("wait", "true");
    send_request("POST", "/admin/reload", NULL, NULL);
    struct services_outcome bad = {.number = 3, .err = ERR_BAD_MODEL, .error = {.text = "config.json: no"}};
    waiter->is_waiting = false;
    waiter->on_outcome(waiter, &bad);
    CHECK_INT(x.status, 422);
    CHECK(says("reload_failed") && says("config.json: no"));
    status = (struct services_status){.n = 1, .services = {serving}, .n_loaded = 1, .is_loading = true, .last = bad};
    send_request("GET", "/admin/model", NULL, NULL);
    CHECK(says("{\"services\":[{\"state\":\"loading\",\"model\":\"fake-a\"") && says("{\"outcome\":\"failed\""));
    close_api();
}

/* ---- known images ---- */

static void test_known(void)
{
    char path[80] = "/images/01";
    memset(path + 10, '0', 62);
    open_api();
    send_request("HEAD", path, NULL, NULL);
    CHECK_INT(x.status, 200);
    path[9] = '2';
    send_request("HEAD", path, NULL, NULL);
    CHECK_INT(x.status, 404);
    send_request("HEAD", "/images/x", NULL, NULL);
    CHECK_INT(x.status, 400);
    close_api();
}

/* ---- health ---- */

/* It waits for nobody: the engine is asked only when it seems to stand still. */
static void test_live(void)
{
    open_api();
    fake_now_us = 100000000;
    api.engine_moved_us = fake_now_us - 30000000;
    fake_engine.n_asked = 0;
    send_request("GET", "/healthz", NULL, NULL);
    CHECK_INT(x.status, 200);
    CHECK_INT(fake_engine.n_asked, 0);
    api.engine_moved_us--;
    fake_engine.heartbeat_us = fake_now_us;
    send_request("GET", "/healthz", NULL, NULL);
    CHECK_INT(x.status, 200);
    fake_engine.heartbeat_us = fake_now_us - 31000000;
    send_request("GET", "/v2/health/live", NULL, NULL);
    CHECK_INT(x.status, 500);
    CHECK(says("the engine has not moved for 31 s"));
    close_api();
}

int main(void)
{
    fake_now_us = 1000;
    test_caption();
    test_list_with_a_failure();
    test_partly_late();
    test_bad_parameters();
    test_stream();
    test_retrieve();
    test_reload();
    test_known();
    test_live();
    return check_result();
}
