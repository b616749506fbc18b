#include "engine/model/load/bind_filter8.h"

#include <math.h>

static bool in_bytes(const struct bind_block *block)
{
    bool is_expand = block->wide == block->inputs || block->expand.bytes.n > 0;
    return is_expand && block->project.bytes.n > 0 && block->wide % GEMM8_ALIGN == 0;
}

/* Channel c of the filter as whole numbers; false where a sum could come near to what the kernel does not take. */
static bool set_channel(const struct bind_block *block, size_t c, int16_t *q, float *scale, float *bias)
{
    size_t taps = (size_t)block->kernel * (size_t)block->kernel, n = (size_t)block->wide;
    const float *w = block->depthwise.weight + c;
    float max = 0.0F;
    for (size_t i = 0; i < taps; i++) {
        max = fmaxf(max, fabsf(w[i * n]));
    }
    *scale = max > 0.0F ? max / (float)FILTER8_MAX : 1.0F; /* both maps have the same scale */
    *bias = block->depthwise.bias[c] / BIND_RELU6_SCALE;
    for (size_t i = 0; i < taps; i++) {
        q[i * n + c] = (int16_t)rintf(w[i * n] / *scale);
    }
    return (float)taps * 255.0F * max + fabsf(*bias) < FILTER8_LARGEST;
}

/* The widening product of the block with scale and bias in other units; the weights are shared. */
static struct gemm8_weights expand_of(struct binder *b, const struct bind_block *block)
{
    struct gemm8_weights w = block->expand.bytes;
    float *scale = arena_take(&b->arena, w.n, sizeof(float)), *bias = arena_take(&b->arena, w.n, sizeof(float));
    for (size_t i = 0; b->block && i < w.n; i++) {
        scale[i] = w.scale[i] / BIND_RELU6_SCALE;
        bias[i] = w.bias[i] / BIND_RELU6_SCALE;
    }
    w.scale = scale;
    w.bias = bias;
    return w;
}

void bind_filter8(struct binder *b, struct bind_block *block)
{
    if (b->rc || !in_bytes(block)) {
        return;
    }
    size_t n = (size_t)block->wide, taps = (size_t)block->kernel * (size_t)block->kernel;
    size_t packed = b->kernels->filter8_packed_bytes(block->kernel, block->wide);
    void *place = arena_take(&b->arena, packed, 1);
    float *scale = arena_take(&b->arena, n, sizeof(float)), *bias = arena_take(&b->arena, n, sizeof(float));
    struct gemm8_weights expand = expand_of(b, block);
    bind_kinds_want_temp(b, (taps * n * sizeof(int16_t) + sizeof(float) - 1) / sizeof(float));
    if (!b->block) {
        return;
    }
    int16_t *q = (int16_t *)(void *)b->temp;
    bool fits = true;
    for (size_t c = 0; c < n; c++) {
        fits = set_channel(block, c, q, &scale[c], &bias[c]) && fits;
    }
    if (fits) {
        b->kernels->filter8_pack(q, block->kernel, block->wide, place);
        block->bytes = (struct bind_block8){expand, {place, scale, bias}};
    }
}
