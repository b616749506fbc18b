/* page_assets - the files of web/ as bytes in the program; made by the build (web/embed.cmake).
 *
 * Text is there twice, as it is and compressed by gzip; a photograph is not compressed again. Each representation has
 * an entity tag of its own, from the SHA-256 of the file.
 * Threads: constants. */
#ifndef SERVER_API_PAGE_ASSETS_H
#define SERVER_API_PAGE_ASSETS_H

#include <stddef.h>

struct page_asset {
    const char *name, *content_type;
    const char *etag, *etag_gzip; /* with their quotes */
    const void *bytes, *gzip;     /* gzip: NULL where there is none */
    size_t n_bytes, n_gzip;
};

extern const struct page_asset page_assets[];
extern const int n_page_assets;

#endif
