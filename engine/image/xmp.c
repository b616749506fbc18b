#include "engine/image/xmp.h"

#include <stdbool.h>
#include <string.h>

struct cursor {
    const uint8_t *at;
    size_t n_left;
};

static bool take(struct cursor *c, const char *one_of)
{
    if (c->n_left == 0 || *c->at == 0 || !strchr(one_of, *c->at)) {
        return false;
    }
    c->at++;
    c->n_left--;
    return true;
}

static void skip_space(struct cursor *c)
{
    while (take(c, " \t\r\n")) {
    }
}

/* What follows the name: ="6", = '6' or >6<. */
static int value_at(struct cursor c)
{
    skip_space(&c);
    if (take(&c, "=")) {
        skip_space(&c);
        if (!take(&c, "\"'")) {
            return 0;
        }
    } else if (!take(&c, ">")) {
        return 0;
    }
    skip_space(&c);
    if (c.n_left < 2 || c.at[0] < '1' || c.at[0] > '8' || (c.at[1] >= '0' && c.at[1] <= '9')) {
        return 0;
    }
    return c.at[0] - '0';
}

int xmp_orientation(const uint8_t *packet, size_t n)
{
    static const char name[] = "tiff:Orientation";
    struct cursor c = {packet, n};
    while (c.n_left > 0) {
        const uint8_t *found = memmem(c.at, c.n_left, name, sizeof(name) - 1);
        if (!found) {
            return 0;
        }
        c.n_left -= (size_t)(found - c.at) + sizeof(name) - 1;
        c.at = found + sizeof(name) - 1;
        int value = value_at(c);
        if (value) {
            return value;
        }
    }
    return 0;
}
