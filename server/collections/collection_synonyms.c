/* What people call the things that detectors have names for: the first pass compares words, and a stored image has the
 * names of its regions, so "puppy" has to lead to "dog". Right of each name stand words that mean it, a kind of it, or
 * a group that it belongs to. */
#include "server/collections/collection_private.h"

#include <string.h>

static const struct {
    const char *name, *words; /* singular, lower case, between blanks */
} synonyms[] = {
    {"person", " man woman boy girl child kid baby infant toddler people human guy lady gentleman adult teenager player"
               " skier surfer rider worker bride groom crowd family someone pedestrian skateboarder snowboarder "},
    {"man", " guy gentleman male groom father dad "},
    {"woman", " lady female bride mother mom "},
    {"child", " kid toddler baby infant boy girl "},
    {"bicycle", " bike cycle cyclist biker vehicle "},
    {"car", " automobile auto sedan taxi cab suv jeep vehicle traffic van "},
    {"motorcycle", " motorbike moped scooter biker vehicle "},
    {"airplane", " plane aeroplane aircraft jet airliner vehicle "},
    {"bus", " coach minibus vehicle "},
    {"train", " locomotive railway tram subway metro vehicle "},
    {"truck", " lorry pickup trailer vehicle van "},
    {"boat", " ship canoe kayak yacht vessel ferry sailboat vehicle "},
    {"traffic light", " stoplight "},
    {"fire hydrant", " hydrant "},
    {"bench", " seat "},
    {"bird", " pigeon seagull gull duck goose parrot owl sparrow swan chicken animal "},
    {"cat", " kitten kitty tabby feline pet animal "},
    {"dog", " puppy pup hound terrier retriever poodle spaniel labrador canine doggy pet animal "},
    {"horse", " pony foal stallion mare colt animal "},
    {"sheep", " lamb ram ewe goat animal "},
    {"cow", " cattle bull calf ox steer animal "},
    {"elephant", " animal "},
    {"bear", " cub grizzly animal "},
    {"zebra", " animal "},
    {"giraffe", " animal "},
    {"backpack", " rucksack knapsack bag luggage "},
    {"umbrella", " parasol "},
    {"handbag", " purse bag "},
    {"tie", " necktie "},
    {"suitcase", " luggage baggage bag trunk "},
    {"frisbee", " disc "},
    {"skis", " ski skier skiing "},
    {"snowboard", " snowboarder snowboarding "},
    {"sports ball", " ball football soccer basketball baseball tennis volleyball "},
    {"baseball bat", " bat "},
    {"baseball glove", " glove mitt "},
    {"skateboard", " skateboarder skateboarding skater "},
    {"surfboard", " surfer surfing "},
    {"tennis racket", " racket racquet "},
    {"bottle", " flask drink "},
    {"wine glass", " wine goblet drink "},
    {"cup", " mug coffee tea drink "},
    {"knife", " cutlery blade "},
    {"fork", " cutlery "},
    {"spoon", " cutlery "},
    {"bowl", " dish soup "},
    {"banana", " fruit food "},
    {"apple", " fruit food "},
    {"orange", " fruit citrus food "},
    {"sandwich", " burger hamburger toast food snack "},
    {"broccoli", " vegetable food "},
    {"carrot", " vegetable food "},
    {"hot dog", " sausage hotdog food "},
    {"pizza", " food "},
    {"donut", " doughnut pastry food "},
    {"cake", " dessert pastry cupcake food "},
    {"chair", " seat stool armchair furniture "},
    {"couch", " sofa settee furniture "},
    {"potted plant", " plant houseplant flower pot "},
    {"bed", " mattress bedroom furniture "},
    {"dining table", " table desk furniture "},
    {"toilet", " bathroom restroom lavatory "},
    {"tv", " television screen monitor display "},
    {"laptop", " computer notebook pc "},
    {"remote", " controller "},
    {"cell phone", " phone smartphone mobile cellphone telephone iphone "},
    {"microwave", " appliance kitchen "},
    {"oven", " stove cooker appliance kitchen "},
    {"toaster", " appliance "},
    {"sink", " basin washbasin bathroom kitchen "},
    {"refrigerator", " fridge freezer appliance kitchen "},
    {"book", " novel reading library "},
    {"clock", " watch time "},
    {"vase", " pot flower "},
    {"scissors", " shears "},
    {"teddy bear", " teddy plush toy stuffed "},
    {"hair drier", " hairdryer dryer "},
    {"toothbrush", " brush "},
    {"beach", " seaside shore coast seashore "},
    {"ocean", " sea wave "},
};

static bool has_word(const char *words, const char *word, int n)
{
    for (const char *at = words; (at = strstr(at, " ")) && at[1]; at++) {
        if (strncmp(at + 1, word, (size_t)n) == 0 && at[1 + n] == ' ') {
            return true;
        }
    }
    return false;
}

/* The word, and what it may be the plural of. */
static bool means(const char *words, const char *word, int n)
{
    char singular[64];
    if (n < 2 || n >= (int)sizeof(singular)) {
        return false;
    }
    if (has_word(words, word, n) || (word[n - 1] == 's' && has_word(words, word, n - 1)) ||
        (n > 3 && memcmp(word + n - 2, "es", 2) == 0 && has_word(words, word, n - 2))) {
        return true;
    }
    if (n <= 4 || memcmp(word + n - 3, "ies", 3) != 0) {
        return false;
    }
    memcpy(singular, word, (size_t)n - 3);
    singular[n - 3] = 'y';
    return has_word(words, singular, n - 2);
}

int collection_synonyms(const char *word, int n_word, const char *out[], int limit)
{
    int n = 0;
    for (size_t i = 0; i < sizeof(synonyms) / sizeof(synonyms[0]) && n < limit; i++) {
        if (means(synonyms[i].words, word, n_word)) {
            out[n++] = synonyms[i].name;
        }
    }
    return n;
}
