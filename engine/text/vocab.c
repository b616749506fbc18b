/* Matching walks a trie, byte by byte, so that a piece costs no more than its length and a bit: hashing every substring
 * of a word instead takes seconds for a megabyte of hostile text. Two roots, one for the beginning of a word and one
 * for its continuations. The edges of all nodes share one hash table: key = node and byte, value = the node below. */
#include "engine/text/vocab.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/text/unicode.h"

#include <string.h>

enum { REPLACEMENT = 0xfffd }; /* what a converter leaves of bytes that it could not read */
enum { MAX_BYTES = 8 << 20, MAX_TOKENS = 1000000, MAX_TOKEN = 200, ROOT_FIRST = 0, ROOT_WITHIN = 1, N_ROOTS = 2 };

/* key 0 is a free place: no token contains a zero byte. */
struct edge {
    uint32_t key; /* node << 8 | byte */
    int32_t below;
};

struct vocab {
    int n;
    char *text;          /* the file with a NUL after each token */
    const char **tokens; /* [n] */
    int32_t n_nodes;
    int32_t *ids; /* [n_nodes] token that ends at the node, plus 1; 0: none */
    struct edge *edges;
    size_t n_edges; /* places: a power of two, at most half of them used */
};

/* ---- trie ---- */

static struct edge *place_of(const struct vocab *v, uint32_t key)
{
    size_t place = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (v->n_edges - 1);
    while (v->edges[place].key && v->edges[place].key != key) {
        place = (place + 1) & (v->n_edges - 1);
    }
    return &v->edges[place];
}

static uint32_t key_of(int32_t node, char byte)
{
    return (uint32_t)node << 8 | (unsigned char)byte;
}

/* False when the token is there already. */
static bool insert(struct vocab *v, const char *token, int id)
{
    bool is_within = token[0] == '#' && token[1] == '#' && token[2];
    int32_t node = is_within ? ROOT_WITHIN : ROOT_FIRST;
    for (const char *c = token + (is_within ? 2 : 0); *c; c++) {
        struct edge *edge = place_of(v, key_of(node, *c));
        if (!edge->key) {
            *edge = (struct edge){.key = key_of(node, *c), .below = v->n_nodes++};
        }
        node = edge->below;
    }
    if (v->ids[node]) {
        return false;
    }
    v->ids[node] = id + 1;
    return true;
}

size_t vocab_match(const struct vocab *v, bool is_within_word, const char *bytes, size_t n, int *id)
{
    int32_t node = is_within_word ? ROOT_WITHIN : ROOT_FIRST;
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        const struct edge *edge = place_of(v, key_of(node, bytes[i]));
        if (!edge->key) {
            break;
        }
        node = edge->below;
        if (v->ids[node]) {
            *id = v->ids[node] - 1;
            longest = i + 1;
        }
    }
    return longest;
}

int vocab_find(const struct vocab *v, const char *token)
{
    bool is_within = token[0] == '#' && token[1] == '#' && token[2];
    size_t n = strlen(token) - (is_within ? 2 : 0);
    int id = -1;
    return n > 0 && vocab_match(v, is_within, token + (is_within ? 2 : 0), n, &id) == n ? id : -1;
}

/* ---- reading ---- */

/* What is wrong with the bytes of one line, or NULL. */
static const char *fault_of(const char *line, size_t n)
{
    if (n == 0) {
        return "is empty";
    }
    if (n > MAX_TOKEN) {
        return "is longer than 200 bytes";
    }
    for (size_t at = 0, size; at < n; at += size) {
        uint32_t c;
        size = utf8_next(line + at, n - at, &c);
        if (size == 0 || c == REPLACEMENT) {
            return "is not valid UTF-8";
        }
        if (c < ' ' || c == 0x7f) {
            return "has a control character";
        }
        if (unicode_traits(c).flags & UNICODE_SPACE) {
            return "has white space";
        }
    }
    return NULL;
}

/* The line after `line` ends; *n is its length without the line feed. */
static const char *line_end(const char *line, const char *end, size_t *n)
{
    const char *feed = memchr(line, '\n', (size_t)(end - line));
    *n = (size_t)((feed ? feed : end) - line);
    return feed ? feed + 1 : end;
}

static enum err check_lines(const char *text, size_t n, const char *name, struct vocab *v, struct errbuf *e)
{
    const char *end = text + n;
    for (const char *line = text; line < end;) {
        size_t length;
        const char *next = line_end(line, end, &length);
        const char *fault = fault_of(line, length);
        if (fault) {
            return err_set(e, ERR_BAD_MODEL, "%s: line %d %s", name, v->n + 1, fault);
        }
        if (v->n == MAX_TOKENS) {
            return err_set(e, ERR_BAD_MODEL, "%s: more than %d lines", name, MAX_TOKENS);
        }
        v->n++;
        line = next;
    }
    return v->n ? OK : err_set(e, ERR_BAD_MODEL, "%s: is empty", name);
}

/* A node for every byte is more than enough. */
static enum err reserve(struct vocab *v, size_t n_bytes)
{
    v->n_edges = 16;
    while (v->n_edges < 2 * n_bytes) {
        v->n_edges *= 2;
    }
    enum err rc = mem_alloc(&v->text, n_bytes + 1);
    if (!rc) {
        rc = mem_array(&v->tokens, (size_t)v->n, sizeof(*v->tokens));
    }
    if (!rc) {
        rc = mem_array(&v->ids, n_bytes + N_ROOTS, sizeof(*v->ids));
    }
    if (!rc) {
        rc = mem_array(&v->edges, v->n_edges, sizeof(*v->edges));
    }
    v->n_nodes = N_ROOTS;
    return rc;
}

static enum err read_tokens(struct vocab *v, size_t n, const char *name, struct errbuf *e)
{
    char *line = v->text;
    for (int id = 0; id < v->n; id++) {
        size_t length;
        const char *next = line_end(line, v->text + n, &length);
        v->tokens[id] = line;
        line[length] = '\0';
        if (!insert(v, line, id)) {
            return err_set(e, ERR_BAD_MODEL, "%s: line %d: '%s' occurs twice", name, id + 1, line);
        }
        line = v->text + (next - v->text);
    }
    return OK;
}

enum err vocab_parse(struct vocab **out, const char *text, size_t n, const char *name, struct errbuf *e)
{
    struct vocab *v = NULL;
    *out = NULL;
    if (n > MAX_BYTES) {
        return err_set(e, ERR_BAD_MODEL, "%s: %zu bytes, at most %d are allowed", name, n, MAX_BYTES);
    }
    enum err rc = mem_alloc(&v, sizeof(*v));
    if (!rc) {
        rc = check_lines(text, n, name, v, e);
    }
    if (!rc) {
        rc = reserve(v, n);
    }
    if (!rc) {
        memcpy(v->text, text, n);
        rc = read_tokens(v, n, name, e);
    }
    if (rc == ERR_NOMEM) {
        err_set(e, rc, "%s: out of memory", name);
    }
    if (rc) {
        vocab_close(v);
        return rc;
    }
    *out = v;
    return OK;
}

void vocab_close(struct vocab *v)
{
    if (!v) {
        return;
    }
    mem_free(v->edges);
    mem_free(v->ids);
    mem_free(v->tokens);
    mem_free(v->text);
    mem_free(v);
}

int vocab_size(const struct vocab *v)
{
    return v->n;
}

const char *vocab_token(const struct vocab *v, int id)
{
    BUG_ON(id < 0 || id >= v->n);
    return v->tokens[id];
}
