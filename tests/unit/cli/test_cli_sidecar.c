/* Sidecars: what is written, what is replaced, and what is somebody else's and stays. */
#include "cli/cli_sidecar.h"

#include "tests/support/check.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/slurp.h"

static char folder[SCRATCH_FOLDER_MAX], picture[64], sidecar[80];

static char *content(void)
{
    size_t n;
    return slurp(sidecar, &n);
}

static void put(const char *text)
{
    FILE *file = fopen(sidecar, "wb");
    CHECK(fwrite(text, 1, strlen(text), file) == strlen(text));
    fclose(file);
}

static enum err write_it(const char *caption)
{
    struct errbuf e = {""};
    enum err rc = cli_sidecar_write(picture, caption, &e);
    CHECK(!rc || e.text[0]);
    return rc;
}

static void test_written(void)
{
    CHECK_INT(write_it("cats & <dogs> \"here\""), OK);
    char *text = content();
    CHECK(strstr(text, "x-default\">cats &amp; &lt;dogs&gt; \"here\"</rdf:li>") != NULL);
    CHECK(strstr(text, "<?xpacket end=\"w\"?>\n") != NULL);
    CHECK_INT(write_it("another"), OK); /* its own: replaced */
    char *second = content();
    CHECK(strstr(second, ">another</rdf:li>") && !strstr(second, "cats"));
    free(text);
    free(second);
}

/* One that has been edited, whatever was changed, is not touched. */
static void test_edited(void)
{
    unlink(sidecar);
    CHECK_INT(write_it("a dog"), OK);
    char *ours = content();
    static const char *const changes[][2] = {{"a dog", "my dog"}, {"x:xmpmeta", "y:xmpmeta"}, {"\"w\"", "\"r\""}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char edited[2048];
        const char *at = strstr(ours, changes[i][0]);
        CHECK(at != NULL);
        snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - ours), ours, changes[i][1], at + strlen(changes[i][0]));
        put(edited);
        CHECK_INT(write_it("a cat"), ERR_IO);
        char *after = content();
        CHECK_STR(after, edited);
        free(after);
    }
    put("");
    CHECK_INT(write_it("a cat"), ERR_IO); /* an empty file is not ours either */
    free(ours);
}

static void test_in_the_way(void)
{
    unlink(sidecar);
    CHECK_INT(symlink("/nowhere/at/all", sidecar), 0);
    CHECK_INT(write_it("a cat"), ERR_IO);
    unlink(sidecar);
    char far[] = "/nowhere/x.jpg";
    struct errbuf e = {""};
    CHECK_INT(cli_sidecar_write(far, "a cat", &e), ERR_IO);
    static char long_name[5000];
    memset(long_name, 'a', sizeof(long_name) - 1);
    CHECK_INT(cli_sidecar_write(long_name, "a cat", &e), ERR_IO);
    CHECK(strstr(e.text, "too long") != NULL);
}

int main(void)
{
    scratch_folder(folder, "sidecar");
    snprintf(picture, sizeof(picture), "%s/a.jpg", folder);
    snprintf(sidecar, sizeof(sidecar), "%s.xmp", picture);
    test_written();
    test_edited();
    test_in_the_way();
    CHECK_INT(rmdir(folder), 0); /* nothing is left beside */
    return check_result();
}
