#include "engine/model/model_private.h"

#include "engine/base/fmap.h"
#include "engine/base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static enum err path_of(char path[PATH_MAX], const char *dir, const char *file, struct errbuf *e)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, file);
    return n > 0 && n < PATH_MAX ? OK : err_set(e, ERR_BAD_MODEL, "%.100s...: the path is too long", dir);
}

static enum err open_config(struct model *m, const char *dir, struct errbuf *e)
{
    char path[PATH_MAX];
    struct fmap *map = NULL;
    enum err rc = path_of(path, dir, "config.json", e);
    rc = rc ? rc : fmap_open(&map, path, e);
    if (rc) {
        return rc;
    }
    sha256_begin(&m->_identity);
    sha256_add(&m->_identity, fmap_bytes(map), fmap_size(map));
    rc = model_config_parse(&m->config, (const char *)fmap_bytes(map), fmap_size(map), path, e);
    fmap_close(map);
    return rc;
}

static enum err open_text(struct model *m, const char *dir, struct errbuf *e)
{
    char path[PATH_MAX];
    const struct model_config *c = &m->config;
    enum err rc = path_of(path, dir, "vocab.txt", e);
    rc = rc ? rc : wordpiece_open(&m->wordpiece, path, e);
    if (rc) {
        return rc;
    }
    if (wordpiece_size(m->wordpiece) != c->fusion.vocab) {
        return err_set(e, ERR_BAD_MODEL, "%s has %d tokens, config.json says fusion.vocab is %d", path,
                       wordpiece_size(m->wordpiece), c->fusion.vocab);
    }
    rc = path_of(path, dir, "labels.json", e);
    rc = rc ? rc : labels_open(&m->labels, path, e);
    if (rc) {
        return rc;
    }
    if (m->labels->n_objects != c->roi.classes || m->labels->n_answers != c->vqa.answers) {
        return err_set(e, ERR_BAD_MODEL,
                       "%s has %d objects and %d answers, config.json says roi.classes is %d and vqa.answers is %d",
                       path, m->labels->n_objects, m->labels->n_answers, c->roi.classes, c->vqa.answers);
    }
    return OK;
}

static enum err open_weights(struct model *m, const char *dir, bool verify_hash, struct errbuf *e)
{
    char path[PATH_MAX];
    enum err rc = path_of(path, dir, m->config.weights.file, e);
    rc = rc ? rc : weights_open(&m->weights, path, e);
    if (rc) {
        return rc;
    }
    memcpy(m->sha256, m->config.weights.sha256, sizeof(m->sha256));
    if (verify_hash) {
        weights_sha256(m->weights, m->sha256);
        if (strcmp(m->sha256, m->config.weights.sha256) != 0) {
            return err_set(e, ERR_BAD_MODEL,
                           "%s has SHA-256 %s, config.json says %s: the file is damaged or not the right one", path,
                           m->sha256, m->config.weights.sha256);
        }
    }
    rc = bind_open(&m->bound, m->weights, &m->config, m->kernels, m->precision, e);
    weights_forget(m->weights);
    return rc;
}

static enum err make_rules(struct model *m)
{
    size_t vocab = (size_t)m->config.fusion.vocab;
    enum err rc = mem_array(&m->_is_forbidden, vocab, 1);
    if (rc) {
        return rc;
    }
    m->special = wordpiece_special(m->wordpiece);
    for (size_t i = 0; i < vocab; i++) {
        m->_is_forbidden[i] = wordpiece_is_forbidden(m->wordpiece, (int)i);
    }
    const struct bind_words *words = &m->bound->fusion.caption_words;
    m->caption_rules =
        (struct caption_rules){(int)words->n, m->special.cls, m->special.sep, m->_is_forbidden, words->ids};
    return OK;
}

enum err model_open(struct model **out, const char *dir, const struct model_options *options, struct errbuf *e)
{
    struct model *m = NULL;
    enum err rc = mem_alloc(&m, sizeof(*m));
    if (rc) {
        return rc;
    }
    m->kernels = kernels_select(options->isa_cap, options->gemm_backend);
    m->whole = m->kernels;
    m->precision = options->precision;
    if (options->is_split) {
        m->kernels = split_kernels(&m->_split, m->kernels);
    }
    if (options->trace) {
        m->kernels = trace_kernels(options->trace, m->kernels);
    }
    rc = open_config(m, dir, e);
    rc = rc ? rc : open_text(m, dir, e);
    rc = rc ? rc : open_weights(m, dir, options->verify_hash, e);
    rc = rc ? rc : make_rules(m);
    if (!rc) {
        uint8_t digest[SHA256_BYTES];
        sha256_add(&m->_identity, m->sha256, sizeof(m->sha256));
        sha256_end(&m->_identity, digest);
        sha256_hex(digest, m->identity);
        *out = m;
        m = NULL;
    }
    model_close(m);
    return rc;
}

void model_close(struct model *m)
{
    if (m) {
        mem_free(m->_is_forbidden);
        bind_close(m->bound);
        weights_close(m->weights);
        labels_close(m->labels);
        wordpiece_close(m->wordpiece);
        mem_free(m);
    }
}

const struct model_config *model_config(const struct model *m)
{
    return &m->config;
}

const struct wordpiece *model_wordpiece(const struct model *m)
{
    return m->wordpiece;
}

const struct kernels *model_kernels(const struct model *m)
{
    return m->kernels;
}

void model_enter(const struct model *m, struct crew *crew, int self)
{
    split_enter(m->whole, crew, self);
}

const char *model_object_name(const struct model *m, int label)
{
    BUG_ON(label < 1 || label > m->labels->n_objects);
    return m->labels->objects[label - 1];
}

const char *model_answer_name(const struct model *m, int answer)
{
    BUG_ON(answer < 0 || answer >= m->labels->n_answers);
    return m->labels->answers[answer];
}

const char *model_identity(const struct model *m)
{
    return m->identity;
}

const char *model_sha256(const struct model *m)
{
    return m->sha256;
}

size_t model_memory_bytes(const struct model *m)
{
    return m->bound->block_bytes + weights_memory_bytes(m->weights);
}

const char *model_precision(const struct model *m)
{
    return m->bound->n_bytes == 0 ? "fp32" : m->bound->n_bytes == m->bound->n_linear ? "int8" : "mixed";
}

size_t model_parameters(const struct model *m)
{
    return m->bound->n_parameters;
}
