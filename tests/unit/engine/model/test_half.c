/* binary16 to float and back: every finite value against the definition. */
#include "engine/model/half.h"
#include "tests/support/check.h"

#include <math.h>

static double meaning(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits & 0x8000 ? -size : size;
}

static void test_every_finite_value(void)
{
    for (unsigned bits = 0; bits < 65536; bits++) {
        if ((bits >> 10 & 31) == 31) {
            continue;
        }
        uint16_t x = (uint16_t)bits;
        float out;
        half_to_f32(&x, 1, &out);
        CHECK(out == (float)meaning(bits) && !signbit(out) == !(bits & 0x8000));
        uint16_t back;
        half_from_f32(&out, 1, &back);
        CHECK_INT(back, x);
    }
}

static void test_rows(void)
{
    const uint16_t x[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555};
    float out[6] = {0, 0, 0, 0, 0, 7.0f};
    half_to_f32(x, 5, out);
    CHECK(out[0] == 1.0f && out[1] == -2.0f && out[2] == 65504.0f && out[3] == 0x1p-24f && out[5] == 7.0f);
    CHECK_NEAR(out[4], 0.333251953125f, 0);
}

int main(void)
{
    test_every_finite_value();
    test_rows();
    return check_result();
}
