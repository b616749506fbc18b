#include "engine/image/limits.h"

#include "tests/support/check.h"

int main(void)
{
    struct errbuf e;
    CHECK_INT(limits_check(100, 100, 10000, "", &e), OK);
    CHECK_INT(limits_check(100, 101, 10000, "", &e), ERR_IMAGE_TOO_LARGE);
    CHECK_INT(limits_check(65535, 1, 100000, "", &e), OK);
    CHECK_INT(limits_check(65536, 1, 100000, "", &e), ERR_IMAGE_TOO_LARGE);
    CHECK(strstr(e.text, "no side") != NULL);
    CHECK_INT(limits_check(0, 5, 10000, "", &e), ERR_CORRUPT_IMAGE);
    CHECK_INT(limits_check(5, 0, 10000, "", &e), ERR_CORRUPT_IMAGE);
    CHECK_INT(limits_check(0x80000000u, 0x80000000u, UINT64_MAX, "", &e), ERR_IMAGE_TOO_LARGE);
    CHECK_INT(limits_check(4000, 4000, 12000000, " for progressive JPEG", &e), ERR_IMAGE_TOO_LARGE);
    CHECK_STR(e.text, "the image is 4000x4000, 16.0 megapixels; the limit for progressive JPEG is 12.0; send a smaller "
                      "copy, or save it as baseline JPEG");
    CHECK_INT(limits_check(4000, 4000, 12000000, "", NULL), ERR_IMAGE_TOO_LARGE);
    return check_result();
}
