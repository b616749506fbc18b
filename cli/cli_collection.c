#include "cli/cli_collection.h"

#include "cli/cli.h"
#include "cli/cli_http.h"
#include "cli/cli_input.h"
#include "cli/cli_options.h"
#include "cli/cli_progress.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ANSWER_MAX_BYTES = 16 << 20, MAX_PARALLEL = 16, MAX_TRIES = 30, LONGEST_WAIT_S = 60, STATUS_LINE_MS = 200 };

static const char *server_of(const struct cli_args *a)
{
    const char *from_environment = getenv("MINIVLM_SERVER");
    return a->server ? a->server : from_environment && from_environment[0] ? from_environment : "http://localhost:8080";
}

/* What the server says is wrong; or its status. */
static enum err told(const struct cli_http_answer *answer, struct errbuf *e)
{
    json_t *root = answer->body.n > 0 ? json_loadb(answer->body.bytes, answer->body.n, 0, NULL) : NULL;
    const char *message = json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    if (message) {
        err_set(e, ERR_IO, "%.*s (%ld)", ERRBUF_MAX - 16, message, answer->status);
    } else {
        err_set(e, ERR_IO, "the server answers %ld without a reason", answer->status);
    }
    json_decref(root);
    return ERR_IO;
}

static bool should_wait(const struct cli_http_answer *answer)
{
    return answer->status == 429 || answer->status == 503;
}

static void wait_for_room(const struct cli_http_answer *answer)
{
    int seconds = answer->retry_after_s > LONGEST_WAIT_S ? LONGEST_WAIT_S : answer->retry_after_s;
    struct timespec t = {.tv_sec = seconds > 0 ? seconds : 1};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* Sends until the server takes or refuses it for good. A server that was there (has_answered) and is gone is waited
 * for: it may be starting again, and storing or searching twice does no harm. */
static enum err send_patiently(struct cli_http *h, atomic_bool *has_answered, const char *method, const char *path,
                               const char *type, const void *bytes, size_t n, struct cli_http_answer *answer,
                               struct errbuf *e)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        enum err rc = cli_http_send(h, method, path, type, bytes, n, answer, e);
        bool is_gone = rc && (answer->is_unreachable || answer->is_cut) && atomic_load(has_answered);
        if (rc && (!is_gone || i == MAX_TRIES - 1)) {
            return rc;
        }
        if (!rc) {
            atomic_store(has_answered, true);
        }
        if (!rc && !should_wait(answer)) {
            break;
        }
        answer->retry_after_s = rc ? 0 : answer->retry_after_s;
        wait_for_room(answer);
    }
    return answer->status / 100 == 2 ? OK : told(answer, e);
}

/* ---- import ---- */

struct import {
    const struct cli_args *args;
    int *same_as; /* [n_files]: an earlier image with the same key, or -1 */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int next, n_done, n_failed, n_running;
    atomic_bool has_answered; /* the server, once */
    bool is_lost;             /* the server cannot be reached or wants another key: there is no use in going on */
    struct cli_progress progress;
};

static void complain(struct import *m, const char *file, const struct errbuf *e, enum err rc)
{
    struct errbuf told = *e;
    cli_options_rename(&told);
    cli_progress_clear(&m->progress);
    fprintf(stderr, "minivlm: %s: %s\n", file, errbuf_text(&told, rc));
    m->n_failed++;
}

struct keyed {
    const char *key;
    int at;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Images of two folders may have one key: the later one would replace the earlier one. */
static enum err find_same_keys(struct import *m)
{
    const struct cli_args *a = m->args;
    struct keyed *all = NULL;
    enum err rc = mem_array(&all, (size_t)a->n_files, sizeof(*all));
    rc = rc ? rc : mem_array(&m->same_as, (size_t)a->n_files, sizeof(*m->same_as));
    for (int i = 0; !rc && i < a->n_files; i++) {
        all[i] = (struct keyed){a->files[i] + a->key_at[i], i};
        m->same_as[i] = -1;
    }
    if (!rc) {
        qsort(all, (size_t)a->n_files, sizeof(*all), by_key);
    }
    for (int i = 1, first = 0; !rc && i < a->n_files; i++) {
        if (strcmp(all[i].key, all[first].key) != 0) {
            first = i;
        } else if (!is_same_file(a->files[all[i].at], a->files[all[first].at])) {
            m->same_as[all[i].at] = all[first].at;
        }
    }
    mem_free(all);
    return rc;
}

static enum err put(struct import *m, struct cli_http *h, int i, struct cli_http_answer *answer, struct errbuf *e)
{
    const char *file = m->args->files[i];
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct buf path;
    if (m->same_as[i] >= 0) {
        return err_set(
            e, ERR_BAD_REQUEST,
            "not stored: its key, %.200s, is also that of %.200s; import a folder above both, or this one into "
            "another collection",
            file + m->args->key_at[i], m->args->files[m->same_as[i]]);
    }
    enum err rc = cli_input_read(file, &bytes, &n, e);
    if (rc) {
        return rc;
    }
    buf_init(&path, 8192);
    buf_text(&path, "/collections/");
    cli_http_escape(&path, m->args->collection, false);
    buf_text(&path, "/images/");
    cli_http_escape(&path, file + m->args->key_at[i], true);
    buf_text(&path, m->args->tolerate_truncated ? "?tolerate_truncated=true" : "");
    rc = path.err ? err_set(e, ERR_IO, "its path, which would be its key, is too long; give a shorter one") : OK;
    rc = rc ? rc
            : send_patiently(h, &m->has_answered, "PUT", path.bytes, "application/octet-stream", bytes, n, answer, e);
    buf_release(&path);
    mem_free(bytes);
    return rc;
}

static void *send_pictures(void *user)
{
    struct import *m = user;
    struct cli_http *h = NULL;
    struct cli_http_answer answer = {0};
    struct errbuf e = {{0}};
    buf_init(&answer.body, ANSWER_MAX_BYTES);
    enum err opened = cli_http_open(&h, server_of(m->args), &e);
    pthread_mutex_lock(&m->lock);
    while (!m->is_lost && m->next < m->args->n_files) {
        int i = m->next++;
        pthread_mutex_unlock(&m->lock);
        answer.status = 0;
        answer.is_unreachable = false;
        enum err rc = opened ? opened : put(m, h, i, &answer, &e);
        pthread_mutex_lock(&m->lock);
        m->n_done++;
        if (rc) {
            complain(m, m->args->files[i], &e, rc);
            m->is_lost |= answer.is_unreachable || answer.status == 401 || answer.status == 403;
        }
        pthread_cond_signal(&m->changed);
    }
    m->n_running--;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->lock);
    cli_http_close(h);
    buf_release(&answer.body);
    return NULL;
}

static void watch(struct import *m)
{
    pthread_mutex_lock(&m->lock);
    while (m->n_running > 0) {
        struct timespec until;
        cli_progress_show(&m->progress, m->n_done, clock_us());
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STATUS_LINE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&m->changed, &m->lock, &until);
    }
    cli_progress_clear(&m->progress);
    pthread_mutex_unlock(&m->lock);
}

int cli_collection_import(const struct cli_args *a)
{
    struct import m = {.args = a, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t threads[MAX_PARALLEL];
    int wanted = a->parallel < a->n_files ? a->parallel : a->n_files, n = 0;
    if (find_same_keys(&m)) {
        fprintf(stderr, "minivlm: out of memory\n");
        mem_free(m.same_as);
        return CLI_FAILED;
    }
    cli_progress_begin(&m.progress, !a->no_progress, a->n_files, clock_us());
    pthread_mutex_lock(&m.lock);
    while (n < wanted && !thread_start(&threads[n], "import", send_pictures, &m)) {
        n++;
        m.n_running++;
    }
    pthread_mutex_unlock(&m.lock);
    watch(&m);
    for (int i = 0; i < n; i++) {
        thread_join(threads[i]);
    }
    mem_free(m.same_as);
    int n_stored = m.n_done - m.n_failed;
    fprintf(stderr, "minivlm: %s: %d of %d images stored\n", a->collection, n_stored, a->n_files);
    return n_stored == a->n_files ? CLI_OK : CLI_FAILED;
}

/* ---- search ---- */

static void print_hits(const struct cli_http_answer *answer)
{
    json_t *root = json_loadb(answer->body.bytes, answer->body.n, 0, NULL), *hit, *warning;
    size_t i;
    json_array_foreach(json_object_get(root, "warnings"), i, warning)
    {
        fprintf(stderr, "minivlm: %s\n", json_string_value(warning));
    }
    json_array_foreach(json_object_get(root, "results"), i, hit)
    {
        printf("%.2f  %s\n", json_number_value(json_object_get(hit, "score")),
               json_string_value(json_object_get(hit, "key")));
    }
    json_decref(root);
}

int cli_collection_search(const struct cli_args *a)
{
    struct cli_http *h = NULL;
    struct cli_http_answer answer = {0};
    struct errbuf e = {{0}};
    atomic_bool has_answered = false;
    json_t *question =
        json_pack("{s:s, s:s, s:i}", "collection", a->collection, "text", a->texts[0], "top_k", a->top_k);
    char *body = question ? json_dumps(question, JSON_COMPACT) : NULL;
    buf_init(&answer.body, ANSWER_MAX_BYTES);
    enum err rc = body ? cli_http_open(&h, server_of(a), &e)
                       : err_set(&e, ERR_BAD_REQUEST, "the text is not UTF-8; write it in UTF-8");
    rc =
        rc ? rc
           : send_patiently(h, &has_answered, "POST", "/retrieve", "application/json", body, strlen(body), &answer, &e);
    if (rc) {
        fprintf(stderr, "minivlm: %s\n", errbuf_text(&e, rc));
    } else if (a->use_json) {
        printf("%.*s\n", (int)answer.body.n, answer.body.bytes);
    } else {
        print_hits(&answer);
    }
    free(body);
    json_decref(question);
    cli_http_close(h);
    buf_release(&answer.body);
    return rc ? CLI_FAILED : CLI_OK;
}
