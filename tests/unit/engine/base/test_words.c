#include "engine/base/words.h"
#include "tests/support/check.h"

int main(void)
{
    const char *words = "model models text_model x";
    CHECK(words_have(words, "model") && words_have(words, "models") && words_have(words, "text_model") &&
          words_have(words, "x"));
    CHECK(!words_have(words, "") && !words_have(words, "mode") && !words_have(words, "text") &&
          !words_have(words, "odel"));
    CHECK(!words_have("", "x") && !words_have("xx", "x"));
    CHECK(words_have("texts text", "text"));
    return check_result();
}
