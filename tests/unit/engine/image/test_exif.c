#include "engine/image/exif.h"

#include "tests/support/check.h"

#include <stdlib.h>

/* Little-endian, one entry: orientation, SHORT, count 1, value 6. */
static const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0};

static void test_both_orders(void)
{
    CHECK_INT(exif_orientation(little, sizeof(little)), 6);
    CHECK_INT(exif_orientation(big, sizeof(big)), 8);
}

static void test_prefix(void)
{
    uint8_t block[6 + sizeof(little)];
    memcpy(block, "Exif\0\0", 6);
    memcpy(block + 6, little, sizeof(little));
    CHECK_INT(exif_orientation(block, sizeof(block)), 6);
    uint8_t twice[12 + sizeof(little)];
    memcpy(twice, "Exif\0\0Exif\0\0", 12);
    memcpy(twice + 12, little, sizeof(little));
    CHECK_INT(exif_orientation(twice, sizeof(twice)), 6);
}

/* With every byte changed in every way the answer stays in range; with every length nothing behind it is read. */
static void test_odd_blocks(void)
{
    for (size_t at = 0; at < sizeof(little); at++) {
        for (int value = 0; value < 256; value++) {
            uint8_t block[sizeof(little)];
            memcpy(block, little, sizeof(little));
            block[at] = (uint8_t)value;
            int orientation = exif_orientation(block, sizeof(block));
            CHECK(orientation >= 0 && orientation <= 8);
        }
    }
    for (size_t n = 0; n < sizeof(little); n++) {
        uint8_t *copy = malloc(n ? n : 1);
        if (!copy) {
            exit(1);
        }
        memcpy(copy, little, n);
        CHECK_INT(exif_orientation(copy, n), n >= 22 ? 6 : 0); /* the entry is whole from 22 bytes on */
        free(copy);
    }
}

static void test_entries(void)
{
    uint8_t two[8 + 2 + 24] = {'I', 'I', 42, 0, 8, 0,    0, 0, 2, 0, 0x12, 1, 3, 0, 1, 0, 0,
                               0,   3,   0,  0, 0, 0x12, 1, 4, 0, 1, 0,    0, 0, 5, 0, 0, 0};
    CHECK_INT(exif_orientation(two, sizeof(two)), 5); /* LONG too; the last one counts */
    two[30] = 9;
    CHECK_INT(exif_orientation(two, sizeof(two)), 3); /* out of range: ignored */
    two[14] = 2;
    CHECK_INT(exif_orientation(two, sizeof(two)), 0); /* count 2: ignored */
    two[14] = 1;
    two[4] = 4; /* a directory inside the header */
    CHECK_INT(exif_orientation(two, sizeof(two)), 0);
    two[4] = 33;
    CHECK_INT(exif_orientation(two, sizeof(two)), 0);
}

int main(void)
{
    test_both_orders();
    test_prefix();
    test_odd_blocks();
    test_entries();
    return check_result();
}
