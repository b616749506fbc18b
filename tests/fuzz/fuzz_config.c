/* Any bytes as configuration: flags, one a line, when the first line is "--"; variables when it begins with "MINIVLM_";
 * else a file. Faults are whole lines; what was taken is within its limits and, if it came from a file, printed and
 * read back the same. */
#include "config/config_private.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINES = 32, MAX_BYTES = 4096 };

static void check_values(const struct config *c)
{
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        const void *value = config_value(c, k);
        if (k->kind == INT) {
            double number = (double)*(const long long *)value;
            BUG_ON(number < k->min || number > k->max);
        } else if (k->kind == BYTES) {
            double number = (double)*(const uint64_t *)value;
            BUG_ON(number < k->min || number > k->max);
        } else if (k->kind == BOOL) {
            BUG_ON(*(const unsigned char *)value > 1);
        } else {
            const char *end = memchr(value, 0, CONFIG_TEXT_MAX);
            BUG_ON(!end || (k->kind == TEXT && ((double)(end - (const char *)value) < k->min ||
                                                (double)(end - (const char *)value) > k->max)));
            BUG_ON(k->kind == CHOICE && (!strstr(k->words, value) || strchr(value, '|')));
        }
    }
}

static void check_read_back(const struct config *c, struct buf *faults)
{
    static struct config again;
    struct buf first, second;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    config_defaults(&again);
    config_print_json(c, &first);
    config_read_text(&again, first.bytes, first.n, "printed", faults);
    config_print_json(&again, &second);
    BUG_ON(faults->n || first.err || second.err || first.n != second.n || memcmp(first.bytes, second.bytes, first.n));
    buf_release(&first);
    buf_release(&second);
}

/* Cuts the text into lines, NULL after the last. */
static int cut(char *text, char **lines)
{
    int n = 0;
    for (char *line = text; line && n < MAX_LINES; n++) {
        lines[n] = line;
        line = strchr(line, '\n');
        if (line) {
            *line++ = '\0';
        }
    }
    lines[n] = NULL;
    return n;
}

static void load(struct config *c, const uint8_t *data, size_t size, bool has_flags, struct buf *faults)
{
    static char text[MAX_BYTES + 1];
    char *lines[MAX_LINES + 1];
    struct config_request request;
    size_t n = size < MAX_BYTES ? size : MAX_BYTES;
    memcpy(text, data, n);
    text[n] = '\0';
    int n_lines = cut(text, lines);
    for (int i = 0; i < n_lines; i++) { /* no other file */
        if (strncmp(lines[i], "--config", 8) == 0 || strncmp(lines[i], "MINIVLM_CONFIG=", 15) == 0) {
            lines[i][2] = 'x';
        }
    }
    enum err rc = has_flags ? config_load(c, &request, n_lines, lines, NULL, faults)
                            : config_load(c, &request, 0, NULL, lines, faults);
    BUG_ON((rc == OK) != (faults->n == 0) || (rc != OK && rc != ERR_BAD_CONFIG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config c;
    struct buf faults;
    bool has_flags = size >= 3 && memcmp(data, "--\n", 3) == 0;
    bool has_variables = size >= 8 && memcmp(data, "MINIVLM_", 8) == 0;
    buf_init(&faults, 4 << 20);
    config_defaults(&c);
    if (has_flags || has_variables) {
        load(&c, data, size, has_flags, &faults);
    } else {
        config_read_text(&c, size ? (const char *)data : "", size, "input", &faults);
    }
    BUG_ON(faults.err || (faults.n && faults.bytes[faults.n - 1] != '\n'));
    check_values(&c);
    if (!faults.n && !has_flags && !has_variables) {
        check_read_back(&c, &faults);
    }
    buf_release(&faults);
    return 0;
}
