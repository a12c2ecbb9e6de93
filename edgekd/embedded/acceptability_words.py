"""Word lists of the acceptability corpus, with the features its templates select on.

Every list is one string.  Words after the ``|`` are *held out*: they are only ever used in the
validation split.  A list without a ``|`` is closed-class and shared by both splits.  Irregular forms
follow the word after colons; regular ones are derived.

* nouns ``singular[:plural]`` have the forms ``sg`` and ``pl``;
* verbs ``base[:past[:participle[:gerund]]]`` have ``base``, ``past``, ``pp`` and ``ing``, and under the
  noun forms ``sg`` and ``pl`` the present tense agreeing with such a subject;
* graded adjectives ``base`` have ``base``, ``er`` and ``est``;
* verbs with a fixed preposition ``past:right:wrong`` have ``base``, ``prep`` and ``wrong``;
* function words spell out all their forms.

A list's comment says what its members have in common: a template may rely on that and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_VOWELS = "aeiou"


@dataclass(frozen=True)
class Word:
    """A lexeme: ``forms`` maps a form name to its spelling; the first form is the default."""

    forms: Mapping[str, str]

    @property
    def lemma(self) -> str:
        """The default form, which also identifies the word across lists."""
        return next(iter(self.forms.values()))


@dataclass(frozen=True)
class WordList:
    """The members of one lexical class, split into words seen in training and held-out ones."""

    seen: tuple[Word, ...]
    held_out: tuple[Word, ...] = ()

    def __add__(self, other: WordList) -> WordList:
        """The union of two classes."""
        return WordList(self.seen + other.seen, self.held_out + other.held_out)

    def members(self, held_out: bool) -> tuple[Word, ...]:
        """Held-out or seen words; closed-class lists have only the latter and always give them."""
        return self.held_out if held_out and self.held_out else self.seen


NOUNS = {
    # People of either sex.
    "person": "doctor teacher lawyer student nurse farmer artist writer singer manager driver neighbor"
    " tourist soldier guest engineer"
    " | surgeon plumber librarian senator architect gardener violinist detective",
    # People whose noun fixes their sex, and relatives, who need a possessor.
    "lady": "woman:women girl queen actress princess | duchess bride countess",
    "gent": "man:men boy king gentleman:gentlemen prince | duke monk groom",
    "rel_f": "mother sister daughter aunt | grandmother niece stepmother",
    "rel_m": "father brother son uncle | grandfather nephew stepfather",
    # Movable things that can be examined, damaged, described, ... and lie on furniture.
    "thing": "book lamp phone camera letter picture box knife:knives ticket clock key map umbrella guitar"
    " | suitcase wallet helmet candle laptop notebook hammer trophy",
    "fragile": "window vase cup plate mirror bowl bottle | teapot jar tile lantern",
    "furniture": "table shelf:shelves desk chair bed counter | bench cabinet piano",
    # Nouns whose plural is not spelt with a plain -s, and that one can see.
    "irregular": "child:children man:men woman:women mouse:mice goose:geese policeman:policemen"
    " | wolf:wolves thief:thieves fisherman:fishermen ox:oxen",
    # What is told or explained.
    "topic": "problem plan story secret idea rule | scheme theory proposal dilemma",
    # Mass nouns; no speaker uses the plural of those in the first list.
    "gear": "furniture equipment luggage jewelry clothing | cutlery footwear",
    "stuff": "sand rice flour sugar | gravel butter",
}

VERBS = {
    # Intransitive verbs for people, which never take an object.
    "iv": "laugh sleep:slept smile arrive cough sneeze cry sigh yawn hesitate faint"
    " | snore shiver giggle weep:wept depart",
    # Transitive verbs for things, which cannot drop their object.
    "tv": "admire examine remove destroy damage discover inspect describe identify touch mention"
    " | acquire obtain dismantle retrieve conceal",
    # Transitive verbs that also make sense with an amount of stuff.
    "use": "use need find:found buy:bought order | collect fetch store",
    # Transitive verbs for people, likewise, and never followed by "to".
    "tvp": "greet thank insult ignore comfort invite recognize | congratulate betray rescue befriend",
    # Verbs for what people do to themselves or to each other.
    "self": "admire hurt:hurt blame defend trust introduce protect embarrass criticize"
    " | injure frustrate pity disguise",
    # Optionally transitive activities.
    "activity": "read:read write:wrote:written:writing sing:sang:sung cook paint"
    " | bake knit:knitted:knitted:knitting draw:drew:drawn",
    # Activities directed with "to", which take no direct object.
    "to": "talk listen wave apologize | nod:nodded:nodded:nodding reply whisper",
    # Past tense and participle differ; any movable thing can be the object.
    "ablaut": "steal:stole:stolen break:broke:broken hide:hid:hidden:hiding take:took:taken:taking"
    " see:saw:seen choose:chose:chosen:choosing shake:shook:shaken:shaking"
    " | throw:threw:thrown tear:tore:torn",
    "ablaut_iv": "fall:fell:fallen sing:sang:sung swim:swam:swum:swimming speak:spoke:spoken go:went:gone"
    " | fly:flew:flown drive:drove:driven:driving freeze:froze:frozen:freezing",
    # Causative alternation, and unaccusatives without a causative use; subject: fragile things.
    "alternating": "break:broke:broken:breaking crack shatter roll drop:dropped:dropped:dropping move"
    " | explode topple spin:spun:spun:spinning",
    "unaccusative": "fall:fell:fallen vanish appear arrive | emerge materialize",
    # Verbs that need an object and a place.
    "put": "put:put:put:putting place lay:laid | set:set:set:setting",
    # "explain the plan to someone", never "explain someone the plan", and the reverse.
    "explain": "explain describe mention announce reveal report | confess disclose",
    "tell": "tell:told show:showed:shown | send:sent hand",
    # Complements: infinitive, gerund, object + infinitive, object + bare infinitive.
    "want": "want hope decide agree refuse promise threaten fail | vow pretend consent",
    "enjoy": "enjoy avoid finish deny keep:kept consider | resist postpone dread",
    "force": "force persuade encourage invite enable | compel:compelled:compelled:compelling oblige tempt",
    "let": "let:let:let:letting make:made:made:making",
    "witness": "see:saw:seen hear:heard watch | notice overhear:overheard",
    # Complements: that-clause only, whether-clause only, object + that-clause.
    "think": "think:thought claim insist suspect | conclude maintain",
    "wonder": "wonder inquire | debate ponder",
    "inform": "tell:told inform convince assure remind | notify reassure",
    "say": "say:said think:thought claim hope | conclude maintain",
}

GRADED = {
    "short": "tall strong young old fast kind smart rich | brave wise poor",
    "short_thing": "old new small large cheap clean | tiny rusty shiny",
}

PLAIN = {
    "name_f": "Mary Anna Laura Julia Susan Emily Alice Karen Helen Rachel Monica Clara"
    " | Bridget Tamara Naomi Gloria Paula",
    "name_m": "John Peter David Robert Thomas Daniel Kevin Martin Simon George Brian Victor"
    " | Gerald Walter Leonard Felix Hugo",
    "city": "London Paris Boston Berlin Madrid Chicago | Vienna Dublin Toronto",
    # Predicative states, attributive descriptions and long adjectives, of people.
    "mood": "happy tired angry nervous hungry calm sad busy | anxious cheerful lonely jealous sleepy",
    "trait": "young old famous tall polite clever | elderly wealthy timid",
    "long": "careful famous popular honest patient | ambitious arrogant sincere",
    # Adjectives of things; colours stand closest to the noun.
    "adj": "old new small large heavy expensive cheap beautiful | tiny rusty shiny fancy",
    "color": "red blue green white | purple yellow",
    "manner": "quickly slowly carefully quietly secretly | cautiously eagerly gently",
    # Adjectives with an infinitive and with a that-clause.
    "eager": "eager ready able unwilling | reluctant hesitant",
    "aware": "aware conscious optimistic | unaware doubtful",
    "obvious": "obvious clear likely possible | evident apparent",
}

# Verb (past tense) with its preposition and one that no speaker would use instead.
PREPOSITIONAL = {
    "prep": "relied:on:of depended:on:of objected:to:in believed:in:at laughed:at:on"
    " stared:at:of waited:for:of searched:for:of listened:to:on looked:at:of | commented:on:of"
    " glanced:at:of marveled:at:of",
}

FUNCTION = {
    ("sg", "pl"): {
        "be": "is:are",
        "was": "was:were",
        "have": "has:have",
        "do": "does:do",
        "dem": "this:these that:those",
        "art": "a:two a:several another:many one:three",
        "quant": "every:both each:several another:few",
        "refl_f": "herself:themselves",
        "refl_m": "himself:themselves",
    },
    ("nom", "acc"): {"pro": "he:him she:her they:them we:us I:me", "pro_f": "she:her", "pro_m": "he:him"},
    ("det", "own"): {"poss": "my:mine our:ours your:yours their:theirs her:hers"},
    ("nom", "self"): {"speaker": "I:myself we:ourselves you:yourself they:themselves"},
    ("base",): {
        "modal": "will can must should might could",
        "past_time": "yesterday last_night last_week last_year two_days_ago",
        "future_time": "tomorrow next_week next_month tomorrow_morning next_year",
    },
}


def _suffix_s(word: str) -> str:
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def _suffix_e(word: str, suffix: str) -> str:
    """Attach a suffix that begins with ``e`` (-ed, -er, -est)."""
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "i" + suffix
    return word + (suffix[1:] if word.endswith("e") else suffix)


def _noun(singular: str, plural: str = "") -> Word:
    return Word({"sg": singular, "pl": plural or _suffix_s(singular)})


def _verb(base: str, past: str = "", participle: str = "", gerund: str = "") -> Word:
    past = past or _suffix_e(base, "ed")
    gerund = gerund or (base[:-1] if base.endswith("e") and base != "see" else base) + "ing"
    return Word(
        {
            "base": base,
            "sg": "goes" if base == "go" else _suffix_s(base),
            "pl": base,
            "past": past,
            "pp": participle or past,
            "ing": gerund,
        }
    )


def _graded(base: str) -> Word:
    return Word({"base": base, "er": _suffix_e(base, "er"), "est": _suffix_e(base, "est")})


def _spelled(*names: str) -> Callable[..., Word]:
    """A parser of words that list all their forms, in the order of ``names``."""
    return lambda *forms: Word(dict(zip(names, forms, strict=True)))


def _parse(text: str, build: Callable[..., Word]) -> WordList:
    seen, _, held_out = text.partition("|")

    def words(part: str) -> tuple[Word, ...]:
        return tuple(build(*entry.replace("_", " ").split(":")) for entry in part.split())

    return WordList(words(seen), words(held_out))


def _lexicon() -> dict[str, WordList]:
    sources: list[tuple[Mapping[str, str], Callable[..., Word]]] = [
        (NOUNS, _noun),
        (VERBS, _verb),
        (GRADED, _graded),
        (PLAIN, _spelled("base")),
        (PREPOSITIONAL, _spelled("base", "prep", "wrong")),
        *((lists, _spelled(*forms)) for forms, lists in FUNCTION.items()),
    ]
    lexicon = {name: _parse(text, build) for lists, build in sources for name, text in lists.items()}
    lexicon["name"] = lexicon["name_f"] + lexicon["name_m"]
    lexicon["mass"] = lexicon["gear"] + lexicon["stuff"]
    lexicon["sexed_f"], lexicon["sexed_m"] = lexicon["lady"], lexicon["gent"]
    return lexicon


LEXICON = _lexicon()


def _content_forms(held_out: bool) -> frozenset[str]:
    """The spellings of all seen or held-out words; the prepositions that go with a verb do not count."""
    lists = (entry.held_out if held_out else entry.seen for entry in LEXICON.values())
    forms = (word.forms.items() for words in lists for word in words)
    return frozenset(form for items in forms for name, form in items if name not in ("prep", "wrong"))


SEEN_FORMS = _content_forms(held_out=False)
HELD_OUT_FORMS = _content_forms(held_out=True)
"""Every spelling of every held-out word; none of them occurs in the training split."""
