/* Which texts ask for a description of the picture, and which are questions about it, in several languages. */
#include "server/input/input_private.h"

#include "tests/support/check.h"

static void check(bool is_wanted, const char *text)
{
    if (input_asks_for_description(text, strlen(text)) != is_wanted) {
        fprintf(stderr, "%s: a %s\n", text, is_wanted ? "description" : "question");
        CHECK(false);
    }
}

static const char *const descriptions[] = {
    /* German, Dutch, Swedish, Danish */
    "Beschreibe das Bild",
    "Bitte beschreiben Sie dieses Foto.",
    "Kannst du das Bild beschreiben?",
    "Eine kurze Bildunterschrift, bitte",
    "Was ist auf dem Bild zu sehen?",
    "Was siehst du auf diesem Foto?",
    "Was ist das?",
    "Was zeigt dieses Bild?",
    "Erzähl mir etwas über das Bild",
    "Schreibe einen Alternativtext",
    "Das Bild?",
    "Beschrijf de afbeelding",
    "Wat zie je op deze foto?",
    "Wat is er te zien?",
    "Kun je deze foto beschrijven?",
    "Beskriv bilden",
    "Vad ser du på bilden?",
    /* French */
    "Décris cette image",
    "DÉCRIS CETTE IMAGE",
    "Decrivez la photo svp",
    "Peux-tu décrire cette image ?",
    "De\314\201cris l'image",
    "Que vois-tu sur cette photo ?",
    "Qu'est-ce que c'est ?",
    "Qu\u2019y a-t-il sur l\u2019image ?",
    "Que montre cette image ?",
    "Donne une description de la photo",
    "Que se passe-t-il sur cette image ?",
    "Dis-moi ce que tu vois",
    /* Spanish */
    "Describe la imagen",
    "Describa esta foto, por favor",
    "¿Puedes describir la imagen?",
    "¿Qué ves en esta imagen?",
    "¿Qué hay en la foto?",
    "¿Qué es esto?",
    "Dame una descripción de la foto",
    "Dime qué ves",
    "Un pie de foto",
    /* Italian */
    "Descrivi l'immagine",
    "Cosa vedi in questa foto?",
    "Che cos'è questo?",
    "Cosa c'è nell'immagine?",
    "Scrivi una didascalia",
    /* Portuguese */
    "Descreva a imagem",
    "O que você vê nesta imagem?",
    "O que há na foto?",
    "O que é isso?",
    "Uma descrição da imagem",
    "O que está acontecendo?",
    /* Polish, Czech, Turkish, Indonesian, Finnish, Romanian */
    "Opisz zdjęcie",
    "Co widzisz na tym zdjęciu?",
    "Popiš obrázek",
    "Bu resimde ne var?",
    "Resmi açıkla",
    "Jelaskan gambar ini",
    "Kuvaile kuva",
    "Descrie imaginea",
    /* Russian, Ukrainian, Greek */
    "Опиши картинку",
    "Опишите, что на фото",
    "ОПИШИ ФОТО",
    "Что на картинке?",
    "Что ты видишь на этой фотографии?",
    "Що на фото?",
    "Περιέγραψε την εικόνα",
    /* Chinese, Japanese, Korean */
    "描述这张图片",
    "请描述一下图片。",
    "這是什麼？",
    "这张图片里有什么？",
    "你看到了什么",
    "この画像を説明してください",
    "写真に何が写っていますか？",
    "これは何ですか？",
    "이 이미지를 설명해 주세요",
    "이게 뭐야?",
    /* Arabic, Persian, Hebrew, Hindi, Thai, Vietnamese */
    "صف هذه الصورة",
    "این تصویر را توصیف کن",
    "תאר את התמונה",
    "इस चित्र का वर्णन करें",
    "อธิบายภาพนี้",
    "Hãy mô tả bức ảnh",
};

static const char *const questions[] = {
    "Welche Farbe hat die Katze?",
    "Was ist das für ein Tier?",
    "Wie viele Hunde sind auf dem Bild?",
    "Ist das ein Hund?",
    "Beschreibe die Farbe des Autos",
    "Kannst du die Farbe des Autos beschreiben?",
    "Was macht der Mann auf dem Bild?",
    "Wer hat die Beschreibung geschrieben?",
    "Was liegt auf dem Tisch?",
    "Welke kleur heeft de kat?",
    "Wat doet de man op de foto?",
    "Vilken färg har katten?",
    "De quelle couleur est le chat ?",
    "Décris la couleur du chat",
    "Qu'est-ce qu'il y a sur la table ?",
    "Combien de chiens ?",
    "Qui a écrit la description ?",
    "Que fait l'homme ?",
    "¿De qué color es el gato?",
    "Describe el color del gato",
    "¿Qué hay en la mesa?",
    "¿Cuántos perros hay en la foto?",
    "Di che colore è il gatto?",
    "Cosa fa l'uomo nella foto?",
    "Descrivi il colore del gatto",
    "De que cor é o gato?",
    "O que há na mesa?",
    "O que o homem está fazendo?",
    "Quantos cães há na imagem?",
    "Jakiego koloru jest kot?",
    "Co robi mężczyzna?",
    "Kedi ne renk?",
    "Какого цвета кошка?",
    "Опиши цвет кошки",
    "Что делает мужчина на фото?",
    "Сколько собак?",
    "猫是什么颜色？",
    "桌子上有什么？",
    "描述猫的颜色",
    "这是什么动物？",
    "猫は何色ですか？",
    "これは何の動物ですか？",
    "テーブルの上に何がありますか",
    "고양이는 무슨 색이에요?",
    "ما لون القطة؟",
    "Con mèo màu gì?",
    "Who is described?",
    "Is this the legend?",
    "opposition",
    "\xff\xfe",
    "3",
};

static void test_languages(void)
{
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]); i++) {
        check(true, descriptions[i]);
    }
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        check(false, questions[i]);
    }
}

/* Words and sentences of any length, whole lists of them, and what is no UTF-8. */
static void test_long(void)
{
    char text[4096];
    for (size_t n = 1; n <= sizeof(text); n *= 2) {
        memset(text, 'x', n);
        CHECK(!input_asks_for_description(text, n));
        memset(text, ' ', n);
        CHECK(input_asks_for_description(text, n));
        memset(text, '\xc3', n);
        CHECK(!input_asks_for_description(text, n));
    }
    for (size_t i = 0; i + 4 <= sizeof(text); i += 4) {
        memcpy(text + i, "|ab ", 4);
    }
    CHECK(!input_asks_for_description(text, sizeof(text)));
}

int main(void)
{
    test_languages();
    test_long();
    return check_result();
}
