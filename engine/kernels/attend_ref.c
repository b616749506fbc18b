/* Attention in plain C: scores of all positions, softmax, weighted sum of the values. */
#include "engine/kernels/install.h"

#include <math.h>

/* Writes exp(score - best score) of all positions into p and returns their sum; 0 positions give 0. */
static float weigh(const float *q, const struct kv_span *spans, int n_spans, size_t column, int head_dim, float scale,
                   float *p)
{
    size_t n = 0;
    float best = -INFINITY, sum = 0.0f;
    for (int s = 0; s < n_spans; s++) {
        for (size_t j = 0; j < spans[s].n; j++, n++) {
            const float *k = spans[s].k + j * spans[s].ld + column;
            float dot = 0.0f;
            for (int d = 0; d < head_dim; d++) {
                dot += q[d] * k[d];
            }
            p[n] = dot * scale;
            best = p[n] > best ? p[n] : best;
        }
    }
    for (size_t i = 0; i < n; i++) {
        p[i] = expf(p[i] - best);
        sum += p[i];
    }
    return sum;
}

static void attend(const float *q, const struct kv_span *spans, int n_spans, int n_heads, int head_dim, float scale,
                   float *scratch, float *out)
{
    for (int h = 0; h < n_heads; h++, q += head_dim, out += head_dim) {
        size_t column = (size_t)h * (size_t)head_dim;
        float sum = weigh(q, spans, n_spans, column, head_dim, scale, scratch);
        for (int d = 0; d < head_dim; d++) {
            out[d] = 0.0f;
        }
        const float *p = scratch;
        for (int s = 0; s < n_spans; s++) {
            for (size_t j = 0; j < spans[s].n; j++, p++) {
                const float *v = spans[s].v + j * spans[s].ld + column;
                float share = *p / sum;
                for (int d = 0; d < head_dim; d++) {
                    out[d] += share * v[d];
                }
            }
        }
    }
}

static void attend_block(const float *q, size_t n_q, size_t ldq, const struct kv_span *span, int n_heads, int head_dim,
                         float scale, float *scratch, float *out, size_t ldo)
{
    for (size_t i = 0; i < n_q; i++) {
        attend(q + i * ldq, span, 1, n_heads, head_dim, scale, scratch, out + i * ldo);
    }
}

void attend_ref_install(struct kernels *k)
{
    k->attend = attend;
    k->attend_block = attend_block;
}
