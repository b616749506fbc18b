#include "cli/cli_profile.h"

#include "cli/cli.h"
#include "cli/cli_json.h"
#include "engine/base/mem.h"

#include <string.h>

static double rate(double amount, double ms)
{
    return ms > 0 ? amount / (ms * 1e6) : 0.0;
}

/* ---- a plan ---- */

static void print_plan_row(const struct profile_row *r)
{
    char shape[80];
    snprintf(shape, sizeof(shape), "%llu x %llu x %llu%s%s", (unsigned long long)r->m, (unsigned long long)r->n,
             (unsigned long long)r->k, r->act[0] ? " " : "", r->act);
    printf("%-9s %4d  %-12s %-17s %-5s %-28s %6llu %4d %10.1f %10.2f\n", r->stage, r->turn, r->step, r->kernel,
           r->format, shape, (unsigned long long)r->calls, r->cuts, (double)r->bytes / 1e3,
           (double)r->operations / 1e6);
}

static void print_plan(const struct profile *p)
{
    double bytes = 0.0, operations = 0.0;
    printf("%-9s %4s  %-12s %-17s %-5s %-28s %6s %4s %10s %10s\n", "stage", "turn", "step", "kernel", "of", "m x n x k",
           "calls", "cuts", "kB", "Mop");
    for (int i = 0; i < p->n_rows; i++) {
        print_plan_row(&p->rows[i]);
        bytes += (double)p->rows[i].bytes;
        operations += (double)p->rows[i].operations;
    }
    printf("%-91s %10.1f %10.2f\n", "in all", bytes / 1e3, operations / 1e6);
    printf("kernels: %s, matrices by %s; \"words\" is one step of a caption; cuts: threads that share a call while "
           "nothing else waits\n",
           p->isa, p->gemm);
}

/* ---- stages ---- */

static void print_stage_row(const struct profile_row *r, const struct profile *p, double all_ms)
{
    printf("%-9s %-12s %-17s %9.3f %6.1f %8.0f", r->stage, r->step, r->kernel, r->ms / p->n_runs,
           100.0 * r->ms / all_ms, (double)r->calls / p->n_runs);
    if (r->kernel[0]) {
        printf(" %9.1f %6.1f %7.1f", rate((double)r->operations, r->ms), profile_share(r),
               rate((double)r->bytes, r->ms));
    }
    printf("\n");
}

/* The sum of a stage, after its last row. */
static void print_stage_sum(const struct profile *p, int first, int end, double all_ms)
{
    struct profile_row sum = profile_sum(p->rows + first, end - first);
    sum.step = "in all";
    sum.kernel = sum.operations > 0 ? "all" : "";
    print_stage_row(&sum, p, all_ms);
}

static void print_stages(const struct profile *p)
{
    double all_ms = 0.0;
    for (int i = 0; i < p->n_rows; i++) {
        all_ms += p->rows[i].ms;
    }
    printf("%-9s %-12s %-17s %9s %6s %8s %9s %6s %7s\n", "stage", "step", "kernel", "ms", "% time", "calls", "Gop/s",
           "% peak", "GB/s");
    for (int i = 0, first = 0; i < p->n_rows; i++) {
        print_stage_row(&p->rows[i], p, all_ms);
        if (i + 1 == p->n_rows || strcmp(p->rows[i + 1].stage, p->rows[i].stage) != 0) {
            print_stage_sum(p, first, i + 1, all_ms);
            first = i + 1;
        }
    }
    printf("%.3f ms an image, one thread, %d words; kernels: %s, matrices by %s\n", all_ms / p->n_runs,
           p->words / p->n_runs, p->isa, p->gemm);
    printf(
        "measured peaks: %.0f GFLOP/s in floats, %.0f Gop/s in bytes (gemm8), %.0f in 16 bits (depthwise8); %% peak: "
        "of what a kernel multiplies, of a mixture weighed\n",
        p->peaks.of[TRACE_FLOATS], p->peaks.of[TRACE_BYTES], p->peaks.of[TRACE_WORDS]);
}

/* ---- all ---- */

static void print_json(const struct profile *p)
{
    for (int i = 0; i < p->n_rows; i++) {
        cli_json_print_profile_row(stdout, p, &p->rows[i]);
    }
}

static enum err read_pictures(struct profile_picture **out, const struct cli_input *images, int n)
{
    enum err rc = mem_array(out, (size_t)n + 1, sizeof(**out));
    for (int i = 0; !rc && i < n; i++) {
        (*out)[i] = (struct profile_picture){images[i].path, images[i].bytes, images[i].n_bytes};
    }
    return rc;
}

int cli_profile_run(const struct engine_options *options, const struct cli_args *a, const struct cli_input *images,
                    int n_images)
{
    struct profile p = {0};
    struct errbuf e = {{0}};
    struct profile_picture *pictures = NULL;
    enum err rc = read_pictures(&pictures, images, n_images);
    if (!rc) {
        struct profile_request request = {.engine = options,
                                          .is_plan = a->command == CLI_INSPECT,
                                          .pictures = pictures,
                                          .n_pictures = n_images,
                                          .rounds = a->rounds,
                                          .question = "what is in the picture?"};
        rc = profile_run(&p, &request, &e);
    }
    if (rc) {
        fprintf(stderr, "minivlm %s: %s (%s)\n", a->command == CLI_INSPECT ? "inspect" : "bench", errbuf_text(&e, rc),
                err_slug(rc));
    } else if (a->use_json) {
        print_json(&p);
    } else if (a->command == CLI_INSPECT) {
        print_plan(&p);
    } else {
        print_stages(&p);
    }
    profile_release(&p);
    mem_free(pictures);
    return rc ? CLI_FAILED : CLI_OK;
}
