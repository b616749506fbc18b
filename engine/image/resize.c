/* The passes run together, input row by input row: a row is made narrower or wider, rounded to 8 bits, then added with
 * its weights to every output row that it belongs to. An output row is begun with its first input row and put with its
 * last; those under way stand in a ring. This gives the sums of two separate passes, in another order of additions,
 * which for integers is the same sum. So a picture of 65535 rows needs no more memory than a small one.
 *
 * Sums fit 32 bits: weights of an output pixel are not negative and add up to 2^22 and a little more, times 255. */
#include "engine/image/resize.h"

#include "engine/base/mem.h"
#include "engine/image/scratch.h"

#include <math.h>
#include <string.h>

enum { BITS = 22 };

/* Which inputs an output is made of: `count` from `first` on, with weights[at ..]. */
struct span {
    int first, count, at;
};

/* One direction: spans [n] and their weights. */
struct axis {
    int length, n;
    double used;
    struct scratch span_memory, weight_memory;
};

struct resize {
    struct axis across, down;
    struct scratch row;  /* uint8 [to_width, 3]: after the first pass, or an output row */
    struct scratch sums; /* int32 [n_under_way, to_width, 3] */
    int n_under_way;
};

static const struct span *spans_of(const struct axis *a)
{
    return (const struct span *)(const void *)a->span_memory.bytes;
}

static const int32_t *weights_of(const struct axis *a)
{
    return (const int32_t *)(const void *)a->weight_memory.bytes;
}

/* ---- weights ---- */

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* The order of operations is Pillow's: another one would round differently. */
struct window {
    double centre, support, inverse;
    int first, count;
};

static struct window window_of(int length, double used, int n, int i)
{
    double scale = used / n, support = scale < 1.0 ? 1.0 : scale;
    double centre = (i + 0.5) * scale;
    int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > length ? length : end;
    return (struct window){centre, support, 1.0 / support, first, end - first};
}

static double weight_of(const struct window *w, int k)
{
    return triangle((k + w->first - w->centre + 0.5) * w->inverse);
}

static void fill_weights(const struct window *w, int32_t *out)
{
    double total = 0.0;
    for (int k = 0; k < w->count; k++) {
        total += weight_of(w, k);
    }
    for (int k = 0; k < w->count; k++) {
        double share = total != 0.0 ? weight_of(w, k) / total : weight_of(w, k);
        out[k] = (int32_t)(0.5 + share * (1 << BITS));
    }
}

static enum err axis_prepare(struct axis *a, int length, double used, int n)
{
    size_t n_weights = 0;
    if (a->length == length && a->used == used && a->n == n) {
        return OK;
    }
    a->length = a->n = 0;
    enum err rc = scratch_reserve(&a->span_memory, (size_t)n, sizeof(struct span));
    if (rc) {
        return rc;
    }
    struct span *spans = (struct span *)(void *)a->span_memory.bytes;
    for (int i = 0; i < n; i++) {
        struct window w = window_of(length, used, n, i);
        spans[i] = (struct span){w.first, w.count, (int)n_weights};
        n_weights += (size_t)w.count;
    }
    rc = scratch_reserve(&a->weight_memory, n_weights, sizeof(int32_t));
    if (rc) {
        return rc;
    }
    int32_t *weights = (int32_t *)(void *)a->weight_memory.bytes;
    for (int i = 0; i < n; i++) {
        struct window w = window_of(length, used, n, i);
        fill_weights(&w, weights + spans[i].at);
    }
    a->length = length;
    a->used = used;
    a->n = n;
    return OK;
}

/* The most outputs that one input belongs to: how many sums are under way at once. */
static int widest_overlap(const struct axis *a)
{
    const struct span *s = spans_of(a);
    int widest = 0;
    for (int i = 0, first = 0; i < a->n; i++) {
        while (s[first].first + s[first].count <= s[i].first) {
            first++;
        }
        widest = i - first + 1 > widest ? i - first + 1 : widest;
    }
    return widest;
}

/* ---- passes ---- */

static uint8_t round_sum(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* One row, [width, 3] -> [to_width, 3]. */
static void narrow(const struct axis *a, const uint8_t *from, uint8_t *to)
{
    const struct span *s = spans_of(a);
    const int32_t *weights = weights_of(a);
    for (int i = 0; i < a->n; i++, to += 3) {
        const uint8_t *pixel = from + 3 * (size_t)s[i].first;
        const int32_t *w = weights + s[i].at;
        int32_t red = 1 << (BITS - 1), green = red, blue = red;
        for (int k = 0; k < s[i].count; k++, pixel += 3) {
            red += w[k] * pixel[0];
            green += w[k] * pixel[1];
            blue += w[k] * pixel[2];
        }
        to[0] = round_sum(red);
        to[1] = round_sum(green);
        to[2] = round_sum(blue);
    }
}

static void add_row(int32_t *restrict sums, const uint8_t *restrict row, int32_t weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sums[i] += weight * row[i];
    }
}

static void round_row(const int32_t *restrict sums, uint8_t *restrict row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        row[i] = round_sum(sums[i]);
    }
}

/* Output rows [lo, hi) are under way. */
struct vertical {
    int lo, hi;
    int32_t *sums;
    size_t n; /* values of a row */
};

static void begin_row(struct vertical *v, int n_under_way)
{
    int32_t *sums = v->sums + (size_t)(v->hi % n_under_way) * v->n;
    for (size_t i = 0; i < v->n; i++) {
        sums[i] = 1 << (BITS - 1);
    }
    v->hi++;
}

/* Adds input row y to all output rows it belongs to and puts those that it completes. */
static void use_row(struct resize *r, const struct resize_job *job, struct vertical *v, int y, const uint8_t *row)
{
    const struct span *s = spans_of(&r->down);
    const int32_t *weights = weights_of(&r->down);
    while (v->hi < r->down.n && s[v->hi].first <= y) {
        begin_row(v, r->n_under_way);
    }
    for (int i = v->lo; i < v->hi; i++) {
        if (y < s[i].first + s[i].count) {
            add_row(v->sums + (size_t)(i % r->n_under_way) * v->n, row, weights[s[i].at + y - s[i].first], v->n);
        }
    }
    while (v->lo < v->hi && s[v->lo].first + s[v->lo].count <= y + 1) {
        round_row(v->sums + (size_t)(v->lo % r->n_under_way) * v->n, r->row.bytes + v->n, v->n);
        job->put(job->user, v->lo++, r->row.bytes + v->n);
    }
}

static double used_of(double used, int length)
{
    return used > 0.0 ? used : length;
}

/* Does a pass change anything? */
static bool is_across(const struct resize_job *job)
{
    return job->to_width != job->width || used_of(job->used_width, job->width) != job->width;
}

static bool is_down(const struct resize_job *job)
{
    return job->to_height != job->height || used_of(job->used_height, job->height) != job->height;
}

static enum err prepare(struct resize *r, const struct resize_job *job)
{
    size_t row_bytes = 3 * (size_t)job->to_width;
    enum err rc = scratch_reserve(&r->row, 2, row_bytes); /* one narrowed, one going out */
    if (!rc && is_across(job)) {
        rc = axis_prepare(&r->across, job->width, used_of(job->used_width, job->width), job->to_width);
    }
    if (!rc && is_down(job)) {
        rc = axis_prepare(&r->down, job->height, used_of(job->used_height, job->height), job->to_height);
        r->n_under_way = rc ? 0 : widest_overlap(&r->down);
        rc = rc ? rc : scratch_reserve(&r->sums, (size_t)r->n_under_way, row_bytes * sizeof(int32_t));
    }
    return rc;
}

enum err resize_run(struct resize *r, const struct resize_job *job)
{
    enum err rc = prepare(r, job);
    if (rc) {
        return rc;
    }
    struct vertical v = {.sums = (int32_t *)(void *)r->sums.bytes, .n = 3 * (size_t)job->to_width};
    for (int y = 0; y < job->height; y++) {
        const uint8_t *row = job->rgb + 3 * (size_t)job->width * (size_t)y;
        if (is_across(job)) {
            narrow(&r->across, row, r->row.bytes);
            row = r->row.bytes;
        }
        if (is_down(job)) {
            use_row(r, job, &v, y, row);
        } else {
            job->put(job->user, y, row);
        }
    }
    return OK;
}

enum err resize_create(struct resize **out)
{
    return mem_alloc(out, sizeof(**out));
}

void resize_destroy(struct resize *r)
{
    if (r) {
        struct scratch *all[] = {&r->across.span_memory,
                                 &r->across.weight_memory,
                                 &r->down.span_memory,
                                 &r->down.weight_memory,
                                 &r->row,
                                 &r->sums};
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
            scratch_release(all[i]);
        }
        mem_free(r);
    }
}
