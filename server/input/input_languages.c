/* Requests for a description in languages other than English. Only the commonest ways to ask are known; whatever is not
 * recognised is a question, as in English. */
#include "server/input/input_private.h"

#include "engine/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 40, ENTRY_MAX = 90 };

/* ---- the words, in small letters without accents ---- */

/* Letters with accents of Latin-1 (U+00E0 to U+00FF) as the letters that people type who have no such keys. */
static const char *const latin1[32] = {"a", "a", "a", "a", "a", "a", "ae", "c", "e",  "e", "e",
                                       "e", "i", "i", "i", "i", "d", "n",  "o", "o",  "o", "o",
                                       "o", "",  "o", "u", "u", "u", "u",  "y", "th", "y"};
/* The same of what European languages take from Latin Extended-A (U+0100 to U+017F), pairs of upper and lower case. */
static const struct {
    uint32_t first, last;
    char letter;
} extended[] = {{0x100, 0x105, 'a'}, {0x106, 0x10d, 'c'}, {0x10e, 0x111, 'd'}, {0x112, 0x11b, 'e'}, {0x11c, 0x123, 'g'},
                {0x128, 0x131, 'i'}, {0x139, 0x142, 'l'}, {0x143, 0x148, 'n'}, {0x14c, 0x151, 'o'}, {0x154, 0x159, 'r'},
                {0x15a, 0x161, 's'}, {0x162, 0x167, 't'}, {0x168, 0x173, 'u'}, {0x179, 0x17e, 'z'}};

static bool is_gap(uint32_t code)
{
    return (code < 0x80 && !(code >= '0' && code <= '9') && !((code | 32) >= 'a' && (code | 32) <= 'z')) ||
           (code >= 0xa0 && code < 0xc0) || (code >= 0x2000 && code < 0x2070) || (code >= 0x3000 && code < 0x3003) ||
           code == 0xff01 || code == 0xff0c || code == 0xff1f; /* the wide ! , ? */
}

/* Small, and without its accent; other scripts as they are, but for capitals of Greek and Cyrillic. */
static void add_letter(struct buf *out, uint32_t code, const char *bytes, size_t n)
{
    char utf8[UTF8_MAX];
    for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
        if (code >= extended[i].first && code <= extended[i].last) {
            buf_append(out, &extended[i].letter, 1);
            return;
        }
    }
    if (code >= 'A' && code <= 'Z') {
        code += 32;
    } else if (code >= 0xc0 && code <= 0xde && code != 0xd7) {
        code += 32;
    } else if ((code >= 0x391 && code <= 0x3a9) || (code >= 0x410 && code <= 0x42f)) {
        code += 32;
    }
    if (code == 0xdf) {
        buf_text(out, "ss");
    } else if (code >= 0xe0 && code <= 0xff) {
        buf_text(out, latin1[code - 0xe0]);
    } else if (code >= 0x300 && code <= 0x36f) {
        return; /* an accent of its own (NFD) */
    } else if (code < 0x80 || (code >= 0x391 && code <= 0x4ff)) {
        buf_append(out, utf8, utf8_write(code, utf8));
    } else {
        buf_append(out, bytes, n);
    }
}

/* " decris cette image ": a space before and behind each word. */
static void fold(const char *text, size_t n, struct buf *out)
{
    buf_text(out, " ");
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t k = utf8_next(text + i, n - i, &code);
        k = k ? k : 1;
        if (!is_gap(code)) {
            add_letter(out, code, text + i, k);
        } else if (out->n && out->bytes[out->n - 1] != ' ') {
            buf_text(out, " ");
        }
        i += k;
    }
    if (out->n && out->bytes[out->n - 1] != ' ') {
        buf_text(out, " ");
    }
}

/* ---- what is asked ---- */

/* Lists of words are texts with a space around each word, lists of sentences with a | around each. A stem has a space
 * before it. */

/* Verbs, wherever they stand. English; German, Dutch, Scandinavian; French, Spanish, Italian, Portuguese, Romanian;
 * Polish, Czech, Turkish, Indonesian, Finnish; Russian and Ukrainian; Greek. */
static const char *const verbs[] = {" describe ",  " describing ", " beschreib", " beschrijf",     " beschrijv",
                                    " omschrijf",  " omschrijv",   " beskriv",   " decri",         " describa",
                                    " describir ", " describem",   " describel", " descriv",       " descrie ",
                                    " descrev",    " opisz",       " opisa",     " popis",         " betimle",
                                    " tarif et",   " acikla",      " jelaskan ", " deskripsikan ", " gambarkan ",
                                    " kuvaile ",   " опиши",       " описа",     " περιεγρ",       " περιέγρ"};
/* Nouns, which are also asked about: "Who wrote the description?" */
static const char *const nouns[] = {" description",        " beschreibung",
                                    " bildbeschreibung",   " bildunterschrift",
                                    " bildtext ",          " beschrijving",
                                    " omschrijving",       " bijschrift",
                                    " beskrivning",        " beskrivelse",
                                    " bildtekst",          " descripcion",
                                    " descrizion",         " descricao ",
                                    " didascalia ",        " legende ",
                                    " legenda ",           " leyenda ",
                                    " pie de foto ",       " texte alternatif ",
                                    " texto alternativo ", " testo alternativo ",
                                    " alternativtext ",    " opis ",
                                    " deskripsi ",         " kuvaus",
                                    " описание ",          " опис ",
                                    " подпись ",           " περιγραφ"};
static const char question_words[] =
    " what which who whose where when why how is are was were does do did has have wer wie wo wann warum welche "
    "welcher welches wieviel qui que quoi quel quelle ou comment combien pourquoi quien cual como donde cuando "
    "cuanto chi cosa quale come dove quando quanto perche quem qual onde quantos wat waar welke hoeveel qu vad "
    "vem hvad co kto кто что где какой ";
/* In scripts that have no spaces, or join small words to others: anywhere. Chinese, Japanese, Korean, Arabic, Persian,
 * Hebrew, Hindi, Thai, Vietnamese. */
static const char *const anywhere[] = {
    "描述",     "描繪",   "描绘",     "形容",   "介绍一下",     "介紹一下", "看图说话", "说明这张",
    "說明這張", "描写",   "説明して", "説明を", "キャプション", "何が写",   "何が映",   "何が見え",
    "설명해",   "설명하", "묘사",     "캡션",   " صف ",         " صفي ",    " وصف",     " اوصف",
    "توصیف",    "תאר",    "वर्णन",     "อธิบาย",  "บรรยาย",       "mo tả",    "mieu tả"};

/* Not the picture is described then, but one property of something in it: a question. */
static const char properties[] =
    " color colour shape size number breed species material position location weather brand age make pattern "
    "farbe form grosse anzahl rasse marke wetter kleur vorm grootte aantal ras merk weer couleur forme taille "
    "nombre race marque meteo forma tamano numero raza marca clima tiempo colore dimensione razza cor tamanho "
    "raca tempo kolor farge farg farve цвет форму размер породу марку погоду ";
static const char *const properties_anywhere[] = {"颜色", "顏色", "形状", "数量", "色を", "色は", "色について", "색"};

/* Words that say nothing about what is asked: articles, prepositions, courtesies, and names of the picture. */
static const char small_words[] =
    " "
    /* English, German, Dutch */
    "the this that an my your of das der die den dem des ein eine einen einem auf in im am an hier da bild bilder "
    "foto fotos photo aufnahme diesem dieses diese dieser bitte mir mal mich du man zu denn alles genau sag sage "
    "erzahl erzahle etwas uber ueber het op dit deze afbeelding plaatje er te je u me mij alsjeblieft aub vertel "
    "eens over "
    /* French */
    "le la les l un une de du d ce cet cette ces sur dans en ici image images photos photographie y t il on tu "
    "vous moi nous stp svp s te plait dis dites c "
    /* Spanish, Italian, Portuguese */
    "el los las una unos este esta esto aqui imagen imagenes fotografia por favor nos usted se lo del dime "
    "cuentame i gli nel nella nell sul sulla di della dell questa questo quest qui immagine foto per mi ci dimmi "
    "o a os as um uma no na nesta neste nessa nesse do da esse essa isso isto imagem voce aqui diga "
    /* Polish, Swedish, Danish, Norwegian, Turkish */
    "tym tej na w obrazie obrazku zdjeciu zdjecie fotografii to bilden bildet billedet fotot den har pa paa her "
    "bu resimde fotografta gorselde "
    /* Russian, Ukrainian */
    "на в этом этой эта это картинке картинка фото фотографии фотография изображении снимке тут здесь ты вы мне "
    "пожалуйста скажи расскажи цьому цій зображенні картинці ";

/* What is left of a sentence that asks what there is to see. */
static const char asking[] =
    "|"
    /* German, Dutch, Swedish, Danish */
    "was ist|was ist sehen|was siehst|was sieht|was seht|was sehen sie|was kannst sehen|was kann sehen|was zeigt|"
    "was gibt es|was gibt es sehen|was passiert|was geschieht|was erkennst|was ist abgebildet|was ist dargestellt|"
    "was befindet sich|wat is|wat zie|wat ziet|wat is zien|wat kun zien|wat staat|wat toont|wat gebeurt|vad ar|"
    "vad ar det|vad ser|vad finns|hvad ser|hvad|hva ser|hva|"
    /* French */
    "que vois|que voyez|que voit|que montre|que represente|que contient|que passe|qu|qu est que est|qu est que qu|"
    "qu est qu|qu est qu voit|qu est que vois|qu est passe|est quoi|que peux voir|"
    /* Spanish */
    "que ves|que ve|que hay|que es|que muestra|que aparece|que contiene|que pasa|que pasando|que sucede|"
    "que ocurre|que puedes ver|que observas|"
    /* Italian, Portuguese */
    "cosa vedi|cosa vede|cosa e|cos e|che cosa e|che cosa vedi|che cos e|che vedi|cosa mostra|che cosa mostra|"
    "cosa rappresenta|cosa raffigura|cosa contiene|cosa succede|cosa sta succedendo|que ha|que tem|que e|"
    "que mostra|que contem|que acontece|que acontecendo|que consegue ver|"
    /* Polish, Turkish */
    "co widzisz|co jest|co przedstawia|co dzieje sie|co sie dzieje|ne var|ne goruyorsun|"
    /* Russian, Ukrainian */
    "что|что видишь|что видите|что видно|что изображено|что показано|что происходит|що|що зображено|що бачиш|";

/* The same in Chinese, Japanese and Korean, as whole sentences and without spaces. */
static const char asking_whole[] =
    "|这是什么|這是什麼|图片里有什么|图片中有什么|这张图片里有什么|这张图片中有什么|這張圖片裡有什麼|"
    "这张照片里有什么|图中有什么|图里有什么|这张图里有什么|照片里有什么|你看到了什么|你看到什么|你看見什麼|"
    "你能看到什么|图片内容是什么|这张图片的内容是什么|图片上有什么|这张图片上有什么|发生了什么|これは何ですか|"
    "これは何|これはなんですか|何がありますか|この画像は何ですか|この写真は何ですか|何が起きていますか|이게뭐야|"
    "이것은무엇입니까|무엇이보이나요|뭐가보여|사진에무엇이있나요|이미지에무엇이있나요|";

static bool is_in(const char *list, const char *word, size_t n)
{
    char spaced[WORD_MAX + 2];
    if (n > WORD_MAX - 1) {
        return false;
    }
    snprintf(spaced, sizeof(spaced), " %.*s ", (int)n, word);
    return strstr(list, spaced);
}

/* The first word from there on that is no small one: whether it is a property. *is_end: there is none. */
static bool is_property(const char *at, bool *is_end)
{
    *is_end = false;
    while (*at == ' ' && at[1]) {
        size_t n = strcspn(++at, " ");
        if (!is_in(small_words, at, n)) {
            return is_in(properties, at, n);
        }
        at += n;
    }
    *is_end = true;
    return false;
}

static bool has_property(const char *words)
{
    while (*words == ' ' && words[1]) {
        size_t n = strcspn(++words, " ");
        if (is_in(properties, words, n)) {
            return true;
        }
        words += n;
    }
    return false;
}

/* The sentence without its small words. */
static void leave_out(const char *words, struct buf *out)
{
    buf_text(out, " ");
    while (*words == ' ' && words[1]) {
        size_t n = strcspn(++words, " ");
        if (!is_in(small_words, words, n)) {
            buf_append(out, words, n);
            buf_text(out, " ");
        }
        words += n;
    }
}

static const char *find_any(const char *words, const char *const *list, size_t n_list)
{
    for (size_t i = 0; i < n_list; i++) {
        const char *at = strstr(words, list[i]);
        if (at) {
            return at;
        }
    }
    return NULL;
}
#define FIND_ANY(words, list) find_any(words, list, sizeof(list) / sizeof((list)[0]))

static bool is_described(const char *words)
{
    if (FIND_ANY(words, nouns)) {
        return !is_in(question_words, words + 1, strcspn(words + 1, " "));
    }
    const char *verb = FIND_ANY(words, verbs);
    if (verb) { /* German and Dutch may have it at the end */
        bool is_end;
        bool is_one = is_property(verb + 1 + strcspn(verb + 1, " "), &is_end);
        return is_end ? !has_property(words) : !is_one;
    }
    return FIND_ANY(words, anywhere) && !FIND_ANY(words, properties_anywhere);
}

/* Whether the words, without the spaces around them (with_gaps false: without any), are an entry of the list. */
static bool is_entry(const char *list, const char *words, bool with_gaps)
{
    char entry[ENTRY_MAX + 3] = "|";
    size_t n = 1;
    for (words += *words == ' '; *words; words++) {
        if (*words == ' ' && (!with_gaps || !words[1])) {
            continue;
        }
        if (n > ENTRY_MAX) {
            return false;
        }
        entry[n++] = *words;
    }
    snprintf(entry + n, sizeof(entry) - n, "|");
    return n > 1 && strstr(list, entry);
}

bool input_languages_ask(const char *text, size_t n)
{
    struct buf words, rest;
    buf_init(&words, 3 * n + 16);
    buf_init(&rest, 3 * n + 16);
    fold(text, n, &words);
    leave_out(words.bytes ? words.bytes : " ", &rest);
    bool asks = words.bytes && rest.bytes &&
                (is_described(words.bytes) || is_entry(asking, rest.bytes, true) || strcmp(rest.bytes, " ") == 0 ||
                 is_entry(asking_whole, words.bytes, false)); /* or nothing but the picture is named */
    buf_release(&words);
    buf_release(&rest);
    return asks;
}
