#include "engine/image/xmp.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static int orientation(const char *packet)
{
    size_t n = strlen(packet);
    uint8_t *copy = malloc(n ? n : 1); /* of its exact length, for the sanitizer */
    if (!copy) {
        exit(1);
    }
    memcpy(copy, packet, n);
    int found = xmp_orientation(copy, n);
    free(copy);
    return found;
}

int main(void)
{
    CHECK_INT(orientation("<rdf:Description tiff:Orientation=\"6\"/>"), 6);
    CHECK_INT(orientation("<rdf:Description tiff:Orientation = '8' />"), 8);
    CHECK_INT(orientation("<tiff:Orientation>3</tiff:Orientation>"), 3);
    CHECK_INT(orientation("<tiff:Orientation>\n 5 </tiff:Orientation>"), 5);
    CHECK_INT(orientation("tiff:Orientation, tiff:Orientation=\"2\" tiff:Orientation=\"4\""),
              2); /* the first with a value */
    CHECK_INT(orientation(""), 0);
    CHECK_INT(orientation("tiff:Orientation"), 0);
    CHECK_INT(orientation("tiff:Orientation=\""), 0);
    CHECK_INT(orientation("tiff:Orientation=\"6"), 0); /* cut short */
    CHECK_INT(orientation("tiff:Orientation=\"9\""), 0);
    CHECK_INT(orientation("tiff:Orientation=\"0\""), 0);
    CHECK_INT(orientation("tiff:Orientation=\"16\""), 0);
    CHECK_INT(orientation("tiff:Orientation=6 "), 0);
    return check_result();
}
