/* What somebody wants who writes to a model that does two things: a description of the picture, or an answer to a
 * question about it. English sentences are here; verbs, nouns and other languages are in input_languages.c. */
#include "server/input/input_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_BYTES = 4096, WORD_MAX = 24 };

/* One name for each thing that people call by several. */
static const char *const same[][2] = {
    {"picture", "image"}, {"photo", "image"},  {"photograph", "image"}, {"pic", "image"},    {"img", "image"},
    {"the", "this"},      {"that", "this"},    {"a", "this"},           {"an", "this"},      {"my", "this"},
    {"whats", "what is"}, {"shown", "is"},     {"depicted", "is"},      {"seen", "is"},      {"visible", "is"},
    {"displayed", "is"},  {"photos", "image"}, {"images", "image"},     {"attached", "this"}};

static const char *const small_words[] = {"please", "exactly", "just", "there", "now", "so",
                                          "hello",  "hi",      "in",   "on",    "us",  "me"};

static bool is_small(const char *word)
{
    for (size_t i = 0; i < sizeof(small_words) / sizeof(small_words[0]); i++) {
        if (strcmp(word, small_words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *same_as(const char *word)
{
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (strcmp(word, same[i][0]) == 0) {
            return same[i][1];
        }
    }
    return word;
}

/* The words in small letters, a space before and behind each: "What's in the photo, please?" -> " what is this image
 * " */
static void plain_words(const char *text, size_t n, struct buf *out)
{
    char word[WORD_MAX], last[WORD_MAX] = "";
    size_t k = 0;
    buf_text(out, " ");
    for (size_t i = 0; i <= n; i++) {
        unsigned char c = i < n ? (unsigned char)text[i] : ' ';
        if (c == '\'' || c == 0xe2 || c == 0x80 || c == 0x99) { /* both apostrophes */
            continue;
        }
        if (isalnum(c) || c >= 0x80) {
            if (k < WORD_MAX - 1) {
                word[k++] = (char)tolower(c);
            }
            continue;
        }
        word[k] = '\0';
        const char *name = same_as(word);
        if (k > 0 && !is_small(word) && strcmp(name, last) != 0) { /* "is shown" is said twice */
            buf_printf(out, "%s ", name);
            snprintf(last, sizeof(last), "%s", name);
        }
        k = 0;
    }
}

static bool begins(const char *words, const char *const *list)
{
    for (; *list; list++) {
        if (strncmp(words, *list, strlen(*list)) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(const char *words, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(words, *list) == 0) {
            return true;
        }
    }
    return false;
}

/* "Can you tell me ..." is asked for what follows. */
static const char *without_courtesy(const char *words)
{
    static const char *const openings[] = {" can you ", " could you ", " would you ", " will you ", NULL};
    return begins(words, openings) ? strstr(words, " you ") + strlen(" you") : words;
}

bool input_asks_for_description(const char *text, size_t n)
{
    /* Whole sentences: with more after them ("what is this animal") they are questions. */
    static const char *const wholes[] = {" ",
                                         " what is this ",
                                         " what is this image ",
                                         " what is this image of ",
                                         " what is this image about ",
                                         " what does this image show ",
                                         " what does this image contain ",
                                         " what does this image depict ",
                                         " what do you see ",
                                         " what do you see this image ",
                                         " what do you see here ",
                                         " what can you see ",
                                         " what can you see this image ",
                                         " what is here ",
                                         " what is happening ",
                                         " what is happening here ",
                                         " what is happening this image ",
                                         " what is going ",
                                         " what is going here ",
                                         " what is going this image ",
                                         " image ",
                                         " this image ",
                                         NULL};
    static const char *const openings[] = {" tell about this image ",
                                           " tell what you see ",
                                           " tell what is this image ",
                                           " explain this image ",
                                           " summarize this image ",
                                           " summarise this image ",
                                           NULL};
    static const char *const questions[] = {" what ", " which ", " who ", " whose ", " where ", " when ",
                                            " why ",  " how ",   " is ",  " are ",   " was ",   " were ",
                                            " does ", " do ",    " did ", " has ",   " have ",  NULL};
    struct buf words;
    buf_init(&words, 2 * LOOK_BYTES + 64);
    plain_words(text, n < LOOK_BYTES ? n : LOOK_BYTES, &words);
    const char *w = without_courtesy(words.bytes ? words.bytes : " ");
    bool names_it =
        strstr(w, " caption ") || strstr(w, " captions ") || strstr(w, " alt text ") || strstr(w, " alttext ");
    bool is_wanted = is_one_of(w, wholes) || begins(w, openings) || (names_it && !begins(w, questions)) ||
                     input_languages_ask(text, n < LOOK_BYTES ? n : LOOK_BYTES);
    buf_release(&words);
    return is_wanted;
}
