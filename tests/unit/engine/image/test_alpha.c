#include "engine/image/alpha.h"

#include "tests/support/check.h"

/* All pairs of value and alpha against the formula in wide integers; the packing keeps the order. */
int main(void)
{
    for (int a = 0; a < 256; a++) {
        uint8_t p[4 * 256];
        for (int c = 0; c < 256; c++) {
            uint8_t pixel[4] = {(uint8_t)c, (uint8_t)(255 - c), 7, (uint8_t)a};
            memcpy(p + 4 * c, pixel, 4);
        }
        alpha_on_white(p, 256);
        int wrong = 0;
        for (int c = 0; c < 256; c++) {
            double red = c * a / 255.0 + 255 - a, green = (255 - c) * a / 255.0 + 255 - a,
                   blue = 7 * a / 255.0 + 255 - a;
            wrong += fabs(p[3 * c] - red) > 0.5 || fabs(p[3 * c + 1] - green) > 0.5 || fabs(p[3 * c + 2] - blue) > 0.5;
        }
        CHECK_INT(wrong, 0);
    }
    return check_result();
}
