#include "engine/image/upright.h"

#include "engine/image/orient.h"

void upright_describe(struct image_info *info, int exif, int xmp, uint32_t stored_width, uint32_t stored_height)
{
    info->orientation = exif ? exif : xmp ? xmp : 1;
    if (info->orientation != 1) {
        info->warnings |= exif ? IMAGE_WARN_ROTATED : IMAGE_WARN_ROTATED_XMP;
    }
    bool is_turned = orient_swaps(info->orientation);
    info->width = (int)(is_turned ? stored_height : stored_width);
    info->height = (int)(is_turned ? stored_width : stored_height);
}
