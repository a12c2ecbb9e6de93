"""A built-in corpus of English linguistic acceptability: grammatical or ungrammatical sentences.

The corpus consists of *minimal pairs* in the manner of BLiMP: an acceptable sentence and an unacceptable
one that differ in a word or two, or in their order.  ``GRAMMAR`` lists phenomena, each with several
paradigms, each with one or more templates; ``generate`` fills them with words from
``acceptability_words``.  Two things keep the task honest:

* wherever the language allows it, a word that makes one template bad makes a sister template good, so
  that neither single words nor the sentence length give the label away;
* half of the validation split uses words, and a third of it paradigms, that training never shows.

Template notation (a pair is one random reading of one template):

* ``[good|bad]`` is the contrast; further alternatives after ``bad`` are chosen from at random;
* ``(x/y/)`` is a free choice shared by both members, possibly of nothing;
* ``{class.form}`` is a word of a lexical class; ``{class1}`` and ``{class2}`` are two different ones, while
  the same slot written twice is the same word;
* ``n m k`` are numbers and ``g h`` genders, drawn once per pair; ``!n`` is the opposite value.
  ``{person.n}`` picks a form, ``{name:g}`` picks from the class ``name_f`` or ``name_m``;
* ``<np.n>`` is a phrase from ``PHRASES``, with the same rules for digits and features;
* a leading ``=`` keeps the sentence a root clause; other statements may be embedded, see ``FRAMES``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle

from edgekd.embedded.acceptability_words import LEXICON, Word

VERSION = 1  # bump when the produced text changes

COLUMNS = ("sentence", "label", "phenomenon", "paradigm")
LABELS = ("unacceptable", "acceptable")
DEFAULTS = {
    "task": "classification",
    "text": ("sentence",),
    "label": "label",
    "labels": LABELS,
    "metric": "matthews_correlation",
}

TRAIN_PAIRS = 4200
VALIDATION_PAIRS = 600
HELD_OUT_PARADIGM_SHARE = 1 / 3  # of the validation pairs
HELD_OUT_WORD_SHARE = 1 / 2  # of the validation pairs, independently of the paradigm
FRAMED_SHARE = 0.08  # of the statements that can be embedded

FRAMES = (
    "I think that",
    "it seems that",
    "we know that",
    "{name9} says that",
    "{name9} believes that",
    "apparently,",
    "as far as I know,",
    "according to {name9},",
)

# "#" stands for the digit and "@" for the features that the phrase was asked for with.
PHRASES = {
    "np": ("the {person#.@}",) * 6 + ("the {trait#} {person#.@}", "(my/our) {person#.@}"),
    "who": ("{name#}",) * 4 + ("the {person#.@}",) * 4 + ("the {trait#} {person#.@}",),
    "obj": ("the {thing#.@}",) * 6 + ("the {adj#} {thing#.@}", "(my/our) {thing#.@}"),
}

# Paradigms marked with "*" are held out: they appear in the validation split only.
GRAMMAR = """
== subject_verb_agreement
predicate
    <np.n> [{be.n}|{be.!n}] (very/really/always/) {mood}.
    <np.n> [{was.n}|{was.!n}] {mood} {past_time}.
present_tense
    <np.n> (often/usually/always/never) [{iv.n}|{iv.!n}] (in the morning/at night/during the show/).
    <np.n> (often/rarely/never/) [{tv.n}|{tv.!n}] <obj.m>.
auxiliary
    <np.n> [{have.n}|{have.!n}] (already/just/not/) {tv.pp} <obj.m>.
    <np.n> [{do.n}|{do.!n}] not {iv} (in the morning/at night/during the show/).
prepositional_attractor
    the {person1.n} (near/behind/next to/with) the {person2.m} [{be.n}|{be.!n}] {mood}.
    the {thing.n} (on/under/near) the {furniture.m} [{be.n}|{be.!n}] {adj}.
    the {person1.n} (near/behind/next to/with) the {person2.!n} [{have.n}|{have.!n}] {iv.pp}.
coordination
    <np1.n> and <np2.m> [{was.pl}|{was.sg}] {mood} {past_time}.
    the {thing.k} between <np1.n> and <np2.m> [{was.k}|{was.!k}] {adj}.
partitive_subject
    (one/each) of the {person.pl} [{was.sg}|{was.pl}] {mood}.
    (some/many/several/two/both) of the {person.pl} [{was.pl}|{was.sg}] {mood}.
question
    [{be.n}|{be.!n}] <np.n> {mood}?
    [{have.n}|{have.!n}] <np.n> {tv.pp} <obj.m>?
    [{do.n}|{do.!n}] <np.n> (often/really/) {iv}?
inside_relative
    <who> {tvp.past} the {person1.n} who [{was.n}|{was.!n}] {mood}.
    the {person1.n} who [{be.n}|{be.!n}] {mood} {iv.past} {past_time}.
object_relative_attractor *
    the {person1.n} (that/who) the {person2.m} {tvp.past} [{be.n}|{be.!n}] {mood}.
    the {thing.n} that the {person.m} {tv.past} [{be.n}|{be.!n}] {adj}.
subject_relative_attractor
    the {person1.n} who {tvp.past} the {person2.m} [{have.n}|{have.!n}] {iv.pp}.

== determiner_noun_agreement
demonstrative
    <who> {tv.past} [{dem.n}|{dem.!n}] {thing.n} ({past_time}/).
    [{dem.n}|{dem.!n}] {person.n} {modal} {iv} (soon/again/).
quantity
    <who> {tv.past} [{quant.n}|{quant.!n}] {thing.n} ({past_time}/).
    [{quant.n}|{quant.!n}] {person.n} {modal} {tv} <obj>.
noun_number
    <who> {tv.past} {art.n} [{thing.n}|{thing.!n}] ({past_time}/).
    {dem.n} [{person.n}|{person.!n}] {iv.past} ({past_time}/).
irregular_noun
    <who> {witness.past} [{dem.n}|{dem.!n}] {irregular.n} ({past_time}/).
    <who> {witness.past} {art.n} [{irregular.n}|{irregular.!n}] ({past_time}/).
adjective_between
    <who> {tv.past} [{dem.n}|{dem.!n}] {adj} {thing.n}.
    [{quant.n}|{quant.!n}] {trait} {person.n} {iv.past} ({past_time}/).
two_adjectives_between *
    <who> {tv.past} [{dem.n}|{dem.!n}] {adj} {color} {thing.n}.
    <who> {tvp.past} [{quant.n}|{quant.!n}] (very/really) {trait} {person.n}.
in_question *
    did <who> {tv} [{dem.n}|{dem.!n}] {color} {thing.n}?
    [{have.n} {dem.n}|{have.n} {dem.!n}] {trait} {person.n} {iv.pp}?

== reflexive_binding
gender
    {name:g} {self.past} [{refl:g}|{refl:!g}] ({past_time}/).
    {name1}'s {rel:g} {self.past} [{refl:g}|{refl:!g}].
    the {sexed:g} {modal} {self} [{refl:g}|{refl:!g}].
number
    the {sexed:g.n} {modal} {self} [{refl:g.n}|{refl:g.!n}].
    the {sexed:g.n} from {city} {self.past} [{refl:g.n}|{refl:g.!n}] ({past_time}/).
person
    {speaker1} {modal} (never/not/) {self} [{speaker1.self}|{speaker2.self}].
possessor
    {name:g}'s {rel:!g} {self.past} [{refl:!g}|{refl:g}] ({past_time}/).
embedded_subject
    {name:g} (says/thinks/knows) that {name:!g} {self.past} [{refl:!g}|{refl:g}].
    {name:g} (says/thinks/knows) that the {sexed:!g} {self.past} [{refl:!g}|{refl:g}].
subject_position
    =[{name:g} {self.past} {refl:g}|{refl:g} {self.past} {name:g}] ({past_time}/).
    =[the {sexed:g.n} {modal} {self} {refl:g.n}|{refl:g.n} {modal} {self} the {sexed:g.n}].
reciprocal
    [{name1} and {name2}|{name1}] {self.past} each other.
    [the {sexed:g.pl}|the {sexed:g.sg}] {self.past} each other ({past_time}/).
    [the {sexed:g.sg}|the {sexed:g.pl}] {self.past} {refl:g.sg} ({past_time}/).
relative_clause_attractor *
    the {sexed:g} who {tvp.past} {name:!g} {self.past} [{refl:g}|{refl:!g}].
    the {sexed:g} that {name:!g} {tvp.past} {self.past} [{refl:g}|{refl:!g}].
oblique *
    {name:g} {to.past} to [{refl:g}|{refl:!g}] ({past_time}/).
    the {sexed:g} {tv.past} the {thing} by [{refl:g}|{refl:!g}|{refl:g.pl}].

== argument_structure
transitivity
    <np> [{tv.past}|{iv.past}] <obj.m> ({past_time}/).
    <np> [{iv.past}|{tv.past}] ({past_time}/).
object_drop
    <np> [{activity.past}|{tv.past}] (all morning/all day/for an hour/for hours).
    <np> {tv.past} [<obj.m>|] (for an hour/this morning/) (again/).
    <np> {iv.past} [|<obj.m>] (for an hour/this morning/) (again/).
prepositional_object
    <who1> {to.past} [to {name2}|{name2}] ({past_time}/).
    <who1> {tvp.past} [{name2}|to {name2}] ({past_time}/).
double_object
    <who1> {explain.past} [the {topic} to the {person2}|the {person2} the {topic}].
    <who1> [{tell.past}|{explain.past}] the {person2} the {topic}.
causative
    the {fragile} [{alternating.past}|{tv.past}] ({past_time}/).
    <np> [{alternating.past}|{unaccusative.past}] the {fragile} ({past_time}/).
    <np> [{tv.past}|{unaccusative.past}] the {fragile} ({past_time}/).
    the {fragile} [{unaccusative.past}|{tv.past}] ({past_time}/).
passive
    <obj> was [{tv.pp}|{iv.pp}] ({past_time}/).
    <np.n> [{have.n}|{was.n}] {iv.pp} (already/again/).
    <obj.n> [{was.n}|{have.n}] {tv.pp} by <np>.
    <np.n> [{have.n}|{was.n}] {tv.pp} <obj>.
location
    <who> [{tv.past}|{put.past}] <obj.n> ({past_time}/).
    <who> {put.past} <obj.n> [on the {furniture}|].
    <who> [{put.past} <obj.n>|{put.past}] on the {furniture}.
transitivity_in_question *
    did <np> [{tv}|{iv}] <obj.m>?
    why did <np> [{iv}|{tv}] ({past_time}/)?

== wh_gaps
object_gap
    what did <who> {tv} [|the {thing}] ({past_time}/)?
    (when/why) did <who> {tv} [<obj>|]?
    who did <who> {tvp} [|{name2}] ({past_time}/)?
    (when/why) did <who> {tvp} [{name2}|]?
embedded_gap
    what did <who> (say/think) that {name1} {tv.past} [|the {thing}]?
    did <who> (say/think) that {name1} {tv.past} [the {thing}|]?
    what did <who> say that {name1} {tv.past} [|it]?
adjunct_island
    what did <who> [(say/think) that|{iv} (because/after/before/when)] {name1} {tv.past}?
    did <who> {iv} (because/after/before/when) {name1} {tv.past} [the {thing}|]?
    did <who> (say/think) that {name1} {tv.past} [the {thing}|]?
wh_island
    what did <who> [(say/think) that|{wonder} (who/why/when)] {name1} {tv.past}?
    did <who> {wonder} (why/when/whether) {name1} {tv.past} [the {thing}|]?
complex_noun_phrase
    what did <who> [(say/think)|(deny the claim/hear the rumor/mention the fact)] that {name1} {tv.past}?
    [did|what did] <who> (deny the claim/hear the rumor/mention the fact) that {name1} {tv.past} the {thing}?
    [what did|did] <who> (say/think) that {name1} {tv.past}?
coordination_island
    what did <who> {tv1} [and {tv2}|the {thing} and]?
    who did <who> {tvp} the {person2} [with|and]?
    who did <who> visit {city} [with|and]?
    both {name1} [and|with] {name2} {iv.past} ({past_time}/).
left_branch
    (which/whose) [{thing} did <who> {tv}|did <who> {tv} {thing}]?
    <who1> (knows/asked) (which/whose) [{thing} <who2> {tv.past}|<who2> {tv.past} {thing}].
relative_clause_island *
    what did <who> [say the {person1}|meet the {person1} who] {tv.past}?
    did <who> meet the {person1} who {tv.past} [the {thing}|]?
relative_gap
    the {thing1} that <who> {tv.past} [|the {thing2}|it] was {adj}.
    the {person1} who {tv.past} [the {thing}|] was {mood}.

== negative_polarity
ever
    [nobody|everybody|somebody] has ever {tv.pp} <obj.m>.
    [no|every|each] {person} has ever {tvp.pp} {name}.
    (every/each/one) {person} has [already|ever] {tvp.pp} {name}.
    (somebody/everybody) has [already|ever] {tv.pp} <obj.m>.
any
    <np.n> {have.n} [not|already|certainly] {tv.pp} any {thing.pl}.
    <np.n> {have.n} (already/certainly) {tv.pp} [some|any] {thing.pl}.
    [nobody|somebody|everybody] {tv.past} any {thing.pl} ({past_time}/).
yet
    <np.n> {have.n} [not|certainly] {iv.pp} yet.
    <np.n> {have.n} already {iv.pp} [today|yet].
question
    =[has <who> ever {tvp.pp} <who2>?|<who> has ever {tvp.pp} <who2>.]
    =[did <who> {tv} any {thing.pl}?|<who> {tv.past} any {thing.pl}.]
    =has <who> [ever|certainly] {tv.pp} any {thing.pl}?
scope
    [no {person1} who {tvp1.past} the {person2}|the {person1} who {tvp1.past} no {person2}] has ever {iv.pp}.
    [nobody who {tvp1.past} {name1}|{name1}, who {tvp1.past} nobody,] has ever {tv.pp} any {thing.pl}.
quantified_subject
    [few|most|many] {person.pl} have ever {tv.pp} <obj.m>.
    [none|most|some] of the {person.pl} have {tv.pp} any {thing.pl}.
adverse_verb
    <who1> [doubts|knows|thinks] that <who2> has ever {tv.pp} <obj.m>.
new_licensor_pair *
    <who1> (hopes/thinks/says) that [nobody|everybody|somebody] has ever {tv.pp} <obj.m>.
    [nobody|everybody|somebody] has {iv.pp} yet.
    [no|every|each] {person} has {tv.pp} any {thing.pl}.

== verb_form
perfect
    <np.n> {have.n} (already/just/) [{ablaut.pp}|{ablaut.past}] <obj.m>.
    <np.n> [{ablaut.past}|{ablaut.pp}] <obj.m> ({past_time}/).
    <np.n> {have.n} [{ablaut_iv.pp}|{ablaut_iv.past}] (again/).
after_auxiliary
    <np.n> {modal} [{tv}|{tv.past}|{tv.ing}] <obj.m>.
    <np.n> {have.n} (already/just/) [{tv.pp}|{tv}] <obj.m>.
    <np.n> {be.n} (already/) [{iv.ing}|{iv}] (again/).
infinitive_or_gerund
    <who> {want.past} [to {tv}|{tv.ing}] <obj.m>.
    <who> {enjoy.past} [{tv.ing}|to {tv}] <obj.m>.
object_complement
    <who1> {force.past} {name2} [to {tv}|{tv}] <obj.m>.
    <who1> {let.past} {name2} [{tv}|to {tv}] <obj.m>.
    <who1> {witness.past} {name2} [{tv}|to {tv}] <obj.m>.
after_preposition
    <who> {iv.past} (after/before/without) [{tv.ing}|{tv}|to {tv}] <obj.m>.
    <who> {iv.past} in order [to {tv}|{tv.ing}|{tv}] <obj.m>.
passive_participle
    <obj.n> {was.n} [{ablaut.pp}|{ablaut.past}|{ablaut}] by <np>.
question *
    {have.n} <np.n> [{ablaut.pp}|{ablaut.past}] <obj.m>?
    did <np.n> [{ablaut}|{ablaut.past}|{ablaut.pp}] <obj.m>?
    {have.n} <np.n> [{ablaut_iv.pp}|{ablaut_iv.past}] (again/)?

== auxiliaries
choice
    <np.n> [{do.n}|{have.n}|{be.n}] not {tv} <obj.m>.
    <np.n> [{have.n}|{do.n}] not {tv.pp} <obj.m>.
    <np.n> [{be.n}|{do.n}|{have.n}] not {iv.ing} (again/).
double_tense
    did <np.n> [{tv}|{tv.past}] <obj.m> ({past_time}/)?
    <np.n> did not [{tv}|{tv.past}] <obj.m> ({past_time}/).
    <np> [{tv.past}|{tv}] <obj.m> {past_time}.
do_support
    <np.n> [{do.n} not {tv}|{tv.n} not] <obj.m>.
    <np.n> [{be.n} not|{do.n} not be] {mood}.
    [{be.n} <np.n>|{do.n} <np.n> be] {mood}?
inversion
    =(when/where/why) [{modal} <who>|<who> {modal}] {tv} <obj.m>?
    =what [{modal} <who>|<who> {modal}] {tv} ({future_time}/)?
    <who1> (knows/learned/found out) (when/where/why) [<who2> {modal}|{modal} <who2>] {tv} <obj.m>.
auxiliary_order
    <np> [(might/must/should/could) have|have (might/must/should/could)] {tv.pp} <obj>.
    <np.n> [{modal} be|be {modal}] {mood} (soon/again/).
    <np.n> [{have.n} been|been {have.n}] {mood} (again/lately/).
tag_question
    ={name:g} has {tv.pp} <obj>, [hasn't|didn't|isn't] {pro:g}?
    ={name:g} {tv.past} <obj>, [didn't|hasn't|isn't] {pro:g}?
    ={name:g} is {mood}, [isn't|doesn't|hasn't] {pro:g}?
choice_in_question *
    [{do.n}|{have.n}|{be.n}] <np.n> {tv} <obj.m>?
    [{have.n}|{do.n}] <np.n> {tv.pp} <obj.m>?
    [{be.n}|{do.n}|{have.n}] <np.n> {iv.ing} (again/)?

== quantifiers
existential
    there (are/were) [(some/two/many/several)|(most/all/both)] {thing.pl} on the {furniture}.
    <who> {tv.past} [(all/both)|(some/many/several)] the {thing.pl} ({past_time}/).
    there (is/was) [(a/another/one)|(every/each)] {thing} on the {furniture}.
    (nearly/almost) [every|another] {person} {iv.past} ({past_time}/).
partitive
    [(most/some/many/all)|every] of the {person.pl} {iv.past} ({past_time}/).
    [every|(most/some/many) of] {person} {iv.past} ({past_time}/).
    <who> {tv.past} [each|every] of the {thing.pl}.
none_or_no
    [none|no] of the {person.pl} {iv.past} ({past_time}/).
    [no|none] {person.n} {iv.past} ({past_time}/).
    <who> {tv.past} [none|no] of the {thing.pl}.
    there were [no|none] {thing.pl} on the {furniture}.
determiner_order
    <who> {tv.past} [(all/both) the|the (all/both)] {thing.pl}.
    <who> {tv.past} [the (many/two/three)|(many/two/three) the] {thing.pl}.
    [all|(many/several)] {poss} {thing.pl} were {adj}.
floated *
    the {person.pl} have [(all/both)|(some/many/every)] {tv.pp} <obj.m>.
    the {person.pl} (will/must/can) [(all/both)|(some/many/every)] {iv}.
pronoun_partitive *
    <who> {tvp.past} [(each/none/many)|(every/no)] of (us/them/you).
    [(each/none/many)|(every/no)] of (us/them/you) {iv.past}.

== pronoun_case
subject
    [{pro}|{pro.acc}] {tv.past} <obj> ({past_time}/).
    <who1> (says/thinks) that [{pro}|{pro.acc}] {modal} {iv}.
object
    <who> {tvp.past} [{pro.acc}|{pro}] ({past_time}/).
    <who> (wants/hopes/decided) to {tvp} [{pro.acc}|{pro}].
oblique
    <who> {to.past} to [{pro.acc}|{pro}] ({past_time}/).
    the {thing} (near/behind/next to) [{pro.acc}|{pro}] was {adj}.
possessive
    [{poss}|{poss.own}] {thing.n} {was.n} {adj}.
    the {thing.n} on the {furniture} {be.n} [{poss.own}|{poss}].
    <who> {tv.past} [{poss}|{poss.own}] {thing.n}.
embedded_subject
    <who> (wants/expects/asked) [{pro.acc}|{pro}] to {iv}.
    <who> (hopes/says/knows) [{pro}|{pro.acc}] {modal} {iv}.
question *
    did [{pro}|{pro.acc}] {tv} <obj>?
    did <who> {tvp} [{pro.acc}|{pro}] ({past_time}/)?
    who did [{pro}|{pro.acc}] {tvp}?
infinitive_with_for *
    it was (hard/easy) for [{pro.acc}|{pro}] to {tv} <obj>.

== word_order
adjective
    <who> {tv.past} [the {adj} {thing.n}|the {thing.n} {adj}|{adj} the {thing.n}] ({past_time}/).
    [the {trait} {person.n}|the {person.n} {trait}|{trait} the {person.n}] {iv.past} ({past_time}/).
adverb
    <who> {tv.past} [the {thing.n} {manner}|{manner} the {thing.n}] ({past_time}/).
    <who> {modal} [{manner} {tv}|{tv} {manner}] the {thing.n}.
object
    <who> [{tv.past} <obj.m>|<obj.m> {tv.past}] ({past_time}/).
    <who> {modal} [{tv} <obj.m>|<obj.m> {tv}].
preposition
    <who1> {to.past} [to <who2>|<who2> to] ({past_time}/).
    the {thing.n} {was.n} [(on/under/behind) the {furniture}|the {furniture} (on/under/behind)].
particle
    <who> (picked/locked/cleaned/packed) [(it/them) up|up (it/them)] ({past_time}/).
    <who> (put/took/gave/locked) [(it/them) away|away (it/them)] ({past_time}/).
    <who> (picked/locked/cleaned/packed) [up the {thing}|up it].
negation
    <np.n> [{modal} not|not {modal}] {tv} <obj.m>.
    <np.n> [{have.n} not|not {have.n}] {tv.pp} <obj.m>.
degree
    <who> is [{mood} enough|enough {mood}] to {iv}.
    <who> is [(very/too/so) {mood}|{mood} (very/too/so)].
in_question *
    did <who> {tv} [the {adj} {thing.n}|the {thing.n} {adj}|{adj} the {thing.n}]?
    did <who> [{tv} <obj.m>|<obj.m> {tv}]?
    did <who1> {to} [to <who2>|<who2> to]?
    {have.sg} <who> [{manner} {tv.pp}|{tv.pp} {manner}] the {thing.n}?

== comparatives
degree_form
    <who1> is [{short.er}|{short}|more {short.er}] than <who2>.
    <who1> is as [{short}|{short.er}] as <who2>.
    <who1> is [more|as] {long} than <who2>.
    <who1> is [as|more] {long} as <who2>.
conjunction
    <who1> is (much/) {short.er} [than|as|that] <who2>.
    <who1> is (almost/) as {short} [as|than] <who2>.
    <who1> is (much/) more {long} [than|as] <who2>.
    <who1> is (almost/) as {long} [as|than|that] <who2>.
superlative
    <who> is the [{short.est}|most {short.est}|{short.est} more] {person1} in {city1}.
    <who> is the most [{long}|{short.est}] {person1} in {city1}.
    <who> is [the most {long}|most {long} the|the {long} most] {person1} in {city1}.
intensifier
    <who1> is [(much/far)|(very/so)] {short.er} than <who2>.
    <who1> is [(very/so)|(much/far)] {short}.
    <who1> is [(much/far)|(very/so)] more {long} than <who2>.
    <who1> is [(very/so)|(much/far)] {long}.
result
    <who1> was [so|too|more] {mood} that <who2> {iv.past}.
    <who1> was [too|so|more] {mood} to {iv}.
things *
    the {thing1.n} {be.n} [{short_thing.er}|{short_thing}] than the {thing2}.
    the {thing1.n} {be.n} as [{short_thing}|{short_thing.er}] as the {thing2}.
    <who1> {tv.past} a [{short_thing.er}|{short_thing}] {thing1} than <who2>.
question *
    is <who1> [{short.er}|{short}|more {short.er}] than <who2>?
    is <who1> as [{short}|{short.er}] as <who2>?
    is <who1> [more|as] {long} than <who2>?
    is <who1> [as|more] {long} as <who2>?

== complementation
clause_or_infinitive
    <who1> [{think.past}|{force.past}] that <who2> {modal} {iv}.
    <who1> [{force.past}|{think.past}] <who2> to {iv} ({past_time}/).
interrogative
    <who1> [{think.past}|{wonder.past}] that <who2> {tv.past} <obj>.
    <who1> [{wonder.past}|{think.past}] whether <who2> {tv.past} <obj>.
recipient
    <who1> [{inform.past}|{say.past}] <who2> that <who3> {iv.past}.
    <who1> [{say.past}|{inform.past}] that <who2> {iv.past} ({past_time}/).
adjective
    <who1> was [{eager}|{aware}] to {tv} <obj>.
    <who1> was [{aware}|{eager}] that <who2> {tv.past} <obj>.
preposition
    <who1> {prep} [{prep.prep}|{prep.wrong}] <who2>.
    <who1> {prep} [{prep.prep}|{prep.wrong}] <obj>.
expletive
    [it|there] (is/was) {obvious} that <who> {iv.past}.
    [there|it] (are/were) (some/two/many/several) {thing.pl} on the {furniture}.
question *
    did <who1> [{think}|{force}|{wonder}] that <who2> {iv.past}?
    did <who1> [{force}|{think}|{wonder}] <who2> to {iv}?

== tense
time_adverb
    <np> [{tv.past}|will {tv}] <obj.m> {past_time}.
    <np> [will {tv}|{tv.past}] <obj.m> {future_time}.
    <np.n> {iv.past} [{past_time}|{future_time}].
    <np.n> will {iv} [{future_time}|{past_time}].
present_perfect
    <np.n> {have.n} {tv.pp} <obj.m> [(already/recently/before/twice)|{past_time}].
    <np.n> [{tv.past}|{have.n} {tv.pp}] <obj.m> {past_time}.
state
    <np.n> [{was.n}|{be.n}|will be] {mood} {past_time}.
    <np.n> [will be|{was.n}] {mood} {future_time}.
    <np.n> {have.n} been {mood} [since (Monday/Friday)|{future_time}].
question
    [did|will] <np.n> {tv} <obj.m> {past_time}?
    [will|did] <np.n> {tv} <obj.m> {future_time}?
clauses
    <who1> will {iv} (when/before) <who2> [{tv.sg}|{tv.past}] <obj>.
    <who1> {iv.past} (when/after/before) <who2> [{tv.past}|{tv.sg}|will {tv}] <obj>.
fronted_adverb *
    ={past_time}, <np> [{tv.past}|will {tv}] <obj.m>.
    ={future_time}, <np> [will {tv}|{tv.past}] <obj.m>.
negation *
    <np.n> [did|will] not {tv} <obj.m> {past_time}.
    <np.n> [will|did] not {tv} <obj.m> {future_time}.

== count_and_mass
much_or_many
    <who> {use.past} (too/so) [much|many] {mass} ({past_time}/).
    <who> {use.past} (too/so) [many|much] {thing.pl} ({past_time}/).
little_or_few
    <who> {use.past} a [little|few] {mass} ({past_time}/).
    <who> {use.past} a [few|little] {thing.pl} ({past_time}/).
article
    <who> {use.past} [some|a|two] {mass} ({past_time}/).
    <who> {use.past} [a|much|many] {thing} ({past_time}/).
    <who> {use.past} [two|much|a] {thing.pl} ({past_time}/).
plural
    <who> {use.past} (some/our/the) {adj} [{gear}|{gear.pl}] ({past_time}/).
    <who> {use.past} (two/several/many) {adj} [{thing.pl}|{thing.sg}] ({past_time}/).
agreement
    the {adj1} {gear} [is|are] {color}.
    the {adj1} {thing.pl} [are|is] {color}.
question *
    how [much|many] {mass} did <who> {use} ({past_time}/)?
    how [many|much] {thing.pl} did <who> {use} ({past_time}/)?
existential *
    there was not [much|many] {adj} {gear} on the {furniture}.
    there were not [many|much] {adj} {thing.pl} on the {furniture}.

== ellipsis
auxiliary_match
    <who1> {tv.past} <obj>, and <who2> [did|was|is] too.
    <who1> has {tv.pp} <obj>, and <who2> [has|is|was] too.
    <who1> was {mood}, and <who2> [was|did|has] too.
    <who1> is {iv.ing}, and <who2> [is|does|has] too.
so_or_neither
    <who1> {iv.past}, and [so|neither] did <who2>.
    <who1> did not {iv}, and [neither|so] did <who2>.
    <who1> has {tv.pp} <obj>, and [so|neither] has <who2>.
    <who1> has not {tv.pp} <obj>, and [neither|so] has <who2>.
one
    <who1> {tv.past} the {color1} {thing}, and <who2> {tv.past} the {color2} [one|].
    <who1> {tv.past} the {adj1} {gear}, but not the {adj2} [{gear}|one].
sluicing
    (someone/somebody) {tv.past} <obj>, but <who2> does not know [who|what].
    <who1> {tv.past} something, but <who2> does not know [what|who].
    <who1> {iv.past}, but <who2> does not know [why|who|what].
too_or_either
    <who1> did not {iv}, and <who2> did not [either|too].
    <who1> {iv.past}, and <who2> did [too|either].
    <who1> is {mood}, and <who2> is [too|either].
possessive *
    <who1> {tv.past} {name2}'s {thing.n}, but not [(mine/yours/theirs)|(my/your/their)].
so_or_neither_with_states *
    <who1> is {mood}, and [so|neither] is <who2>.
    <who1> is not {mood}, and [neither|so] is <who2>.
    <who1> was {mood}, and [so|neither] was <who2>.
    <who1> was not {mood}, and [neither|so] was <who2>.

== relative_pronouns
animacy
    <who1> {tvp.past} the {person2.n} [who|which|what] {iv.past}.
    the {thing.n} [(which/that)|who|what] <who> {tv.past} {was.n} {adj}.
    the {person2.n} [(who/that)|which] {iv.past} {was.n} {mood}.
free_relative
    <who1> {tv1.past} [what|that] <who2> {tv2.past}.
    <who1> {tv1.past} the {thing} [that|what] <who2> {tv2.past}.
possessive
    the {person2} [whose|who|which] {rel:g} {iv.past} was {mood}.
    the {person2} [who|whose] {iv.past} was {mood}.
    <who1> {tvp.past} the {person2} [whose|who|that] {thing} was {adj}.
after_preposition
    the {person2} to [whom|that] <who1> {to.past} was {mood}.
    the {person2} [that|which] <who1> {to.past} to was {mood}.
    the {furniture} on [which|that|who] <who1> {put.past} <obj2> was {adj}.
animacy_in_other_positions *
    the {person1.n} [who|which|what] {tvp.past} <who> {was.n} {mood}.
    <who> {tv.past} the {thing.n} [(which/that)|who|what] {was.n} on the {furniture}.
"""


@dataclass(frozen=True)
class Paradigm:
    """One phenomenon in one kind of construction; the name is ``phenomenon/construction``."""

    phenomenon: str
    name: str
    held_out: bool
    templates: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A minimal pair and the paradigm it was made from."""

    good: str
    bad: str
    paradigm: Paradigm


@cache
def paradigms() -> tuple[Paradigm, ...]:
    """Read ``GRAMMAR``."""
    table: dict[tuple[str, str], list[str]] = {}
    templates: list[str] = []
    for section in GRAMMAR.split("\n== ")[1:]:
        phenomenon, *lines = filter(None, section.splitlines())
        for line in lines:
            if line.startswith(" "):
                templates.append(line.strip())
            else:
                templates = table[phenomenon, line] = []
    return tuple(
        Paradigm(phenomenon, f"{phenomenon}/{name.rstrip(' *')}", name.endswith("*"), tuple(templates))
        for (phenomenon, name), templates in table.items()
    )


HELD_OUT_PARADIGMS = frozenset(paradigm.name for paradigm in paradigms() if paradigm.held_out)

_PHRASE = re.compile(r"<([a-z]+)(\d?)(?:\.([^>]+))?>")
_CHOICE = re.compile(r"\(([^()]*)\)")
_CONTRAST = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{([a-z_]+)(\d?)(?::(!?\w))?(?:\.(!?\w+))?\}")
_FEATURES = {**dict.fromkeys("nmk", ("sg", "pl")), **dict.fromkeys("gh", ("f", "m"))}
_OPPOSITE = {"sg": "pl", "pl": "sg", "f": "m", "m": "f"}
_A_BEFORE_VOWEL = re.compile(r"\ba(?= (?:[aeiou]|honest|hour))")


@dataclass
class Reading:
    """One random reading of a template: the words, phrases and features drawn so far."""

    rng: random.Random
    held_out: bool
    words: dict[str, Word] = field(default_factory=dict)
    phrases: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)

    def pair(self, template: str) -> tuple[str, str]:
        """The acceptable and the unacceptable sentence."""
        root = template.startswith("=")
        text = template.lstrip("=")
        if not root and text.endswith(".") and self.rng.random() < FRAMED_SHARE:
            text = f"{self.rng.choice(FRAMES)} {text}"
        text = _CHOICE.sub(self._choice, _PHRASE.sub(self._phrase, text))
        good = _CONTRAST.sub(lambda match: match[1].split("|")[0], text)
        bad = _CONTRAST.sub(lambda match: self.rng.choice(match[1].split("|")[1:]), text)
        return self._sentence(good), self._sentence(bad)

    def _choice(self, match: re.Match[str]) -> str:
        options: list[str] = match[1].split("/")
        return self.rng.choice(options)

    def _phrase(self, match: re.Match[str]) -> str:
        if match[0] not in self.phrases:
            text = self.rng.choice(PHRASES[match[1]]).replace("#", match[2]).replace("@", match[3] or "sg")
            self.phrases[match[0]] = _CHOICE.sub(self._choice, text)
        return self.phrases[match[0]]

    def _feature(self, name: str) -> str:
        """The value of a feature variable, or the name itself where it is a plain form."""
        variable = name.lstrip("!")
        if variable not in _FEATURES:
            return name
        value = self.features.setdefault(variable, self.rng.choice(_FEATURES[variable]))
        return _OPPOSITE[value] if name.startswith("!") else value

    def _slot(self, match: re.Match[str]) -> str:
        lexical_class: str = match[1]
        if match[3]:
            lexical_class += "_" + self._feature(match[3])
        key = lexical_class + match[2]
        if key not in self.words:
            taken = {word.lemma for word in self.words.values()}
            members = LEXICON[lexical_class].members(self.held_out)
            self.words[key] = self.rng.choice([word for word in members if word.lemma not in taken])
        forms = self.words[key].forms
        return forms[self._feature(match[4])] if match[4] else self.words[key].lemma

    def _sentence(self, text: str) -> str:
        text = " ".join(_SLOT.sub(self._slot, text).split())
        text = re.sub(r" (?=[.,?])", "", text)
        text = _A_BEFORE_VOWEL.sub("an", text)
        return text[0].upper() + text[1:]


def _readings(paradigm: Paradigm, rng: random.Random, held_out: bool, taken: set[str]) -> Iterator[Pair]:
    """Pairs of a paradigm without end, cycling through its templates; no sentence comes twice."""
    for template in cycle(paradigm.templates):
        for _ in range(1000):
            good, bad = Reading(rng, held_out).pair(template)
            if good not in taken and bad not in taken:
                break
        else:
            raise ValueError(f"no new sentence left in template {template!r}")
        taken.update((good, bad))
        yield Pair(good, bad, paradigm)


def _draw(group: list[Paradigm], n: int, rng: random.Random, novel: bool, taken: set[str]) -> list[Pair]:
    """``n`` pairs, spread evenly over the paradigms of a group."""
    sources = [_readings(paradigm, rng, novel, taken) for paradigm in rng.sample(group, len(group))]
    return [next(sources[i % len(sources)]) for i in range(n)]


def generate_pairs(seed: int = 42) -> dict[str, list[Pair]]:
    """The minimal pairs of both splits, in no particular order."""
    rng = random.Random(f"acceptability {VERSION} {seed}")
    taken: set[str] = set()
    familiar = [paradigm for paradigm in paradigms() if not paradigm.held_out]
    novel = [paradigm for paradigm in paradigms() if paradigm.held_out]
    validation: list[Pair] = []
    in_novel = round(VALIDATION_PAIRS * HELD_OUT_PARADIGM_SHARE)
    for group, count in ((familiar, VALIDATION_PAIRS - in_novel), (novel, in_novel)):
        new_words = round(count * HELD_OUT_WORD_SHARE)
        validation += _draw(group, new_words, rng, True, taken)
        validation += _draw(group, count - new_words, rng, False, taken)
    return {"train": _draw(familiar, TRAIN_PAIRS, rng, False, taken), "validation": validation}


def generate(seed: int = 42) -> dict[str, list[dict[str, object]]]:
    """The corpus as rows with the columns ``COLUMNS``, in ``train`` and ``validation`` splits."""
    splits: dict[str, list[dict[str, object]]] = {}
    for split, pairs in generate_pairs(seed).items():
        splits[split] = [
            dict(zip(COLUMNS, (text, label, pair.paradigm.phenomenon, pair.paradigm.name), strict=True))
            for pair in pairs
            for label, text in enumerate((pair.bad, pair.good))
        ]
        random.Random(f"shuffle {split} {seed}").shuffle(splits[split])
    return splits
