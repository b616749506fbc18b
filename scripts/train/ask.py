"""Questions by rule from captions: there is a ..., how many, what colour, what is the ... doing, holding, where, which sport,
and COCO-QA's way of asking for the subject ("what is running through the snow ?").

All captions of a picture are read together: what one says may not be denied because another leaves it out, and "no" is asked
only about things that somebody would have mentioned (SALIENT), in none of their names."""
import random
import re
from collections import Counter, defaultdict

from train import data

COLOURS = ("red blue green yellow white black brown orange pink purple gray tan silver").split()
ANY_COLOUR = "|".join(COLOURS)
NUMBERS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"}
PLURAL = "[a-z]+s|people|men|women|children"
MANY = {"man": "men", "woman": "women", "sheep": "sheep"}
PERSONS = ("man woman boy girl child person lady guy kid baby toddler skateboarder surfer skier snowboarder batter player "
           "skater cyclist biker climber").split()
# Names of one thing; the first is the answer. A name that covers another (people: man) stands in its row too.
SALIENT = [row.split() for row in (
    "dog dogs puppy puppies", "cat cats kitten kittens", "horse horses pony", "cow cows cattle bull calf", "sheep lamb lambs",
    "elephant elephants", "bear bears", "zebra zebras", "giraffe giraffes", "bird birds seagull seagulls parrot duck ducks owl",
    "bus buses", "train trains", "airplane airplanes plane planes jet jets", "boat boats canoe kayak ship sailboat",
    "motorcycle motorcycles motorbike motorbikes", "bicycle bicycles bike bikes bicyclist cyclist biker", "truck trucks",
    "car cars", "umbrella umbrellas", "kite kites", "surfboard surfboards surfer surfing surf", "skateboard skateboards skateboarder "
    "skateboarding skater", "snowboard snowboarder snowboarding snowboards", "frisbee frisbees disc", "pizza pizzas",
    "cake cakes cupcake", "sandwich sandwiches", "banana bananas", "toilet toilets", "bed beds bedroom", "laptop laptops computer "
    "computers", "clock clocks", "refrigerator fridge refrigerators", "snow snowy snowboarder skier skiing ski skis sledding",
    "beach ocean sea shore", "bathtub tub", "bench benches", "baby babies infant toddler", "flag flags", "tent tents")]
ACTIVITIES = ("running jumping sitting standing walking swimming sleeping eating riding skateboarding surfing skiing snowboarding "
              "climbing playing flying laying lying swinging sliding talking cooking reading smiling drinking dancing "
              "crawling kneeling grazing driving").split()
APART = ("running", "sitting", "standing", "swimming", "sleeping", "flying", "skiing", "surfing", "skateboarding", "climbing")
OBJECTS = "riding|holding|eating|throwing|catching|carrying|wearing|chasing|pulling|kicking|hitting"
PLACES = ("beach snow grass water field street kitchen bathroom bedroom park pool ocean bench couch bed table sidewalk road tree "
          "river lake sand mountain hill forest woods desk chair boat fence counter swing slide playground yard track").split()
ROOMS = {"kitchen": "kitchen", "bathroom": "bathroom", "bedroom": "bedroom", "living room": "living room", "restaurant": "restaurant",
         "office": "office", "toilet": "bathroom", "stove": "kitchen"}
SPORTS = {"tennis": "tennis", "baseball": "baseball", "soccer": "soccer", "basketball": "basketball", "football": "football",
          "skateboard": "skateboarding", "skateboarder": "skateboarding", "surfboard": "surfing", "surfer": "surfing", "surfing": "surfing",
          "skiing": "skiing", "skier": "skiing", "snowboard": "snowboarding", "snowboarder": "snowboarding", "frisbee": "frisbee",
          "volleyball": "volleyball", "hockey": "hockey", "lacrosse": "lacrosse", "rugby": "rugby"}
ANIMALS = [row[0] for row in SALIENT[:10]]
WHO = "|".join(PERSONS + ANIMALS)
ADJECTIVES = set(COLOURS) | set("grey small large big young old little tall brown-haired furry wet long short two three".split())
VERBS = r"(?:is|are|sits|stands|runs|walks|rides|jumps|plays|lies|lays|flies|holds|eats|looks|swims|climbs|parked|sitting|standing|" \
        r"running|walking|riding|jumping|playing|laying|lying|flying|holding|eating|looking|swimming|climbing|sleeping|filled|covered|topped|" \
        r"next|grazing|wearing|with|leaping|catching|chasing|carrying)"
NO_NOUN = set(COLOURS) | set("and is in on with of a the while are at or that who which there it he she they top front back one side".split())
SUBJECT = re.compile(rf"^(?:a|an|the|two|three|one)\s+((?:[a-z-]+\s+){{0,3}}?)([a-z-]+)\s+({VERBS})\s+(.+)$")
END = r"(?=$|\s(?:is|are|in|on|at|with|while|and|or|through|near|of|from|to|over|down|by|next|as|for|into|up|along|across|behind|under|that|" \
      r"sits?|stands?|runs?|walks?|jumps?|[a-z]+ing)\b)"
NOUN = r"(?:a|an|the|his|her|their|its|some)\s+(?:[a-z]+\s+){0,2}?([a-z]+)" + END


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


class Picture:
    """What the captions of one picture say, together."""

    def __init__(self, texts, rng):
        self.texts = [" ".join(re.findall(r"[a-z-]+", t.lower().replace("grey", "gray"))) for t in texts]
        self.words = Counter(w for t in self.texts for w in set(t.split()))
        self.rng, self.out = rng, []

    def ask(self, kind: str, answers, *texts):
        answers = [answers] if isinstance(answers, str) else answers
        self.out.append((kind, self.rng.choice(texts), answers))

    def everything(self):
        for part in (self.exists, self.counts, self.colours, self.doing, self.objects, self.where, self.whole, self.subjects):
            part()
        return self.out

    def exists(self):
        there = [row for row in SALIENT if any(self.words[w] for w in row)]
        if not there:
            return
        absent = [row for row in SALIENT if row not in there]
        for row, answer in [(self.rng.choice(there), "yes"), (self.rng.choice(absent), "no")]:
            x = article(row[0]) if row[0] not in ("snow", "sheep") else row[0]
            ways = ("is there", "do you see", "does the picture show", "can you see", "is this a picture of")
            self.ask("exists", answer, f"is there {x} in the picture?", *(f"{words} {x}?" for words in ways))

    def counts(self):
        found = defaultdict(Counter)
        for t in self.texts:
            for number, noun in re.findall(rf"\b({'|'.join(NUMBERS)})\s+(?:[a-z]+\s+)??({PLURAL})\b", t):
                found[noun][number] += 1
        for noun, numbers in found.items():
            number, times = numbers.most_common(1)[0]
            if times == sum(numbers.values()):
                self.ask("number", NUMBERS[number], f"how many {noun} are there?", f"how many {noun} are in the picture?", f"how many {noun}?")
        for noun in PERSONS[:4] + ANIMALS:
            if self.words[noun] >= 4 and not not found and self.rng.random() < 0.3 \
                    and not any(w.startswith(noun) and w != noun for w in self.words):
                self.ask("number", "1", f"how many {MANY.get(noun, noun + 's')} are there?")
        for t in self.texts:
            m = re.match(rf"^({'|'.join(NUMBERS)})\s+(?:[a-z]+\s+)?({PLURAL})\s+(?:are\s+)?([a-z]+ing)\s+(.+)$", t)
            if m:
                self.ask("subject", m[1], f"how many {m[2]} are {m[3]} {m[4]} ?")

    def colours(self):
        found = defaultdict(Counter)
        for t in self.texts:
            for colour, second, noun in re.findall(rf"\b({ANY_COLOUR})(?: and ({ANY_COLOUR}))?\s+(?:[a-z]+\s+)??([a-z]+){END}", t):
                if noun not in NO_NOUN and not noun.endswith("ing"):
                    found[noun][f"{colour} and {second}" if second else colour] += 1
        for noun, names in list(found.items())[:3]:
            colour, times = names.most_common(1)[0]
            be = "are" if noun.endswith("s") and noun not in ("bus", "grass", "dress", "glass") else "is"
            self.ask("colour", colour, f"what color {be} the {noun}?", f"what color {be} the {noun}?", f"what is the color of the {noun} ?")
            if len(names) == 1 and " " not in colour:
                other = self.rng.choice([c for c in COLOURS if c != colour])
                self.ask("exists", *self.rng.choice([("yes", f"{be} the {noun} {colour}?"), ("no", f"{be} the {noun} {other}?")]))

    def doing(self):
        found = defaultdict(Counter)
        for t in self.texts:
            for who, what in re.findall(rf"\b({WHO}|people)\s+(?:[a-z]+\s+)?(?:is\s+|are\s+)?([a-z]+ing)\b", t):
                if what in ACTIVITIES:
                    found[who][what] += 1
        for who, whats in list(found.items())[:2]:
            be = "are" if who == "people" else "is"
            self.ask("doing", list(dict.fromkeys(w for w, _ in whats.most_common(2))), f"what {be} the {who} doing?")
            said = {w for w in APART if self.words[w]}
            if said and self.rng.random() < 0.5:
                self.ask("exists", "yes", f"{be} the {who} {whats.most_common(1)[0][0]}?")
            elif len(said) == 1 and who in ("man", "woman", "boy", "girl", "dog"):
                self.ask("exists", "no", f"{be} the {who} {self.rng.choice([w for w in APART if w not in said])}?")

    def objects(self):
        found = defaultdict(Counter)
        for t in self.texts:
            for who, verb, what in re.findall(rf"\b({WHO})\s+(?:is\s+|are\s+)?({OBJECTS})\s+{NOUN}", t):
                found[who, verb][what] += 1
        for (who, verb), whats in list(found.items())[:3]:
            self.ask("object", list(dict.fromkeys(w for w, _ in whats.most_common(2))), f"what is the {who} {verb} ?")

    def where(self):
        found = defaultdict(Counter)
        for t in self.texts:
            m = re.search(rf"\b(?:in|on|at|through|along)\s+(?:top of\s+)?(?:a|an|the)?\s*(?:[a-z]+\s+)??({'|'.join(PLACES)})\b", t)
            who = re.search(rf"\b({WHO})\b", t)
            if m and who:
                found[who[1]][m[1]] += 1
        for who, places in list(found.items())[:1]:
            self.ask("where", list(dict.fromkeys(p for p, _ in places.most_common(2))), f"where is the {who}?", f"where is the {who} ?")

    def whole(self):
        together = " ".join(self.texts)
        rooms = ("what room is this?", "what room is it?", "where was this picture taken?")
        sports = ("what sport is this?", "what sport is being played?", "what game is being played?", "what are they playing?")
        for table, texts in ((ROOMS, rooms), (SPORTS, sports)):
            named = Counter(table[w] for w in table if re.search(rf"\b{w}\b", together))
            if len(named) == 1:
                self.ask("whole", next(iter(named)), *texts)
        animals = [row[0] for row in SALIENT[:10] if sum(self.words[w] for w in row) >= 3]
        if len(animals) == 1:
            self.ask("whole", animals[0], "what animal is this?", "what kind of animal is shown?", "what animal is in the picture?",
                     "what type of animal is this?")
        persons = [p for p in PERSONS[:5] if self.words[p] >= 3]
        if len(persons) == 1 and not animals:
            self.ask("whole", persons[0], "who is in the picture?", "who is this?", "who is shown?")

    def subjects(self):
        for t in self.texts:
            m = SUBJECT.match(t)
            if not m or m[2] in ADJECTIVES | NO_NOUN or m[2].endswith("ing") or len(m[4].split()) > 9:
                continue
            plural = t.startswith(("two", "three"))
            verb = m[3]
            if verb == "with":
                continue
            if verb.endswith("ing") or verb in ("parked", "next", "covered", "filled", "topped"):
                verb = ("are " if plural else "is ") + verb
            who = "who" if m[2] in PERSONS and self.rng.random() < 0.5 else "what"
            self.ask("subject", m[2], f"{who} {verb} {m[4]} ?")


def questions(captions, seed: int, most=10) -> list[data.Question]:
    """At most `most` questions about each training picture, "yes" as often as "no"."""
    rng, out = random.Random(seed), []
    for c in captions:
        if c.split != "train":
            continue
        found = Picture(c.texts, rng).everything()
        found = rng.sample(found, min(most, len(found)))
        out += [data.Question(c.image, text, answers, "train", "rule", kind, n) for n, (kind, text, answers) in enumerate(found)]
    yes, no = ([q for q in out if q.answers == [a]] for a in ("yes", "no"))
    fewer = min(len(yes), len(no))
    keep = {id(q) for q in rng.sample(yes, fewer) + rng.sample(no, fewer)}
    return [q for q in out if q.answers[0] not in ("yes", "no") or id(q) in keep]
