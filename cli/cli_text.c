#include "cli/cli_text.h"

#include "engine/base/mem.h"

/* ---- order ---- */

/* Merge sort from below: stable, and n may be thousands. `spare` has room for n. */
static void sort(int *order, int *spare, const float *scores, int n)
{
    for (int width = 1; width < n; width *= 2) {
        for (int at = 0; at < n; at += 2 * width) {
            int left = at, middle = at + width < n ? at + width : n, right = middle;
            int end = middle + width < n ? middle + width : n;
            for (int i = at; i < end; i++) {
                bool from_left = left < middle && (right == end || scores[order[left]] >= scores[order[right]]);
                spare[i] = from_left ? order[left++] : order[right++];
            }
        }
        memcpy(order, spare, (size_t)n * sizeof(*order));
    }
}

void cli_text_order(int *order, const float *scores, int n)
{
    int *spare = NULL;
    for (int i = 0; i < n; i++) {
        order[i] = i;
    }
    enum err rc = mem_array(&spare, (size_t)n, sizeof(*spare));
    if (!rc) { /* else unsorted rather than not at all */
        sort(order, spare, scores, n);
    }
    mem_free(spare);
}

/* ---- results ---- */

static void print_name(FILE *to, const struct cli_args *a, const struct cli_input *in)
{
    if (a->n_files != 1) {
        fprintf(to, "%s:\n", in->path);
    }
}

static void print_captions(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job_result *r)
{
    if (r->n_captions == 1) {
        bool is_alone = a->n_files == 1;
        fprintf(to, "%s%s%s\n", is_alone ? "" : in->path, is_alone ? "" : ": ", r->captions[0].text);
        return;
    }
    print_name(to, a, in);
    for (int i = 0; i < r->n_captions; i++) {
        fprintf(to, "  %6.2f  %s\n", (double)r->captions[i].score, r->captions[i].text);
    }
}

static void print_answers(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job *job)
{
    print_name(to, a, in);
    for (int i = 0; i < in->n_texts; i++) {
        const struct job_answer *answers = job->result.answers + (size_t)i * (size_t)job->request.top_k;
        fprintf(to, "%s\n", in->texts[i]);
        for (int k = 0; k < job->result.n_answers[i]; k++) {
            fprintf(to, "  %.2f  %s\n", (double)answers[k].score, answers[k].answer);
        }
    }
}

static void print_matches(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job *job)
{
    int *order = NULL;
    print_name(to, a, in);
    if (mem_array(&order, (size_t)in->n_texts, sizeof(*order))) {
        return;
    }
    cli_text_order(order, job->result.scores, in->n_texts);
    for (int i = 0; i < in->n_texts; i++) {
        fprintf(to, "  %.2f  %s\n", (double)job->result.scores[order[i]], in->texts[order[i]]);
    }
    mem_free(order);
}

static void print_regions(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job_result *r)
{
    print_name(to, a, in);
    for (int i = 0; i < r->n_regions && r->regions[i].score >= a->min_score; i++) {
        const struct job_region *g = &r->regions[i];
        fprintf(to, "%.2f  %.1f %.1f %.1f %.1f  %s\n", (double)g->score, (double)g->box[0], (double)g->box[1],
                (double)g->box[2], (double)g->box[3], g->label);
    }
}

void cli_text_print_result(FILE *to, const struct cli_args *a, const struct cli_input *in, const struct job *job)
{
    if (a->command == CLI_CAPTION) {
        print_captions(to, a, in, &job->result);
    } else if (a->command == CLI_VQA) {
        print_answers(to, a, in, job);
    } else if (a->command == CLI_RETRIEVE) {
        print_matches(to, a, in, job);
    } else {
        print_regions(to, a, in, &job->result);
    }
}

void cli_text_print_ranking(FILE *to, const char *text, const struct cli_args *a, const int *order, const float *scores,
                            int n)
{
    fprintf(to, "\"%s\"\n", text);
    for (int i = 0; i < n; i++) {
        fprintf(to, "  %.2f  %s\n", (double)scores[order[i]], a->files[order[i]]);
    }
}

/* ---- the model ---- */

void cli_text_print_inspect(FILE *to, const struct engine_info *i, const char *dir)
{
    fprintf(to, "directory    %s\n", dir);
    fprintf(to, "model        %s %s\n", i->model_name, i->model_version);
    fprintf(to, "sha256       %s\n", i->model_sha256);
    fprintf(to, "parameters   %.2f million\n", (double)i->parameters / 1e6);
    fprintf(to, "answers      %d\n", i->n_answers);
    fprintf(to, "regions      at most %d, %.1f kB of features an image\n", i->max_regions,
            (double)i->features_bytes / 1e3);
    if (i->cells > 0) {
        fprintf(to, "cells        at most %d of %d channels, %d own blocks, pool %d; beside them at most %d regions\n",
                i->cells, i->cell_channels, i->own_blocks, i->pool, i->regions_seen);
    }
    fprintf(to, "captions     %d beams, %d tokens, length penalty %g, decoder %s\n", i->num_beams, i->max_tokens,
            (double)i->length_penalty, i->decoder);
    fprintf(to, "runs on      %s, matrices by %s, fusion in %s, %d engine threads, a step on at most %d\n", i->isa,
            i->gemm, i->precision, i->engine_threads, i->split_threads);
    fprintf(to, "memory       %.1f MB planned\n", (double)i->memory_bytes / 1e6);
}
