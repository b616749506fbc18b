/* model_config - config.json of a model directory, checked (docs/model-format.md).
 *
 * Plain data, no pointers into JSON. Every fault names the key: wrong type or range, unknown, missing, twice, or at
 * odds with another key. Only jansson allocates, and everything is freed before the return. */
#ifndef ENGINE_MODEL_MODEL_CONFIG_H
#define ENGINE_MODEL_MODEL_CONFIG_H

#include "engine/base/err.h"

enum { MODEL_MAX_BEAMS = 10, MODEL_MAX_TOKENS = 64 }; /* limits of caption.num_beams and caption.max_tokens */
enum { MODEL_MAX_STAGES = 12, MODEL_LEVELS = 5, MODEL_TAPS = 4, MODEL_ANCHOR_RATIOS = 3 };

/* The number format of matrix products. */
enum model_precision {
    MODEL_PRECISION_AUTO, /* each matrix as stored in the file: I8 in 8 bits, others as floats */
    MODEL_PRECISION_FP32, /* floats, whatever the file has */
    MODEL_PRECISION_INT8, /* the fusion's in 8 bits, converted from what the file has; the image half's as stored */
    MODEL_PRECISION_COUNT,
    MODEL_PRECISION_FUSION = MODEL_PRECISION_COUNT /* not offered: INT8 with the image half in floats, so that the
                                                      fusion can be compared alone */
};

enum model_resize { MODEL_RESIZE_SQUARE, MODEL_RESIZE_SHORT_SIDE };
enum model_activation { MODEL_SWISH, MODEL_RELU6 };
enum model_padding { MODEL_PAD_SYMMETRIC, MODEL_PAD_SAME };
/* Which row predicts the next word of a caption: a [MASK] after the text, or the row of the last word itself. */
enum model_decoder { MODEL_DECODER_MASK, MODEL_DECODER_CAUSAL };

struct model_stage {
    int expand, kernel, stride, channels, repeats;
};

struct model_config {
    char name[64], version[32];
    struct {
        enum model_resize resize;
        int size, max_size, divisor;
        float mean[3], std[3];
    } image;
    struct {
        enum model_activation activation;
        bool squeeze_excite;
        enum model_padding padding;
        int stem;
        int n_stages;
        struct model_stage stages[MODEL_MAX_STAGES];
    } backbone;
    struct {
        int channels, repeats;
    } bifpn;
    struct {
        int anchor_sizes[MODEL_LEVELS];
        int pre_nms;
        float nms;
        int proposals;
    } rpn;
    struct {
        int pool, sampling, hidden, classes;
        float nms, score_threshold;
        int min_regions, max_regions;
    } roi;
    struct {
        int channels;   /* of a cell; 0: no section "context", a model without cells */
        int own_blocks; /* last blocks of the backbone that the cells have their own copies of */
        int pool;       /* a cell is the mean of pool x pool places of the map */
        int regions;    /* best regions that the fusion sees beside the cells; without cells it sees all */
    } context;
    struct {
        int layers, hidden, heads, ffn, vocab, positions;
    } fusion;
    struct {
        int caption_length, text_length, tags_length;
        float tag_threshold;
    } text;
    struct {
        int num_beams, max_tokens;
        float length_penalty;
        enum model_decoder decoder; /* absent: mask */
    } caption;
    struct {
        int answers;
    } vqa;
    struct {
        char file[64];
        char sha256[65];
    } weights;
};

/* Side length, in input pixels, of one position of the backbone's last map. */
enum { MODEL_LAST_STRIDE = 32 };

const char *model_config_decoder_name(enum model_decoder decoder); /* as in config.json */
/* The largest padded input: *longer >= *shorter. */
void model_config_max_input(const struct model_config *c, int *shorter, int *longer);
/* Cells that a picture may have; 0 without "context". */
int model_config_max_cells(const struct model_config *c);
/* Regions that the fusion sees, at most. */
int model_config_max_seen(const struct model_config *c);
/* Rows of an image in a fusion sequence, at most: tags, regions, cells. */
int model_config_max_context(const struct model_config *c);

/* Parses and validates; `path` is only for messages. */
MUST_USE enum err model_config_parse(struct model_config *out, const char *json, size_t n, const char *path,
                                     struct errbuf *e);

#endif
