#include "engine/image/draw.h"

#include "engine/image/font.h"

#include <stdbool.h>

static int clip(int value, int min, int max)
{
    return value < min ? min : value > max ? max : value;
}

static void fill(const struct draw *d, int x, int y, int width, int height, struct draw_colour c)
{
    int x0 = clip(x, 0, d->width), x1 = clip(x + width, x0, d->width);
    int y0 = clip(y, 0, d->height), y1 = clip(y + height, y0, d->height);
    for (int row = y0; row < y1; row++) {
        uint8_t *p = d->rgb + 3 * ((size_t)row * (size_t)d->width + (size_t)x0);
        for (int column = x0; column < x1; column++, p += 3) {
            p[0] = c.r;
            p[1] = c.g;
            p[2] = c.b;
        }
    }
}

void draw_frame(const struct draw *d, int x0, int y0, int x1, int y1, int thickness, struct draw_colour c)
{
    int width = x1 - x0 + 1, height = y1 - y0 + 1;
    fill(d, x0, y0, width, thickness, c);
    fill(d, x0, y1 + 1 - thickness, width, thickness, c);
    fill(d, x0, y0, thickness, height, c);
    fill(d, x1 + 1 - thickness, y0, thickness, height, c);
}

static void draw_glyph(const struct draw *d, int x, int y, int scale, const uint8_t *glyph, struct draw_colour ink)
{
    for (int row = 0; row < FONT_HEIGHT; row++) {
        for (int column = 0; column < FONT_WIDTH; column++) {
            if (glyph[row] >> (FONT_WIDTH - 1 - column) & 1) {
                fill(d, x + column * scale, y + row * scale, scale, scale, ink);
            }
        }
    }
}

/* Of UTF-8: the bytes that continue a character are not counted. */
static bool begins_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

void draw_label(const struct draw *d, int x, int y, int scale, const char *text, struct draw_colour paper)
{
    const struct draw_colour black = {0, 0, 0}, white = {255, 255, 255};
    int brightness = 3 * paper.r + 6 * paper.g + paper.b; /* of 2550 */
    int n = 0, step = (FONT_WIDTH + 1) * scale;
    for (const char *c = text; *c; c++) {
        n += begins_character(*c);
    }
    int width = n * step + scale, height = (FONT_HEIGHT + 2) * scale;
    x = clip(x, 0, d->width > width ? d->width - width : 0);
    y = clip(y - height, 0, d->height > height ? d->height - height : 0);
    fill(d, x, y, width, height, paper);
    x += scale;
    for (const char *c = text; *c; c++) {
        if (begins_character(*c)) {
            draw_glyph(d, x, y + scale, scale, font_glyph(*c), brightness > 1275 ? black : white);
            x += step;
        }
    }
}

struct draw_colour draw_palette(unsigned n)
{
    static const struct draw_colour colours[] = {{230, 60, 60},  {60, 160, 60},  {60, 110, 230},  {240, 170, 30},
                                                 {160, 70, 200}, {30, 180, 190}, {240, 110, 180}, {130, 100, 50},
                                                 {170, 200, 40}, {100, 100, 160}};
    return colours[n % (sizeof(colours) / sizeof(colours[0]))];
}
