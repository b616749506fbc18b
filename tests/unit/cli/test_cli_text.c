/* Order of matches and the text of the progress bar. */
#include "cli/cli_progress.h"
#include "cli/cli_text.h"
#include "tests/support/check.h"

static void test_order(void)
{
    const float scores[] = {0.5F, 0.9F, 0.5F, 0.1F, 0.9F, 0.7F, 0.5F};
    const int expected[] = {1, 4, 5, 0, 2, 6, 3}; /* alike ones as they were */
    int order[7];
    for (int n = 0; n <= 7; n++) {
        cli_text_order(order, scores, n);
        for (int i = 0, k = 0; i < 7; i++) {
            if (expected[i] < n) {
                CHECK_INT(order[k++], expected[i]);
            }
        }
    }
}

static void test_progress(void)
{
    char text[128];
    cli_progress_text(text, sizeof(text), 0, 4, 600000);
    CHECK_STR(text, "[------------------------]  0/4");
    cli_progress_text(text, sizeof(text), 1, 4, 2000000);
    CHECK_STR(text, "[######------------------]  1/4  0.5/s  6 s left");
    cli_progress_text(text, sizeof(text), 4, 4, 2000000);
    CHECK_STR(text, "[########################]  4/4  2.0/s  0 s left");
    cli_progress_text(text, sizeof(text), 7, 0, 2000000);
    CHECK_STR(text, "7 done  3.5/s");
}

int main(void)
{
    test_order();
    test_progress();
    return check_result();
}
